"""JSON records: one a line, or all of them in one document.

Rule: what one record says is known to the format; this is how they stand in a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from podfence.errors import UNREADABLE
from podfence.flows.seen import FlowRecords

T = TypeVar("T")


class JsonLines(Generic[T]):
    """Decodes lines, many at a time; a line that is none is a fault with its number."""

    def __init__(
        self,
        seen: FlowRecords,
        file: str,
        decoder: msgspec.json.Decoder[T],
        take: Callable[[T], None],
    ) -> None:
        self._seen = seen
        self._file = file
        self._decoder = decoder
        self._take = take

    def lines(self, lines: Sequence[bytes], first: int) -> None:
        """Read lines, of which the first has this number."""
        try:
            records = self._decoder.decode_lines(b"\n".join(lines))
        except UNREADABLE:
            self._one_by_one(lines, first)
        else:
            for record in records:
                self._take(record)

    def _one_by_one(self, lines: Sequence[bytes], first: int) -> None:
        for number, line in enumerate(lines, first):
            self.one(line, number)

    def one(self, line: bytes, number: int) -> None:
        """Read a line that has this number."""
        if not line.strip():
            return
        try:
            record = self._decoder.decode(line)
        except UNREADABLE as error:
            self._seen.records += 1
            self._seen.fault(self._file, number, said(error))
        else:
            self._take(record)


def said(error: Exception) -> str:
    """What is wrong with a text that is no JSON, or not that of a record."""
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
