"""Flow logs of Calico: lines of ``flows.log``, what Whisker shows, and what Goldmane's API gives.

Rule: a record stands for many connections and for all pods that share a name before their last
``-``. Both ends tell of a flow that both allow. Sources: Calico's "Flow log data types", and
goldmane/proto/api.proto.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from podfence.flows.jsonlines import JsonLines
from podfence.flows.protocols import port_of, protocol_of
from podfence.flows.seen import (
    EndKind,
    FlowRecords,
    RecordedEnd,
    RecordedVerdict,
    SkipReason,
    rfc3339,
)

_NETWORKS: Final = frozenset({"pub", "pvt", "PUBLIC NETWORK", "PRIVATE NETWORK"})
_PUBLIC: Final = frozenset({"pub", "PUBLIC NETWORK"})
_NETWORK_TYPES: Final = frozenset({"net", "ns", "Network", "NetworkSet"})
_HOST_TYPES: Final = frozenset({"hep", "HostEndpoint"})
_NONE: Final = frozenset({"", "-"})
_AT: Final = {"src": "sent", "dst": "received"}

_Text = str | None


class _Key(Struct, rename="camel"):
    """``FlowKey`` of Goldmane, as protobuf writes it in JSON."""

    source_name: str = ""
    source_namespace: str = ""
    source_type: str = ""
    dest_name: str = ""
    dest_namespace: str = ""
    dest_type: str = ""
    dest_port: int | str = 0
    proto: str = ""
    reporter: str = ""
    action: str = ""


class _Goldmane(Struct, rename="camel"):
    key: _Key | None = msgspec.field(default=None, name="Key")
    start_time: int | str = 0
    end_time: int | str = 0
    num_connections_started: int | str = 1


class CalicoRecord(Struct):
    """One record of any of the three formats; ``flow``: that of Goldmane. None: the record lacks
    the field."""

    flow: _Goldmane | None = None
    source_name: _Text = None
    source_name_aggr: _Text = None
    source_namespace: _Text = None
    source_type: _Text = None
    source_ip: _Text = None
    dest_name: _Text = None
    dest_name_aggr: _Text = None
    dest_namespace: _Text = None
    dest_type: _Text = None
    dest_ip: _Text = None
    dest_port: int | None = None
    proto: int | _Text = None
    protocol: _Text = None
    action: _Text = None
    reporter: _Text = None
    start_time: int | float | _Text = None
    end_time: int | float | _Text = None
    num_flows: int | None = None


class _FlowPage(Struct):
    """What Whisker's back end answers."""

    items: list[CalicoRecord] = []


LINES: Final[msgspec.json.Decoder[CalicoRecord]] = msgspec.json.Decoder(CalicoRecord)
_PAGE: Final[msgspec.json.Decoder[_FlowPage]] = msgspec.json.Decoder(_FlowPage)


class CalicoReader:
    """Counts Calico's records."""

    def __init__(self, seen: FlowRecords, file: str) -> None:
        self._seen = seen
        self.lines = JsonLines(seen, file, LINES, self._take).lines

    def document(self, data: bytes) -> None:
        """Read an answer of Whisker. Raises msgspec.DecodeError."""
        for record in _PAGE.decode(data).items:
            self._take(record)

    def _take(self, record: CalicoRecord) -> None:
        seen = self._seen
        seen.records += 1
        flow = record.flow
        if flow is not None:
            key = flow.key or _Key()
            source = _end(key.source_namespace, key.source_name, key.source_type, "")
            to = _end(key.dest_namespace, key.dest_name, key.dest_type, "")
            port: object = key.dest_port
            words = key.proto, key.action, key.reporter
            times = flow.start_time, flow.end_time
            count: object = flow.num_connections_started
        else:
            source = _end(
                record.source_namespace,
                _name(record.source_name, record.source_name_aggr),
                record.source_type,
                record.source_ip,
            )
            to = _end(
                record.dest_namespace,
                _name(record.dest_name, record.dest_name_aggr),
                record.dest_type,
                record.dest_ip,
            )
            port = record.dest_port
            proto = record.proto if record.proto is not None else record.protocol
            words = str(proto or ""), record.action or "", record.reporter or ""
            times = record.start_time, record.end_time  # type: ignore[assignment]  # other types
            count = record.num_flows
        self._count(source, to, words, _number(port), times, _number(count))

    def _count(
        self,
        source: RecordedEnd | None,
        to: RecordedEnd | None,
        words: tuple[str, str, str],
        port: int | None,
        times: tuple[Any, Any],
        count: int | None,
    ) -> None:
        """``words``: protocol, action, reporter."""
        seen = self._seen
        if source is None or to is None:
            seen.left[SkipReason.EMPTY] += 1
            return
        protocol = protocol_of(words[0])
        number = None if protocol is None else port_of(protocol, port)
        if protocol is None or number is None:
            seen.left[SkipReason.PROTOCOL] += 1
            return
        action = words[1].lower()
        if action not in ("allow", "deny"):
            seen.left[SkipReason.VERDICT] += 1
            return
        seen.add(
            (source, to),
            protocol,
            number,
            RecordedVerdict.ALLOWED if action == "allow" else RecordedVerdict.DENIED,
            times=tuple(text for time in times if (text := rfc3339(time))),
            count=max(count or 1, 1),
            at=_AT.get(words[2].lower(), ""),
        )


def _name(name: _Text, aggregated: _Text) -> str:
    return aggregated or "" if (name or "") in _NONE else name or ""


def _end(namespace: _Text, name: _Text, kind: _Text, address: _Text) -> RecordedEnd | None:
    """An end; None where the record names none."""
    space, name, kind = namespace or "", name or "", kind or ""
    if kind in _HOST_TYPES:
        return RecordedEnd(address=address or "", sort=EndKind.NODE)
    if kind in _NETWORK_TYPES or (name in _NETWORKS and space in _NONE):
        if name in _PUBLIC:
            return RecordedEnd(address=address or "", sort=EndKind.OUTSIDE)
        return RecordedEnd(address=address or "", word="" if address else f"{name}, no address")
    if name in _NONE or space in _NONE:
        return RecordedEnd(address=address) if address else None
    return RecordedEnd(space, name)


def _number(value: object) -> int | None:
    """A number, which protobuf writes as text if it may be long."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else None
    return value if isinstance(value, int) else None
