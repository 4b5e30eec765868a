"""Objects beside the policies -> entries from outside, and policies of other APIs.

Rule: an object that cannot be read is a warning with its position, and the rest is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address

from msgspec.structs import replace

from podfence.admission.decode_entries import ENTRY_DECODERS
from podfence.admission.decode_fields import Fields
from podfence.admission.decode_foreign import decode_foreign
from podfence.admission.kinds import group_of, is_policy_elsewhere
from podfence.admission.schema import Json
from podfence.errors import Problem, Severity, Source
from podfence.intake.documents import Document
from podfence.model.cluster import Cluster
from podfence.model.entries import (
    BoundAccount,
    Callback,
    ControllerClass,
    Entries,
    EntryPath,
    EntryPoint,
    Gateway,
    ReferenceGrant,
)
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import ForeignPolicy, Service
from podfence.sets.addresses import IPNetwork

_POD_SPECS = (
    ("spec", "jobTemplate", "spec", "template", "spec"),
    ("spec", "template", "spec"),
    ("spec",),
)
_FROM_OUTSIDE = frozenset({"LoadBalancer", "NodePort"})


def entries_of(documents: Iterable[Document]) -> tuple[Entries, tuple[Problem, ...]]:
    """The entries of objects, and the problems of objects that could not be read."""
    entries: list[EntryPoint] = []
    gateways: dict[ObjectRef, Gateway] = {}
    classes: list[ControllerClass] = []
    callbacks: list[Callback] = []
    accounts: set[BoundAccount] = set()
    grants: set[ReferenceGrant] = set()
    problems: list[Problem] = []
    for document in documents:
        data = document.data
        key = str(data.get("kind")), group_of(str(data.get("apiVersion")))
        decoder = ENTRY_DECODERS.get(key)
        if decoder is None:
            continue
        fields = Fields(document.source)
        for thing in decoder(fields, data):
            match thing:
                case EntryPoint():
                    entries.append(thing)
                case Gateway():
                    gateways[thing.ref] = thing
                case ControllerClass():
                    classes.append(thing)
                case Callback():
                    callbacks.append(thing)
                case BoundAccount():
                    accounts.add(thing)
                case ReferenceGrant():
                    grants.add(thing)
        problems += _warnings(fields, data)
    found = Entries(
        tuple(entries),
        gateways,
        tuple(classes),
        tuple(callbacks),
        frozenset(accounts),
        frozenset(grants),
    )
    return found, tuple(problems)


def foreign_of(
    documents: Iterable[Document], counted: Mapping[str, int]
) -> tuple[ForeignPolicy, ...]:
    """Policies of other APIs. ``counted``: those of which only the number is known."""
    found = [
        decode_foreign(document.data, document.source)
        for document in documents
        if _is_foreign(document.data)
    ]
    known = {policy.kind for policy in found}
    others = [
        ForeignPolicy(kind, number=number)
        for kind, number in counted.items()
        if kind not in known and number
    ]
    return (*found, *others)


def with_services(
    routes: Entries, cluster: Cluster, raw: Callable[[Source | None], Json | None]
) -> Entries:
    """Add the entries of Services and of ports of nodes. ``raw``: returns an object as it was
    written, None if that is unknown."""
    services = (each for s in cluster.services for each in _of_service(s, raw(s.source)))
    ports = _of_host_ports(cluster, raw)
    return replace(routes, entries=(*routes.entries, *services, *ports))


def _is_foreign(data: Json) -> bool:
    kind, version = data.get("kind"), data.get("apiVersion")
    return (
        isinstance(kind, str)
        and isinstance(version, str)
        and is_policy_elsewhere(kind, group_of(version))
    )


def _warnings(fields: Fields, data: Json) -> Iterator[Problem]:
    metadata = data.get("metadata")
    known = metadata if isinstance(metadata, Mapping) else {}
    name = f"{data.get('kind')} {known.get('namespace') or 'default'}/{known.get('name')}"
    for problem in fields.problems:
        text = f"{problem.message}; what it leads to is unknown"
        yield Problem("PF122", Severity.WARNING, text, fields.source, problem.path, name)


def _of_service(service: Service, data: Json | None) -> Iterator[EntryPoint]:
    spec = (data or {}).get("spec")
    if not isinstance(spec, Mapping):
        return
    kind = spec.get("type")
    if kind not in _FROM_OUTSIDE and not service.external_ips:
        return
    local = spec.get("externalTrafficPolicy") == "Local"
    ranges = spec.get("loadBalancerSourceRanges") if kind == "LoadBalancer" else None
    networks = tuple(_networks(ranges if isinstance(ranges, list) else ()))
    label = str(kind) if kind in _FROM_OUTSIDE else "externalIPs"
    ways = [(label, networks)]
    if networks and spec.get("allocateLoadBalancerNodePorts") is not False:
        ways.append(("NodePort", ()))  # no range counts at the ports of nodes
    for number, port in enumerate(service.ports):
        for sort, ranges in ways:
            yield EntryPoint(
                ObjectRef(sort, service.ref.namespace, service.ref.name),
                EntryPath.CLIENT if local else EntryPath.NODE,
                _node_port(spec, number) if sort == "NodePort" else f":{port.port}",
                service.ref,
                port.port,
                protocol=port.protocol,
                ranges=ranges,
                source=service.source,
                path=f"spec.ports[{number}]",
            )


def _node_port(spec: Mapping[str, object], number: int) -> str:
    """The node port that leads to a port of a Service. If none is written, the API server chooses
    one."""
    ports = spec.get("ports")
    port = ports[number] if isinstance(ports, list) and number < len(ports) else None
    found = port.get("nodePort") if isinstance(port, Mapping) else None
    return f":{found}" if type(found) is int and found else "a port of the nodes"


def _networks(texts: Iterable[object]) -> Iterator[IPNetwork]:
    fields = Fields(Source(""))
    for text in texts:
        network = fields.network(text.strip(), "") if isinstance(text, str) else None
        if network is not None:
            yield network


def _of_host_ports(
    cluster: Cluster, raw: Callable[[Source | None], Json | None]
) -> Iterator[EntryPoint]:
    seen: set[tuple[Source, ObjectRef]] = set()
    for pod in cluster.pods:
        if pod.source is None or not pod.is_seen or not pod.ports:
            continue
        owner = pod.owner or pod.ref
        if (pod.source, owner) in seen:
            continue
        seen.add((pod.source, owner))
        for path, entry in _container_ports(raw(pod.source)):
            number, host = entry.get("containerPort"), entry.get("hostPort")
            if _is_loopback(entry.get("hostIP")):
                continue
            protocol = entry.get("protocol") or "TCP"
            if type(host) is int and host and type(number) is int:
                yield EntryPoint(
                    ObjectRef("hostPort", owner.namespace, owner.name),
                    EntryPath.CLIENT,
                    f":{host}",
                    port=number,
                    protocol=Protocol(protocol),
                    pods_of=owner,
                    source=pod.source,
                    path=f"{path}.hostPort",
                )


def _container_ports(data: Json | None) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The ports of an object's containers, with their paths; its shape was checked when it was
    read."""
    for steps in _POD_SPECS:
        spec: object = data
        for step in steps:
            spec = spec.get(step) if isinstance(spec, Mapping) else None
        if not isinstance(spec, Mapping) or not isinstance(spec.get("containers"), list):
            continue
        for key in ("containers", "initContainers"):
            listed = spec.get(key)
            for at, container in enumerate(listed if isinstance(listed, list) else ()):
                if not isinstance(container, Mapping):
                    continue
                if key == "initContainers" and container.get("restartPolicy") != "Always":
                    continue  # done before the pod is (NP-34)
                ports = container.get("ports")
                for number, entry in enumerate(ports if isinstance(ports, list) else ()):
                    if isinstance(entry, Mapping):
                        yield f"{'.'.join(steps)}.{key}[{at}].ports[{number}]", entry
        return


def _is_loopback(address: object) -> bool:
    """Whether only the node itself can reach an address."""
    try:
        return isinstance(address, str) and ip_address(address).is_loopback
    except ValueError:
        return False
