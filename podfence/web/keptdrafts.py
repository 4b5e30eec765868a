"""Drafts that were judged, by name, so that a program can ask about one again.

Rule: a name means the same texts for as long as it means any. It is forgotten after a while, and
when there are many others.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

SECONDS: Final = 600.0
MOST: Final = 40


class KeptDrafts:
    """``now``: seconds of some clock."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: dict[str, tuple[float, Mapping[str, str]]] = {}

    def keep(self, texts: Mapping[str, str]) -> str:
        """The name of the texts of some files."""
        self._forget()
        name = secrets.token_hex(8)
        self._kept[name] = self._now() + SECONDS, dict(texts)
        while len(self._kept) > MOST:
            del self._kept[next(iter(self._kept))]
        return name

    def texts(self, name: str) -> Mapping[str, str] | None:
        """The texts of a name; None for one that means none, or none any more."""
        self._forget()
        found = self._kept.get(name)
        return None if found is None else found[1]

    def _forget(self) -> None:
        now = self._now()
        self._kept = {name: each for name, each in self._kept.items() if each[0] > now}
