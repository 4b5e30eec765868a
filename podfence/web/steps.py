"""Progress of a reading, passed from its thread to a listener."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from msgspec import Struct

T = TypeVar("T")
_APART: Final = 0.1
"""Seconds between two reported steps of one kind: nobody reads faster."""


class Step(Struct, frozen=True):
    """``doing``: ``files`` while they are read, ``objects`` while a cluster's are listed,
    ``policies`` while they are compiled, else the part of a page that is being made; "" for
    nothing. ``done`` of ``of`` files; ``objects`` that were read."""

    doing: str = ""
    done: int = 0
    of: int = 0
    objects: int = 0


IDLE: Final = Step()


class Steps:
    """``tell`` may be called from any thread, and calls the listener in the same one."""

    def __init__(self) -> None:
        self._listener: Callable[[Step], None] | None = None
        self._told = IDLE
        self._at = 0.0

    def listen(self, listener: Callable[[Step], None]) -> None:
        """Set the listener, in place of the previous one."""
        self._listener = listener

    def tell(self, step: Step) -> None:
        """Report a step; skipped if one of its kind was reported a moment ago."""
        now = time.monotonic()
        if self._listener is None:
            return
        if step.doing == self._told.doing and now - self._at < _APART:
            return
        self._told, self._at = step, now
        self._listener(step)

    def counted(self, files: Sequence[T]) -> Iterator[T]:
        """Yields the same files, and reports each."""
        for number, file in enumerate(files):
            self.tell(Step("files", number, len(files)))
            yield file
