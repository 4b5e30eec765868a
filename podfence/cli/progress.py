"""How far the reading of a cluster has come, shown on the terminal.

Rule: a reading of less than a second says nothing, and nothing is said to a file or a pipe. The
line is gone when the reading has ended.
"""

from __future__ import annotations

import sys
import time
from typing import Final, Self

from podfence.text import printable

SILENT: Final = 1.0
"""Seconds before the first word."""
APART: Final = 0.2
"""Seconds between two."""
_CLEAR: Final = "\r\x1b[K"


class ReadingProgress:
    """``source``: what is read. A context manager; ``tell`` may be called in it from one thread."""

    def __init__(self, source: str) -> None:
        self._source = printable(source)
        self._shows = sys.stderr.isatty()
        self._next = time.monotonic() + SILENT
        self._has_told = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._has_told:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()

    def tell(self, objects: int) -> None:
        """So many objects were read."""
        now = time.monotonic()
        if not self._shows or now < self._next:
            return
        self._next, self._has_told = now + APART, True
        sys.stderr.write(f"{_CLEAR}reading {self._source}: {objects:,} objects")
        sys.stderr.flush()
