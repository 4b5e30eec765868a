"""Bytes of the API -> facts: only the fields that somebody asks for are decoded.

Rule: no bytes raise. An object that cannot be read is known by its name alone: a pod without
address and labels, a namespace without labels, a node without addresses. Policies are read later.
"""

from __future__ import annotations

from ipaddress import ip_address
from sys import intern
from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field
from msgspec.json import Decoder, Encoder

from podfence.admission.decode import decode
from podfence.admission.kinds import POLICY_KINDS
from podfence.errors import UNREADABLE, Source
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
from podfence.model.meta import METADATA_NAME_LABEL, MODE_ANNOTATION
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import ContainerPort, Node
from podfence.sets.addresses import unmapped

ObjectText = bytes | Raw
"""An object as JSON."""
_SOURCE = Source("the cluster")
_FINISHED = ("Succeeded", "Failed")
_Number = Annotated[int, Meta(ge=1, le=65535)]


class _Named(Struct, rename="camel", gc=False):
    name: str
    namespace: str | None = None
    resource_version: str = ""


class _Identified(Struct):
    metadata: _Named


class _Metadata(Struct, rename="camel"):
    name: str
    namespace: str = ""
    labels: Raw = field(default_factory=Raw)
    deletion_timestamp: str | None = None
    resource_version: str = ""


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


class _Labelled(Struct, rename="camel"):
    name: str
    labels: dict[str, str] | None = None
    resource_version: str = ""


class _Namespace(Struct):
    metadata: _Labelled


class _Annotations(Struct, omit_defaults=True):
    """The one annotation of policies that is read; the others are skipped."""

    mode: str | None = field(default=None, name=MODE_ANNOTATION)


class _Revised(_Named, rename="camel"):
    uid: str = ""
    generation: int = 0
    annotations: _Annotations | None = None


class _Policy(Struct, rename="camel"):
    metadata: _Revised
    api_version: str = ""
    kind: str = ""
    spec: Raw | UnsetType = UNSET


class _TrimmedPolicy(Struct, rename="camel", omit_defaults=True):
    """A policy without the fields that nobody reads."""

    api_version: str
    kind: str
    metadata: _KeptMetadata
    spec: Raw | UnsetType = UNSET


class _KeptMetadata(Struct, omit_defaults=True):
    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    annotations: _Annotations | None = None


class _WatchLine(Struct):
    type: str
    object: Raw


_line = Decoder(_WatchLine)
_pod = Decoder(_Pod)
_namespace = Decoder(_Namespace)
_policy = Decoder(_Policy)
_known = Decoder(_Identified)
_encode = Encoder().encode
_anything = Decoder(dict[str, Any])
_ports: dict[tuple[tuple[str, int, Protocol], ...], tuple[ContainerPort, ...]] = {}
_MAX_PORTS = 1 << 14


def event(kind: str, line: bytes) -> Event | None:
    """A line of a watch; None for what tells of no object (bookmarks, errors)."""
    try:
        told = _line.decode(line)
    except UNREADABLE:
        return None
    if told.type not in ("ADDED", "MODIFIED", "DELETED"):
        return None
    if told.type != "DELETED":
        found = facts(kind, told.object)
        return None if found is None else Put(found)
    known = _names(told.object)
    return None if known is None else Gone(kind, known.namespace or "", known.name)


class ReadObject(Struct, frozen=True):
    """What is to be known of an object. ``facts`` is None where the object does not even tell its
    name. ``fault``: why only the name is known; "" where the object could be read. ``version``: its
    resourceVersion. Policies are read later."""

    facts: Facts | None
    fault: str = ""
    version: str = ""


def facts(kind: str, document: ObjectText) -> Facts | None:
    """What is to be known of an object, whether it can be read or not."""
    return read(kind, document).facts


def read(kind: str, document: ObjectText, api_version: str = "") -> ReadObject:
    """What is to be known of an object, and what is wrong with it. Nothing of ``document`` is held
    on to. ``api_version``: for an object that does not tell its own, as in lists."""
    try:
        if kind in POLICY_KINDS:
            return _policy_reading(kind, document, api_version)
        return _read(kind, document)
    except (ValueError, *UNREADABLE) as error:
        return _unread(kind, document, str(error))


def _read(kind: str, document: ObjectText) -> ReadObject:
    """Raises DecodeError, ValueError."""
    if kind == "Pod":
        pod = _pod.decode(document)
        return ReadObject(_pod_facts(pod), "", pod.metadata.resource_version)
    if kind == "Namespace":
        metadata = _namespace.decode(document).metadata
        labels = {**(metadata.labels or {}), METADATA_NAME_LABEL: metadata.name}
        found = NamespaceFacts(metadata.name, tuple(sorted(labels.items())))
        return ReadObject(found, "", metadata.resource_version)
    return _node_reading(document) if kind == "Node" else ReadObject(None)


def _policy_reading(kind: str, document: ObjectText, api_version: str) -> ReadObject:
    """Raises DecodeError."""
    policy = _policy.decode(document)
    metadata = policy.metadata
    namespace, annotations = metadata.namespace or "", metadata.annotations
    if annotations is not None and annotations.mode is None:
        annotations = None
    kept = _TrimmedPolicy(
        policy.api_version or api_version,
        policy.kind or kind,
        _KeptMetadata(metadata.name, namespace, metadata.uid, metadata.generation, annotations),
        policy.spec,
    )
    found = PolicyFacts(kind, namespace, metadata.name, _encode(kept))
    return ReadObject(found, "", metadata.resource_version)


def _unread(kind: str, document: ObjectText, fault: str) -> ReadObject:
    named = _names(document)
    if named is None:
        return ReadObject(None, "it has no name")
    return ReadObject(
        _by_name(kind, named.namespace or "", named.name), fault, named.resource_version
    )


def _by_name(kind: str, namespace: str, name: str) -> Facts | None:
    if kind == "Pod":
        return PodFacts(namespace, name)
    if kind == "Namespace":
        return NamespaceFacts(name, ((METADATA_NAME_LABEL, name),))
    if kind in POLICY_KINDS:
        return PolicyFacts(kind, namespace, name, b"{}")
    return NodeFacts(name) if kind == "Node" else None


def _pod_facts(pod: _Pod) -> PodFacts:
    metadata, spec, status = pod.metadata, pod.spec, pod.status
    v4 = v6 = NO_ADDRESS
    texts = [each.ip for each in status.pod_ips or ()] or [status.pod_ip]
    for text in texts:
        if text:
            address = unmapped(ip_address(text))
            if address.version == 4:
                v4 = int(address)
            else:
                v6 = int(address)
    return PodFacts(
        intern(metadata.namespace),  # thousands of pods have the same few, and are held by name
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


def _node_reading(document: ObjectText) -> ReadObject:
    """Nodes are few, so they are read as everywhere."""
    data = {"apiVersion": "v1", "kind": "Node", **_anything.decode(document)}
    for found in decode(data, _SOURCE).objects:
        if isinstance(found, Node):
            facts = NodeFacts(found.name, found.labels, found.addresses, found.pod_cidrs)
            return ReadObject(facts, "", str(data["metadata"].get("resourceVersion", "")))
    raise ValueError("no node")


def _names(document: ObjectText) -> _Named | None:
    try:
        return _known.decode(document).metadata
    except (ValueError, *UNREADABLE):
        return None
