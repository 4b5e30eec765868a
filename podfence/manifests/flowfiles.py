"""Files of flow records, read as a stream: gzip too, and standard input.

Rule: only a piece of a file is in memory at a time. A file that cannot be read is an error; a
record that cannot be read is counted.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from typing import BinaryIO, Final, cast

from podfence.errors import PodfenceError
from podfence.flows.formats import FlowReader, UnknownFormat
from podfence.flows.seen import FlowRecords
from podfence.text import printable

_PIECE: Final = 1 << 20
"""Bytes of lines that are decoded at once."""
_LONGEST: Final = 1 << 24
"""The longest line in bytes; a longer one is not a record."""
_GZIP: Final = b"\x1f\x8b"


def read_flows(paths: Iterable[str], stdin: BinaryIO | None) -> FlowRecords:
    """The records of all files together. Raises PodfenceError (PF011) for one that cannot be
    read."""
    seen = FlowRecords()
    for path in paths:
        try:
            if path == "-":
                if stdin is None:
                    raise PodfenceError("there is no standard input to read", code="PF011")
                _read(stdin, path, seen)
            else:
                with open(path, "rb") as file:
                    _read(file, path, seen)
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise PodfenceError(f"{printable(path)}: {reason}", code="PF011") from error
        except UnknownFormat as error:
            raise PodfenceError(f"{printable(path)}: {error}", code="PF011") from error
    return seen


def _read(file: BinaryIO, path: str, seen: FlowRecords) -> None:
    reader = FlowReader(seen, path)
    number = 1
    for lines in _pieces(_plain(file)):
        reader.lines(lines, number)
        number += len(lines)
    reader.end()


def _plain(file: BinaryIO) -> BinaryIO:
    """The file, decompressed if needed."""
    start = file.peek(2)[:2] if isinstance(file, BufferedReader) else b""
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if start == _GZIP else file


def _pieces(file: BinaryIO) -> Iterator[list[bytes]]:
    """Whole lines in batches, without their line breaks."""
    rest = b""
    while piece := file.read(_PIECE):
        lines = piece.split(b"\n")
        lines[0] = rest + lines[0]
        rest = lines.pop()
        if len(rest) > _LONGEST:
            raise UnknownFormat(f"a line of more than {_LONGEST >> 20} MiB is not a record")
        if lines:
            yield lines
    if rest:
        yield [rest]
