"""Which format a file has, told by what stands in it.

Rule: the first record decides for its file. JSON records stand a line each; answers of an API are
one document of several lines, which is read whole and therefore bounded.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from podfence.errors import UNREADABLE
from podfence.flows.calico import CalicoReader
from podfence.flows.conntrack import ConntrackReader, is_conntrack
from podfence.flows.csvtext import CsvReader, columns
from podfence.flows.denials import DenialReader
from podfence.flows.hubble import HubbleReader
from podfence.flows.jsonlines import said
from podfence.flows.seen import FlowRecords

MAX_DOCUMENT: Final = 64 << 20
"""Bytes of a JSON document of several lines."""
_SHORTEST: Final = 80
"""Letters that a record on one line has at least."""
KNOWN: Final = (
    "lines of hubble observe -o jsonpb, flow logs of Calico, conntrack -L, podfence drops -o json, "
    "or CSV whose first line is source,destination,protocol,port"
)


class Reader(Protocol):
    """Reads records of one format."""

    @property
    def lines(self) -> Callable[[Sequence[bytes], int], None]:
        """Read lines, of which the first has this number."""


class UnknownFormat(Exception):
    """No format that is known; the message says which are."""


class FlowReader:
    """Reads one file, piece by piece. ``file``: what it is called in messages."""

    def __init__(self, seen: FlowRecords, file: str) -> None:
        self._seen = seen
        self._file = file
        self._reader: Reader | None = None
        self._whole: list[bytes] | None = None
        self._size = 0

    def lines(self, lines: Sequence[bytes], first: int) -> None:
        """Read lines, of which the first has this number. Raises UnknownFormat."""
        if self._whole is not None:
            self._keep(lines)
            return
        if self._reader is None:
            lines = [lines[0].removeprefix(BOM_UTF8), *lines[1:]]
            start = next((at for at, line in enumerate(lines) if line.strip()), None)
            if start is None:
                return
            self._reader = self._told(lines[start], first + start)
            if self._reader is None:
                self._whole = []
                self._keep(lines)
                return
        self._reader.lines(lines, first)

    def end(self) -> None:
        """There is no more. Raises UnknownFormat."""
        if self._whole is None:
            return
        data = b"\n".join(self._whole)
        try:
            reader = self._of_document(msgspec.json.decode(data))
            if reader is not None:
                reader.document(data)
                return
        except UNREADABLE as error:
            raise UnknownFormat(f"no JSON document: {said(error)}") from error
        raise UnknownFormat(f"flows of no known format; known are {KNOWN}")

    def _keep(self, lines: Sequence[bytes]) -> None:
        assert self._whole is not None
        self._size += sum(map(len, lines))
        if self._size > MAX_DOCUMENT:
            raise UnknownFormat(
                f"a JSON document of more than {MAX_DOCUMENT >> 20} MiB; write a record a line, "
                "as jq -c '.items[]' does"
            )
        self._whole += lines

    def _told(self, line: bytes, number: int) -> Reader | None:
        """The reader of a file that begins so; None: a document of several lines."""
        text = line.decode("utf-8", "replace").strip()
        if text.startswith("{"):
            try:
                value = msgspec.json.decode(line)
            except UNREADABLE:
                # The start of a document, or a record that was cut off.
                return None if len(text) < _SHORTEST else HubbleReader(self._seen, self._file)
            return self._of_record(value) or self._of_line(value)
        header = columns(text) if number == 1 else None
        if header is not None:
            return CsvReader(self._seen, self._file, header)
        if is_conntrack(text) or text.startswith("conntrack v"):
            return ConntrackReader(self._seen, self._file)
        raise UnknownFormat(f"flows of no known format; known are {KNOWN}")

    def _of_record(self, value: Any) -> Reader | None:
        """The reader of records like this one."""
        if not isinstance(value, Mapping):
            return None
        flow = value.get("flow")
        inner = flow if isinstance(flow, Mapping) else value
        if "drop" in value or str(value.get("schema", "")).startswith("podfence.drops"):
            return DenialReader(self._seen, self._file)
        if "Key" in inner or "dest_namespace" in inner or "dest_name" in inner:
            return CalicoReader(self._seen, self._file)
        if "verdict" in inner or "IP" in inner or "lost_events" in value or "node_status" in value:
            return HubbleReader(self._seen, self._file)
        return None

    def _of_line(self, value: Any) -> Reader | None:
        """A document that stands on one line is read whole; anything else is unknown."""
        if self._of_document(value) is not None:
            return None
        raise UnknownFormat(f"flows of no known format; known are {KNOWN}")

    def _of_document(self, value: Any) -> CalicoReader | DenialReader | None:
        if isinstance(value, Mapping) and "nodes" in value:
            return DenialReader(self._seen, self._file)
        if isinstance(value, Mapping) and isinstance(value.get("items"), list):
            return CalicoReader(self._seen, self._file)
        return None
