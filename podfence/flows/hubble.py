"""Flows of Cilium's Hubble, as ``hubble observe -o jsonpb`` (or ``-o json``) prints them.

Rule: only the fields that are named here are decoded; each packet that Hubble saw is a record, so
that a long connection is many. Sources: flow.proto of Cilium; reserved identities of its documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from podfence.flows.jsonlines import JsonLines
from podfence.flows.seen import End, Left, Seen, Sort, Tally, Verdict
from podfence.sets.ports import OTHER

_ALLOWED: Final = frozenset({"FORWARDED", "REDIRECTED", "AUDIT"})
"""REDIRECTED: on to a proxy of layer 7. AUDIT: it passed, and a policy would have denied it."""
_DENIED: Final = "DROPPED"
_SORTS: Final[Mapping[int, Sort]] = {
    1: Sort.NODE,
    2: Sort.OUTSIDE,
    6: Sort.NODE,
    7: Sort.API_SERVER,
    9: Sort.OUTSIDE,
    10: Sort.OUTSIDE,
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


class _Addresses(Struct, frozen=True):
    source: str = ""
    destination: str = ""


_NOBODY = _Endpoint()
_NOWHERE = _Addresses()


class Record(Struct):
    """One flow; those that are wrapped have it in ``flow``."""

    flow: Record | None = None
    time: str = ""
    verdict: str = ""
    IP: _Addresses = _NOWHERE
    l4: _Layer4 | None = None
    source: _Endpoint = _NOBODY
    destination: _Endpoint = _NOBODY
    traffic_direction: str = ""
    is_reply: bool | None = None
    reply: bool = False


_DECODER: Final = msgspec.json.Decoder(Record)
_Raw = tuple[str, str, int, str, str, str, int, str, str, int, str]


class HubbleReader:
    """Counts Hubble's records."""

    def __init__(self, seen: Seen, file: str) -> None:
        self._seen = seen
        self._known: dict[_Raw, Tally | None] = {}
        self.lines = JsonLines(seen, file, _DECODER, self._take).lines

    def _take(self, record: Record) -> None:
        """This runs for every packet that Hubble saw: what was seen before takes the short way."""
        seen = self._seen
        seen.records += 1
        flow = record.flow or record
        verdict = flow.verdict
        if flow.is_reply or flow.reply:
            seen.left[Left.REPLY] += 1
            return
        layer = flow.l4
        protocol, port = ("", 0) if layer is None else _port(layer)
        if layer is None or not protocol:
            seen.left[Left.PROTOCOL] += 1
            return
        if flow.is_reply is None and verdict != _DENIED and not _begins(layer):
            seen.left[Left.DIRECTION] += 1
            return
        near, far, addresses = flow.source, flow.destination, flow.IP
        key = (
            near.namespace,
            near.pod_name,
            near.identity,
            "" if near.pod_name else addresses.source,
            far.namespace,
            far.pod_name,
            far.identity,
            "" if far.pod_name else addresses.destination,
            protocol,
            port,
            verdict,
        )
        try:
            tally = self._known[key]
        except KeyError:
            if not self._is_known_verdict(verdict) or not self._has_port(protocol, port):
                return
            tally = self._first(flow, key)
        if tally is None:
            seen.left[Left.TOO_MANY] += 1
            return
        direction = flow.traffic_direction
        if direction == "EGRESS":
            tally.sent += 1
        elif direction == "INGRESS":
            tally.received += 1
        else:
            tally.once += 1
        time = flow.time
        if time > tally.last:
            tally.last = time
            tally.first = tally.first or time
        elif time and time < tally.first:
            tally.first = time

    def _is_known_verdict(self, verdict: str) -> bool:
        if verdict in _ALLOWED or verdict == _DENIED:
            return True
        self._seen.left[Left.VERDICT] += 1
        return False

    def _has_port(self, protocol: str, port: int) -> bool:
        if protocol == OTHER or 0 < port < 1 << 16:
            return True
        self._seen.left[Left.PROTOCOL] += 1
        return False

    def _first(self, flow: Record, key: _Raw) -> Tally | None:
        """A flow that was not seen before in this file."""
        source = _end(flow.source, flow.IP.source)
        destination = _end(flow.destination, flow.IP.destination)
        if flow.source.identity == _HOST and flow.traffic_direction != "EGRESS":
            source = End(sort=Sort.OWN_NODE)
        verdict = Verdict.DENIED if flow.verdict == _DENIED else Verdict.ALLOWED
        tally = self._seen.tally(source, destination, key[8], key[9], verdict)
        if len(self._known) > len(self._seen.tallies):  # addresses beyond those told apart
            self._known.clear()
        self._known[key] = tally
        return tally


def _port(layer: _Layer4) -> tuple[str, int]:
    """Protocol and port; "" for what policies do not know."""
    if layer.TCP is not None:
        return "TCP", layer.TCP.destination_port
    if layer.UDP is not None:
        return "UDP", layer.UDP.destination_port
    if layer.SCTP is not None:
        return "SCTP", layer.SCTP.destination_port
    return (OTHER, 0) if layer.ICMPv4 is not None or layer.ICMPv6 is not None else ("", 0)


def _begins(layer: _Layer4) -> bool:
    """Whether a packet of which it is not told is the first of a connection."""
    flags = layer.TCP.flags if layer.TCP is not None else None
    return flags is not None and flags.syn and not flags.ack


def _end(endpoint: _Endpoint, address: str) -> End:
    if endpoint.pod_name:
        workload = endpoint.workloads[0].name if endpoint.workloads else ""
        return End(endpoint.namespace, endpoint.pod_name, workload)
    sort = _SORTS.get(endpoint.identity, Sort.UNTOLD)
    if endpoint.identity >= _LOCAL:
        sort = Sort.OUTSIDE
    return End(address=address, sort=sort)
