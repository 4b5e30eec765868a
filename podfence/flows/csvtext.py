"""Flows as comma-separated values, the first line of which names the columns.

Rule: ``source,destination,protocol,port`` in any order; ``time``, ``count`` and ``verdict`` may be
there, other columns are not read. Ends are addresses, or names as the command line takes them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Final

from podfence.flows.protocols import port_of, protocol_of
from podfence.flows.seen import FlowRecords, RecordedEnd, RecordedVerdict, SkipReason, rfc3339

_COLUMNS: Final[Mapping[str, str]] = {
    "source": "source",
    "src": "source",
    "from": "source",
    "destination": "destination",
    "dst": "destination",
    "dest": "destination",
    "to": "destination",
    "protocol": "protocol",
    "proto": "protocol",
    "port": "port",
    "dport": "port",
    "dest_port": "port",
    "destination_port": "port",
    "time": "time",
    "timestamp": "time",
    "count": "count",
    "flows": "count",
    "verdict": "verdict",
    "action": "verdict",
}
NEEDED: Final = ("source", "destination", "protocol", "port")
_ADDRESS: Final = frozenset("0123456789abcdefABCDEF:.")
_VERDICTS: Final[Mapping[str, RecordedVerdict]] = {
    "": RecordedVerdict.ALLOWED,
    **dict.fromkeys(("allow", "allowed", "accept", "forwarded", "pass"), RecordedVerdict.ALLOWED),
    **dict.fromkeys(("deny", "denied", "drop", "dropped", "reject"), RecordedVerdict.DENIED),
}
_MOST: Final = 1 << 40
"""A count that no file can mean."""


def columns(line: str) -> Mapping[str, int] | None:
    """Where each column is, None if a line does not name all that are needed."""
    found: dict[str, int] = {}
    for at, name in enumerate(_cells(line)):
        column = _COLUMNS.get(name.strip().lower())
        if column is not None:
            found.setdefault(column, at)
    return found if all(name in found for name in NEEDED) else None


class CsvReader:
    """Counts rows. The first line is the header."""

    def __init__(self, seen: FlowRecords, file: str, header: Mapping[str, int]) -> None:
        self._seen = seen
        self._file = file
        self._header = header

    def lines(self, lines: Sequence[bytes], first: int) -> None:
        """Read lines, of which the first has this number."""
        for number, line in enumerate(lines, first):
            if number == 1 or not line.strip():
                continue
            self._seen.records += 1
            fault = self._row(_cells(line.decode("utf-8", "replace")))
            if fault:
                self._seen.fault(self._file, number, fault)

    def _row(self, cells: Sequence[str]) -> str:
        """Count one; what is wrong with it, or ""."""
        row = {name: cells[at].strip() for name, at in self._header.items() if at < len(cells)}
        missing = [name for name in NEEDED[:3] if not row.get(name)]
        if missing:
            return f"no {missing[0]}"
        protocol = protocol_of(row["protocol"])
        if protocol is None:
            return f"{row['protocol'][:40]!r} is not a protocol; write TCP, UDP, SCTP or ICMP"
        port = port_of(protocol, _number(row.get("port", "")))
        if port is None:
            return f"{row.get('port', '')[:40]!r} is not a port; write a number from 1 to 65535"
        verdict = _VERDICTS.get(row.get("verdict", "").lower())
        if verdict is None:
            self._seen.left[SkipReason.VERDICT] += 1
            return ""
        text = row.get("count", "")
        count = _number(text) if text else 1
        if count is None or not 0 < count < _MOST:
            return f"{text[:40]!r} is not a count; write a number of at least 1"
        ends = _end(row["source"]), _end(row["destination"])
        time = rfc3339(row.get("time", ""))
        times = (time,) if time else ()
        self._seen.add(ends, protocol, port, verdict, times=times, count=count)
        return ""


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line.replace("\0", "")]), [])
    except csv.Error:  # longer than a field may be
        return []


def _end(text: str) -> RecordedEnd:
    is_address = _ADDRESS.issuperset(text) and ("." in text or ":" in text)
    return RecordedEnd(address=text) if is_address else RecordedEnd(word=text)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None
