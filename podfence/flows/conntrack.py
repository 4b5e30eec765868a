"""Connections that the kernel tracks: ``conntrack -L``, ``-E``, ``-o extended``, and
``/proc/net/nf_conntrack``.

Rule: each line has two tuples. The first is what the client sent; the second is what is awaited as
an answer, so that its source is the end behind a Service. Source: conntrack(8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from podfence.flows.protocols import port_of, protocol_of
from podfence.flows.seen import FlowRecords, RecordedEnd, SkipReason, rfc3339

_HEAD: Final = re.compile(
    r"\s*(?:\[(?P<time>\d+)(?:\.\d+)?\s*\]\s+)?(?:\[\s*(?:NEW|UPDATE|DESTROY)\s*\]\s+)?"
    r"(?:ipv[46]\s+\d+\s+)?(?P<protocol>[a-z0-9-]+)\s+(?P<number>\d+)\s"
)
_FIELD: Final = re.compile(r"\b(src|dst|sport|dport)=([0-9A-Fa-f:.]+)")
_UNANSWERED: Final = "[UNREPLIED]"
_STREAMS: Final = ("TCP", "SCTP")
"""Protocols of which a connection without an answer is none."""


def is_conntrack(line: str) -> bool:
    """Whether a line is one of a table of connections."""
    return bool(_HEAD.match(line)) and " src=" in line


class ConntrackReader:
    """Counts tracked connections."""

    def __init__(self, seen: FlowRecords, file: str) -> None:
        self._seen = seen
        self._file = file

    def lines(self, lines: Sequence[bytes], first: int) -> None:
        """Read lines, of which the first has this number."""
        for number, line in enumerate(lines, first):
            text = line.decode("utf-8", "replace").strip()
            if text and not text.startswith(("conntrack v", "#")):
                self._seen.records += 1
                self._line(text, number)

    def _line(self, text: str, number: int) -> None:
        seen = self._seen
        head = _HEAD.match(text)
        fields: list[dict[str, str]] = [{}, {}]
        for key, value in _FIELD.findall(text):
            side = fields[0] if key not in fields[0] else fields[1]
            side.setdefault(key, value)
        sent, awaited = fields
        if head is None or "src" not in sent or "src" not in awaited:
            what = "no line of a table of connections: it wants a protocol and src= twice"
            seen.fault(self._file, number, what)
            return
        protocol = protocol_of(head["number"])
        port = None
        if protocol is not None:
            port = port_of(protocol, _port(awaited.get("sport", "")))
        if protocol is None or port is None:
            seen.left[SkipReason.PROTOCOL] += 1
            return
        if protocol in _STREAMS and _UNANSWERED in text:
            seen.left[SkipReason.UNANSWERED] += 1
            return
        ends = RecordedEnd(address=sent["src"]), RecordedEnd(address=awaited["src"])
        times = (rfc3339(head["time"]),) if head["time"] else ()
        seen.add(ends, protocol, port, times=times)


def _port(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 5 else None
