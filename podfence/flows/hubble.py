"""Flows of Cilium's Hubble, as ``hubble observe -o jsonpb`` (or ``-o json``) prints them.

Rule: only the fields that are named here are decoded; each packet that Hubble saw is a record, so
that a long connection is many. Sources: flow.proto of Cilium; reserved identities of its documents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from podfence.flows.jsonlines import JsonLines
from podfence.flows.seen import (
    EndKind,
    FlowRecords,
    FlowTally,
    RecordedEnd,
    RecordedVerdict,
    SkipReason,
)
from podfence.sets.ports import MAX_PORT, OTHER

_ALLOWED: Final = frozenset({"FORWARDED", "REDIRECTED", "AUDIT"})
"""REDIRECTED: on to a proxy of layer 7. AUDIT: it passed, and a policy would have denied it."""
_DENIED: Final = "DROPPED"
_SORTS: Final[Mapping[int, EndKind]] = {
    1: EndKind.NODE,
    2: EndKind.OUTSIDE,
    6: EndKind.NODE,
    7: EndKind.API_SERVER,
    9: EndKind.OUTSIDE,
    10: EndKind.OUTSIDE,
}
_HOST: Final = 1
_LOCAL: Final = 1 << 24
"""Identities from here on are blocks of addresses."""


class _Workload(Struct, frozen=True):
    name: str = ""


class _Endpoint(Struct, frozen=True):
    identity: int = 0
    namespace: str = ""
    pod_name: str = ""
    workloads: tuple[_Workload, ...] = ()


class _Flags(Struct, rename="upper"):
    syn: bool = False
    ack: bool = False


class _Ports(Struct):
    destination_port: int = 0
    flags: _Flags | None = None


class _Icmp(Struct):
    pass


class _Layer4(Struct):
    TCP: _Ports | None = None
    UDP: _Ports | None = None
    SCTP: _Ports | None = None
    ICMPv4: _Icmp | None = None
    ICMPv6: _Icmp | None = None


class _FlowAddresses(Struct, frozen=True):
    source: str = ""
    destination: str = ""


_NOBODY = _Endpoint()
_NOWHERE = _FlowAddresses()


class HubbleRecord(Struct):
    """One flow, or an object that has it in ``flow``. An empty field was missing in the record."""

    flow: HubbleRecord | None = None
    time: str = ""
    verdict: str = ""
    IP: _FlowAddresses = _NOWHERE
    l4: _Layer4 | None = None
    source: _Endpoint = _NOBODY
    destination: _Endpoint = _NOBODY
    traffic_direction: str = ""
    is_reply: bool | None = None
    reply: bool = False


_DECODER: Final = msgspec.json.Decoder(HubbleRecord)
_WRAPPED: Final = b'{"flow":{"time":"'
_BARE: Final = b'{"time":"'
_IDENTIFIER: Final = b'","uuid":"'
_CLIENT: Final = b'"source_port":'
_REPLY: Final = b'"is_reply":true'
_TAIL: Final = -600
"""Where ``is_reply`` stands in a line that does not say much more."""
_MOST_ALIKE: Final = 200_000
"""Shapes of lines that are remembered."""
_Shape = tuple[int, ...]
"""Two hashes of 64 bits with a secret of the process: no two shapes ever share both."""
_NO_SHAPE: Final[tuple[_Shape, bytes]] = ((), b"")
_AT: Final = {"EGRESS": "sent", "INGRESS": "received"}


class HubbleReader:
    """Counts Hubble's records.

    Hubble tells of each packet, so that most lines are like one that was decoded before but for
    their times and the port of the client. Such lines are not decoded again.
    """

    def __init__(self, seen: FlowRecords, file: str) -> None:
        self._seen = seen
        self._decoding = JsonLines(seen, file, _DECODER, self._take)
        self._alike: dict[_Shape, tuple[FlowTally, str]] = {}
        self._counted: tuple[FlowTally, str] | None = None
        """Where the record that was decoded last is counted."""

    def lines(self, lines: Sequence[bytes], first: int) -> None:
        """Read lines, of which the first has this number."""
        seen, alike = self._seen, self._alike
        replies = known = 0
        for number, line in enumerate(lines, first):
            if line.find(_REPLY, _TAIL) >= 0 and line.endswith(b"}"):
                replies += 1
                continue
            key, time = _shape(line)
            counted = alike.get(key)
            if counted is None:
                self._counted = None
                self._decoding.one(line, number)
                if key and self._counted is not None:
                    if len(alike) >= _MOST_ALIKE:
                        alike.clear()
                    alike[key] = self._counted
                continue
            known += 1
            _count(counted, time.decode("ascii", "replace"))
        seen.records += replies + known
        if replies:
            seen.left[SkipReason.REPLY] += replies

    def _take(self, record: HubbleRecord) -> None:
        seen = self._seen
        seen.records += 1
        flow = record.flow or record
        layer = flow.l4
        protocol, port = ("", 0) if layer is None else _port(layer)
        if flow.is_reply or flow.reply:
            seen.left[SkipReason.REPLY] += 1
        elif layer is None or not protocol:
            seen.left[SkipReason.PROTOCOL] += 1
        elif flow.is_reply is None and flow.verdict != _DENIED and not _begins(layer):
            seen.left[SkipReason.DIRECTION] += 1
        elif flow.verdict not in _ALLOWED and flow.verdict != _DENIED:
            seen.left[SkipReason.VERDICT] += 1
        else:
            self._add(flow, protocol, port)

    def _add(self, flow: HubbleRecord, protocol: str, port: int) -> None:
        source = _end(flow.source, flow.IP.source)
        destination = _end(flow.destination, flow.IP.destination)
        if flow.source.identity == _HOST and flow.traffic_direction != "EGRESS":
            source = RecordedEnd(sort=EndKind.OWN_NODE)
        verdict = RecordedVerdict.DENIED if flow.verdict == _DENIED else RecordedVerdict.ALLOWED
        tally = self._seen.tally(source, destination, protocol, port, verdict)
        if tally is None:
            self._seen.left[SkipReason.TOO_MANY] += 1
            return
        self._counted = tally, _AT.get(flow.traffic_direction, "once")
        _count(self._counted, flow.time)


def _shape(line: bytes) -> tuple[_Shape, bytes]:
    """A line without its times, its identifier and the port of the client, and its time: lines of
    the same shape say the same. () for a line that is written in another way.

    No string of JSON holds the marks that are looked for: quotes are escaped in it.
    """
    if line.startswith(_WRAPPED):
        start = len(_WRAPPED)
    elif line.startswith(_BARE):
        start = len(_BARE)
    else:
        return _NO_SHAPE
    end = line.find(b'"', start)
    head = end
    if line.startswith(_IDENTIFIER, end):
        head = line.find(b'"', end + len(_IDENTIFIER))
    client = line.find(_CLIENT, head)
    after = line.find(b",", client)
    if client < 0 or not line[client + len(_CLIENT) : after].isdigit() or not line.endswith(b"}"):
        return _NO_SHAPE
    time = line[start:end]
    # Around a flow, its time stands once more.
    stop = len(line) - len(time) - 2 if line.endswith(time + b'"}') else len(line)
    return (hash(line[head:client]), hash(line[after:stop])), time


def _count(counted: tuple[FlowTally, str], time: str) -> None:
    tally, at = counted
    if at == "sent":
        tally.sent += 1
    elif at == "received":
        tally.received += 1
    else:
        tally.once += 1
    if time > tally.last:
        tally.last = time
        tally.first = tally.first or time
    elif time and time < tally.first:
        tally.first = time


def _port(layer: _Layer4) -> tuple[str, int]:
    """Protocol and port; "" for what policies do not know."""
    if layer.ICMPv4 is not None or layer.ICMPv6 is not None:
        return OTHER, 0
    for protocol, ports in (("TCP", layer.TCP), ("UDP", layer.UDP), ("SCTP", layer.SCTP)):
        if ports is not None and 0 < ports.destination_port <= MAX_PORT:
            return protocol, ports.destination_port
    return "", 0


def _begins(layer: _Layer4) -> bool:
    """Whether a packet of which it is not told is the first of a connection."""
    flags = layer.TCP.flags if layer.TCP is not None else None
    return flags is not None and flags.syn and not flags.ack


def _end(endpoint: _Endpoint, address: str) -> RecordedEnd:
    if endpoint.pod_name:
        workload = endpoint.workloads[0].name if endpoint.workloads else ""
        return RecordedEnd(endpoint.namespace, endpoint.pod_name, workload)
    sort = _SORTS.get(endpoint.identity, EndKind.UNTOLD)
    if endpoint.identity >= _LOCAL:
        sort = EndKind.OUTSIDE
    return RecordedEnd(address=address, sort=sort)
