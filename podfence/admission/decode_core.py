"""Namespace, Node, Pod, Service and workload manifests -> values.

Rule: only fields that the semantics need are read, with every default of the API. Every function
notes its problems in ``Fields`` and still returns a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

import msgspec

from podfence.admission.decode_fields import Fields, parse_address
from podfence.admission.policy_values import text_labels
from podfence.admission.schema import Json
from podfence.model.meta import METADATA_NAME_LABEL, Labels, ObjectRef
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import (
    ContainerPort,
    EndpointSlice,
    EndpointSubset,
    Namespace,
    Node,
    Pod,
    Service,
    ServicePort,
)
from podfence.model.workloads import POD_TEMPLATE_HASH, controller_of_replicaset_pod
from podfence.sets.addresses import IPAddress, IPNetwork

CoreObject = Namespace | Node | Pod | Service | EndpointSlice


def metadata_of(fields: Fields, data: Json) -> Json:
    """The metadata of an object; absent is empty."""
    return fields.mapping(data, "metadata", "metadata")


def decode_namespace(fields: Fields, data: Json) -> Namespace:
    """A Namespace; its automatic name label wins over the manifest's (NP-21)."""
    metadata = metadata_of(fields, data)
    name = fields.ref("Namespace", metadata, namespaced=False).name
    labels = dict(fields.labels(metadata, "labels", "metadata.labels"))
    return Namespace(name, text_labels({**labels, METADATA_NAME_LABEL: name}), fields.source)


def decode_node(fields: Fields, data: Json) -> Node:
    """A Node; entries of ``status.addresses`` that are names, not addresses, are ignored."""
    metadata = metadata_of(fields, data)
    spec = fields.mapping(data, "spec", "spec")
    status = fields.mapping(data, "status", "status")
    found = [
        parse_address(fields.text(entry, "address", f"{path}.address"))
        for path, entry in fields.items(status, "addresses", "status.addresses")
    ]
    return Node(
        fields.ref("Node", metadata, namespaced=False).name,
        fields.labels(metadata, "labels", "metadata.labels"),
        tuple(dict.fromkeys(address for address in found if address is not None)),
        _pod_cidrs(fields, spec),
        fields.source,
    )


def _pod_cidrs(fields: Fields, spec: Json) -> tuple[IPNetwork, ...]:
    texts = list(fields.texts(spec, "podCIDRs", "spec.podCIDRs"))
    if not texts and (single := fields.text(spec, "podCIDR", "spec.podCIDR")):
        texts = [("spec.podCIDR", single)]
    networks = [fields.network(text, path) for path, text in texts]
    return tuple(network for network in networks if network is not None)


# ----------------------------------------------------------------------------------------- pods


def decode_pod(fields: Fields, data: Json) -> Pod:
    """A Pod. An empty ``status`` is none: client-side tools write it into manifests."""
    metadata = metadata_of(fields, data)
    spec = fields.mapping(data, "spec", "spec")
    status = fields.mapping(data, "status", "status")
    ref = fields.ref("Pod", metadata)
    labels = fields.labels(metadata, "labels", "metadata.labels")
    return Pod(
        ref.namespace,
        ref.name,
        labels,
        addresses=_addresses(fields, status, "podIP"),
        ports=pod_ports(fields, spec, "spec"),
        node=fields.text(spec, "nodeName", "spec.nodeName"),
        host_addresses=_addresses(fields, status, "hostIP"),
        host_network=fields.flag(spec, "hostNetwork", "spec.hostNetwork"),
        finished=fields.text(status, "phase", "status.phase") in ("Succeeded", "Failed"),
        deleting=bool(fields.text(metadata, "deletionTimestamp", "metadata.deletionTimestamp")),
        created=fields.text(metadata, "creationTimestamp", "metadata.creationTimestamp"),
        has_status=bool(status),
        owner=owner_of(fields, metadata, ref.namespace, labels),
        source=fields.source,
    )


def _addresses(fields: Fields, status: Json, key: str) -> tuple[IPAddress, ...]:
    """``status.podIPs`` or ``hostIPs``; the older singular field where the list is missing."""
    single = _single_text(status, key)
    if single and (known := _alone(single)):
        return known
    path = f"status.{key}"
    found = {}
    for here, entry in fields.items(status, f"{key}s", f"{path}s"):
        text_path = f"{here}.ip"
        address = fields.address(fields.text(entry, "ip", text_path), text_path)
        if address is not None and address.version in found:
            fields.refuse(text_path, f"second IPv{address.version} address: at most one a family")
        elif address is not None:
            found[address.version] = address
    if not found and (only := fields.address(fields.text(status, key, path), path)):
        found[only.version] = only
    return tuple(found.values())


def _single_text(status: Json, key: str) -> str:
    """The only address of a pod, as text; "" if the full decoder is needed. Nearly every pod has
    one."""
    listed = status.get(f"{key}s")
    if listed is None:
        only = status.get(key)
    elif type(listed) is list and len(listed) == 1 and type(listed[0]) is dict:
        only = listed[0].get("ip")
    else:
        return ""
    return only if type(only) is str else ""


@lru_cache(maxsize=1 << 14)
def _alone(text: str) -> tuple[IPAddress, ...]:
    """The address as a tuple; () if the text is not an address. The pods of a node share their
    host's."""
    address = parse_address(text)
    return () if address is None else (address,)


def pod_ports(fields: Fields, spec: Json, path: str) -> tuple[ContainerPort, ...]:
    """The ports of a pod's containers. The pods of a workload repeat them, so each distinct text is
    read once; one with a problem is read again for every pod."""
    written = _spelling((spec.get("containers"), spec.get("initContainers")))
    known = _known_ports.get(written)
    if known is not None:
        return known
    problems = len(fields.problems)
    ports = _read_ports(fields, spec, path)
    if written is not None and len(fields.problems) == problems:
        if len(_known_ports) >= _MAX_KNOWN:
            _known_ports.clear()
        _known_ports[written] = ports
    return ports


_MAX_KNOWN = 1 << 14
_known_ports: dict[bytes | None, tuple[ContainerPort, ...]] = {}


def _spelling(value: object) -> bytes | None:
    """Equal for equal values; None for values of YAML that JSON does not have."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None


_ENCODER = msgspec.json.Encoder()
_PORTS = range(1, 65536)


def _read_ports(fields: Fields, spec: Json, path: str) -> tuple[ContainerPort, ...]:
    """NP-34: ports of all containers and of init containers that restart always (sidecars)."""
    ports: list[ContainerPort] = []
    for here, container in fields.items(spec, "containers", f"{path}.containers"):
        ports += _container_ports(fields, container, here)
    for here, container in fields.items(spec, "initContainers", f"{path}.initContainers"):
        if fields.text(container, "restartPolicy", f"{here}.restartPolicy") == "Always":
            ports += _container_ports(fields, container, here)
    return tuple(ports)


def _container_ports(fields: Fields, container: Json, path: str) -> list[ContainerPort]:
    ports = []
    for here, entry in fields.items(container, "ports", f"{path}.ports"):
        name = fields.text(entry, "name", f"{here}.name")
        number = fields.port(entry, "containerPort", f"{here}.containerPort")
        ports.append(_container_port(name, number, fields.protocol(entry, f"{here}.protocol")))
    return ports


@lru_cache(maxsize=1 << 14)
def _container_port(name: str, number: int, protocol: Protocol) -> ContainerPort:
    return ContainerPort(name, number, protocol)


def owner_of(fields: Fields, metadata: Json, namespace: str, labels: Labels) -> ObjectRef | None:
    """The controller; a Deployment instead of its ReplicaSet. A static pod's Node is no owner."""
    path = "metadata.ownerReferences"
    for here, reference in fields.items(metadata, "ownerReferences", path):
        kind = fields.text(reference, "kind", f"{here}.kind")
        name = fields.text(reference, "name", f"{here}.name")
        is_controller = fields.flag(reference, "controller", f"{here}.controller")
        if is_controller and kind not in ("", "Node") and name:
            hash_label = next((value for key, value in labels if key == POD_TEMPLATE_HASH), "")
            return _controller(kind, namespace, name, hash_label)
    return None


@lru_cache(maxsize=1 << 14)
def _controller(kind: str, namespace: str, name: str, hash_label: str) -> ObjectRef:
    return controller_of_replicaset_pod(ObjectRef(kind, namespace, name), hash_label)


# ------------------------------------------------------------------------------------- services


def decode_service(fields: Fields, data: Json) -> Service:
    """A Service; a headless one has no cluster address."""
    metadata = metadata_of(fields, data)
    spec = fields.mapping(data, "spec", "spec")
    ref = fields.ref("Service", metadata)
    ports = [
        _service_port(fields, entry, path)
        for path, entry in fields.items(spec, "ports", "spec.ports")
    ]
    kind = fields.text(spec, "type", "spec.type")
    external_name = fields.text(spec, "externalName", "spec.externalName")
    virtual, balancers = _balancer_ips(fields, fields.mapping(data, "status", "status"))
    external = list(fields.texts(spec, "externalIPs", "spec.externalIPs"))
    return Service(
        ref,
        fields.labels(spec, "selector", "spec.selector"),
        _cluster_ips(fields, spec),
        tuple(ports),
        fields.source,
        headless=fields.text(spec, "clusterIP", "spec.clusterIP") == "None",
        external_name=external_name if kind == "ExternalName" else "",
        external_ips=tuple(dict.fromkeys((*_parsed(fields, external), *virtual))),
        balancer_ips=balancers,
    )


def _balancer_ips(
    fields: Fields, status: Json
) -> tuple[tuple[IPAddress, ...], tuple[IPAddress, ...]]:
    """Addresses of the load balancer by ``ipMode``: VIP, which is the default, and Proxy."""
    path = "status.loadBalancer"
    balancer = fields.mapping(status, "loadBalancer", path)
    found: dict[bool, list[IPAddress]] = {False: [], True: []}
    for here, entry in fields.items(balancer, "ingress", f"{path}.ingress"):
        is_proxy = fields.text(entry, "ipMode", f"{here}.ipMode") == "Proxy"
        text = fields.text(entry, "ip", f"{here}.ip")
        found[is_proxy] += _parsed(fields, [(f"{here}.ip", text)] if text else [])
    return tuple(found[False]), tuple(found[True])


def _parsed(fields: Fields, texts: Iterable[tuple[str, str]]) -> list[IPAddress]:
    found = [fields.address(text, path) for path, text in texts]
    return [address for address in found if address is not None]


def _cluster_ips(fields: Fields, spec: Json) -> tuple[IPAddress, ...]:
    texts = list(fields.texts(spec, "clusterIPs", "spec.clusterIPs"))
    if not texts:
        texts = [("spec.clusterIP", fields.text(spec, "clusterIP", "spec.clusterIP"))]
    return tuple(_parsed(fields, ((path, text) for path, text in texts if text != "None")))


def _service_port(fields: Fields, entry: Json, path: str) -> ServicePort:
    port = fields.port(entry, "port", f"{path}.port")
    target = entry.get("targetPort")
    if isinstance(target, str):
        target_port: int | str = target or port
    else:
        # 0 is how the API writes "not given" for a number.
        given = target is not None and (target != 0 or isinstance(target, bool))
        target_port = fields.port(entry, "targetPort", f"{path}.targetPort") if given else port
    name = fields.text(entry, "name", f"{path}.name")
    return ServicePort(name, port, target_port, fields.protocol(entry, f"{path}.protocol"))


_SERVICE_LABEL = "kubernetes.io/service-name"


def decode_endpoint_slice(fields: Fields, data: Json) -> EndpointSlice:
    """An EndpointSlice: the addresses that a node's proxy would send to, without domain names."""
    metadata = metadata_of(fields, data)
    service = dict(fields.labels(metadata, "labels", "metadata.labels")).get(_SERVICE_LABEL, "")
    texts: list[tuple[str, str]] = []
    if fields.text(data, "addressType", "addressType") != "FQDN":
        for here, entry in fields.items(data, "endpoints", "endpoints"):
            conditions = fields.mapping(entry, "conditions", f"{here}.conditions")
            if conditions.get("ready") is not False:  # null: unknown, and to be read as ready
                texts += fields.texts(entry, "addresses", f"{here}.addresses")
    ports = _endpoint_ports(fields, data, "ports")
    subset = EndpointSubset(tuple(_parsed(fields, texts)), ports)
    return EndpointSlice(fields.ref("EndpointSlice", metadata), service, (subset,), fields.source)


def decode_endpoints(fields: Fields, data: Json) -> EndpointSlice:
    """Endpoints, the older kind; they have the name of their Service."""
    metadata = metadata_of(fields, data)
    ref = fields.ref("Endpoints", metadata)
    subsets = []
    for here, subset in fields.items(data, "subsets", "subsets"):
        texts = [
            (f"{at}.ip", fields.text(entry, "ip", f"{at}.ip"))
            for at, entry in fields.items(subset, "addresses", f"{here}.addresses")
        ]
        ports = _endpoint_ports(fields, subset, f"{here}.ports")
        subsets.append(EndpointSubset(tuple(_parsed(fields, texts)), ports))
    return EndpointSlice(ref, ref.name, tuple(subsets), fields.source)


def _endpoint_ports(
    fields: Fields, parent: Json, path: str
) -> tuple[tuple[str, Protocol, int], ...]:
    """The ports of a slice that have a number. The API server does not validate them, so others are
    ignored."""
    return tuple(
        (
            fields.text(entry, "name", f"{here}.name"),
            fields.protocol(entry, f"{here}.protocol"),
            fields.port(entry, "port", f"{here}.port"),
        )
        for here, entry in fields.items(parent, "ports", path)
        if (port := entry.get("port")) is not None and (type(port) is not int or port in _PORTS)
    )


CORE_DECODERS: Mapping[str, Callable[[Fields, Json], CoreObject]] = {
    "Namespace": decode_namespace,
    "Node": decode_node,
    "Pod": decode_pod,
    "Service": decode_service,
    "Endpoints": decode_endpoints,
    "EndpointSlice": decode_endpoint_slice,
}
"""Kind to its decoder, but for workloads."""
