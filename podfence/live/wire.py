"""Bytes of the API -> facts: only the fields that somebody asks for are decoded.

Rule: no bytes raise. An object that cannot be read is known by its name alone: a pod without
address and labels, a namespace without labels, a node without addresses; policies are read later.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct, field
from msgspec.json import Decoder

from podfence.admission.decode import decode
from podfence.admission.kinds import POLICY_KINDS
from podfence.errors import Source
from podfence.model.facts import (
    NO_ADDRESS,
    Event,
    Facts,
    Gone,
    NamespaceFacts,
    NodeFacts,
    PodFacts,
    PolicyFacts,
    Put,
)
from podfence.model.meta import METADATA_NAME_LABEL
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import ContainerPort, Node

_SOURCE = Source("the cluster")
_FINISHED = ("Succeeded", "Failed")
_Number = Annotated[int, Meta(ge=1, le=65535)]


class _Named(Struct, gc=False):
    name: str
    namespace: str = ""


class _Known(Struct):
    metadata: _Named


class _Metadata(Struct, rename="camel"):
    name: str
    namespace: str = ""
    labels: Raw = field(default_factory=Raw)
    deletion_timestamp: str | None = None


class _Port(Struct, rename="camel"):
    container_port: _Number
    name: str = ""
    protocol: Protocol = Protocol.TCP


class _Container(Struct, rename="camel"):
    ports: tuple[_Port, ...] | None = ()
    restart_policy: str | None = None


class _PodSpec(Struct, rename="camel"):
    node_name: str = ""
    host_network: bool | None = False
    containers: tuple[_Container, ...] | None = ()
    init_containers: tuple[_Container, ...] | None = ()


class _Address(Struct):
    ip: str = ""


class _PodStatus(Struct):
    phase: str = ""
    pod_ip: str = field(default="", name="podIP")
    pod_ips: tuple[_Address, ...] | None = field(default=(), name="podIPs")


class _Pod(Struct):
    metadata: _Metadata
    spec: _PodSpec = field(default_factory=_PodSpec)
    status: _PodStatus = field(default_factory=_PodStatus)


class _Labelled(Struct):
    name: str
    labels: dict[str, str] | None = None


class _Namespace(Struct):
    metadata: _Labelled


class _Line(Struct):
    type: str
    object: Raw


_line = Decoder(_Line)
_pod = Decoder(_Pod)
_namespace = Decoder(_Namespace)
_known = Decoder(_Known)
_anything = Decoder(dict[str, Any])
_ports: dict[tuple[tuple[str, int, Protocol], ...], tuple[ContainerPort, ...]] = {}
_MAX_PORTS = 1 << 14


def event(kind: str, line: bytes) -> Event | None:
    """A line of a watch; None for what tells of no object (bookmarks, errors)."""
    try:
        told = _line.decode(line)
    except msgspec.DecodeError:
        return None
    if told.type not in ("ADDED", "MODIFIED", "DELETED"):
        return None
    if told.type != "DELETED":
        found = facts(kind, bytes(told.object))
        return None if found is None else Put(found)
    known = _names(bytes(told.object))
    return None if known is None else Gone(kind, known.namespace, known.name)


class Reading(Struct, frozen=True):
    """What is to be known of an object; None where it does not even tell its name. ``fault``: why
    it is known by its name alone, "" where it could be read. Policies are read later."""

    facts: Facts | None
    fault: str = ""


def facts(kind: str, document: bytes) -> Facts | None:
    """What is to be known of an object, whether it can be read or not."""
    return read(kind, document).facts


def read(kind: str, document: bytes) -> Reading:
    """What is to be known of an object, and what is wrong with it."""
    if kind in POLICY_KINDS:
        named = _names(document)
        if named is None:
            return Reading(None, "it has no name")
        return Reading(PolicyFacts(kind, named.namespace, named.name, document))
    try:
        return Reading(_read(kind, document))
    except (msgspec.DecodeError, ValueError) as error:
        return Reading(_unread(kind, document), str(error))


def _read(kind: str, document: bytes) -> Facts | None:
    """Raises DecodeError, ValueError."""
    if kind == "Pod":
        return _pod_facts(_pod.decode(document))
    if kind == "Namespace":
        metadata = _namespace.decode(document).metadata
        labels = {**(metadata.labels or {}), METADATA_NAME_LABEL: metadata.name}
        return NamespaceFacts(metadata.name, tuple(sorted(labels.items())))
    return _node_facts(document) if kind == "Node" else None


def _unread(kind: str, document: bytes) -> Facts | None:
    named = _names(document)
    if named is None:
        return None
    if kind == "Pod":
        return PodFacts(named.namespace, named.name)
    if kind == "Namespace":
        return NamespaceFacts(named.name, ((METADATA_NAME_LABEL, named.name),))
    return NodeFacts(named.name) if kind == "Node" else None


def _pod_facts(pod: _Pod) -> PodFacts:
    metadata, spec, status = pod.metadata, pod.spec, pod.status
    v4 = v6 = NO_ADDRESS
    texts = [each.ip for each in status.pod_ips or ()] or [status.pod_ip]
    for text in texts:
        if text:
            address = ip_address(text)
            if address.version == 4:
                v4 = int(address)
            else:
                v6 = int(address)
    return PodFacts(
        metadata.namespace,
        metadata.name,
        bytes(metadata.labels),
        _named_ports(spec),
        v4,
        v6,
        spec.node_name,
        bool(metadata.deletion_timestamp),
        not (spec.host_network or status.phase in _FINISHED),
    )


def _named_ports(spec: _PodSpec) -> tuple[ContainerPort, ...]:
    """The named ports of containers, and of init containers that restart always (NP-34)."""
    sidecars = [c for c in spec.init_containers or () if c.restart_policy == "Always"]
    found = {
        (port.name, port.container_port, port.protocol)
        for container in (*(spec.containers or ()), *sidecars)
        for port in container.ports or ()
        if port.name
    }
    key = tuple(sorted(found, key=lambda each: (each[0], each[1], each[2].value)))
    ports = _ports.get(key)
    if ports is None:
        if len(_ports) >= _MAX_PORTS:
            _ports.clear()
        ports = _ports[key] = tuple(ContainerPort(*each) for each in key)
    return ports


def _node_facts(document: bytes) -> NodeFacts:
    """Nodes are few, so they are read as everywhere."""
    for found in decode(_anything.decode(document), _SOURCE).objects:
        if isinstance(found, Node):
            return NodeFacts(found.name, found.labels, found.addresses, found.pod_cidrs)
    raise ValueError("no node")


def _names(document: bytes) -> _Named | None:
    try:
        return _known.decode(document).metadata
    except msgspec.DecodeError:
        return None
