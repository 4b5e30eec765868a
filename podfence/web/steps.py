"""How far a reading has come, from the thread that reads to whoever waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from msgspec import Struct

T = TypeVar("T")
_APART: Final = 0.1
"""Seconds between two steps of one kind that are told: nobody reads faster."""


class Step(Struct, frozen=True):
    """``doing``: ``files`` while they are read, ``objects`` while a cluster is asked for its own,
    ``policies`` while they are compiled, else the part
    of a page that is being made; "" for nothing. ``done`` of ``of`` files; ``objects`` that were
    read."""

    doing: str = ""
    done: int = 0
    of: int = 0
    objects: int = 0


IDLE: Final = Step()


class Steps:
    """``tell`` may be called from any thread, and calls who listens in the same one."""

    def __init__(self) -> None:
        self._listener: Callable[[Step], None] | None = None
        self._told = IDLE
        self._at = 0.0

    def listen(self, listener: Callable[[Step], None]) -> None:
        """Who is told from now on, instead of who was before."""
        self._listener = listener

    def tell(self, step: Step) -> None:
        """A step; left out where one of its kind was told a moment ago."""
        now = time.monotonic()
        if self._listener is None:
            return
        if step.doing == self._told.doing and now - self._at < _APART:
            return
        self._told, self._at = step, now
        self._listener(step)

    def counted(self, files: Sequence[T]) -> Iterator[T]:
        """The same files, each told as it is taken."""
        for number, file in enumerate(files):
            self.tell(Step("files", number, len(files)))
            yield file
