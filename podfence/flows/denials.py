"""What ``podfence drops -o json`` prints, with or without ``--follow`` and ``--audit``.

Rule: all of it was denied but what an audited policy would have denied, which passed (AUD-4);
answers are none of it. Addresses that may be several pods' are not resolved (NP-60a).
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from podfence.flows.jsonlines import JsonLines
from podfence.flows.protocols import port_of, protocol_of
from podfence.flows.seen import EndKind, FlowRecords, RecordedEnd, RecordedVerdict, SkipReason


class _DenialEnd(Struct):
    address: str = ""
    pods: list[str] = []
    node: str = ""


class _Drop(Struct):
    source: _DenialEnd
    destination: _DenialEnd
    protocol: str
    first: str = ""
    last: str = ""
    count: int = 1
    port: int | None = None
    reply: bool = False
    audit: bool = False


class _Node(Struct):
    drops: list[_Drop] = []


class DenialLine(Struct):
    """One line of ``--follow``, or the whole."""

    drop: _Drop | None = None
    nodes: list[_Node] = []


DECODER: Final[msgspec.json.Decoder[DenialLine]] = msgspec.json.Decoder(DenialLine)


class DenialReader:
    """Counts drops."""

    def __init__(self, seen: FlowRecords, file: str) -> None:
        self._seen = seen
        self.lines = JsonLines(seen, file, DECODER, self._take).lines

    def document(self, data: bytes) -> None:
        """Read one answer. Raises msgspec.DecodeError."""
        self._take(DECODER.decode(data))

    def _take(self, line: DenialLine) -> None:
        drops = [line.drop] if line.drop is not None else []
        for drop in (*drops, *(each for node in line.nodes for each in node.drops)):
            self._count(drop)

    def _count(self, drop: _Drop) -> None:
        seen = self._seen
        seen.records += 1
        protocol = protocol_of(drop.protocol)
        port = None if protocol is None else port_of(protocol, drop.port)
        if drop.reply:
            seen.left[SkipReason.REPLY] += 1
        elif protocol is None or port is None:
            seen.left[SkipReason.PROTOCOL] += 1
        else:
            seen.add(
                (_end(drop.source), _end(drop.destination)),
                protocol,
                port,
                RecordedVerdict.ALLOWED if drop.audit else RecordedVerdict.DENIED,
                times=(drop.first, drop.last),
                count=max(drop.count, 1),
            )


def _end(end: _DenialEnd) -> RecordedEnd:
    if len(end.pods) == 1:
        namespace, _, pod = end.pods[0].partition("/")
        return RecordedEnd(namespace, pod)
    if end.node:
        return RecordedEnd(address=end.address, sort=EndKind.NODE)
    return RecordedEnd(address=end.address)
