"""Small adversarial clusters and flows from a random source.

Rule: valid values only (what validation refuses is not made here), tiny alphabets, so that
selectors match about half of the time, and addresses and ports on both sides of every boundary.
ClusterNetworkPolicies are made in ``tests/random_tiers.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random

from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import ProtocolMatch
from podfence.model.meta import METADATA_NAME_LABEL, labels_of
from podfence.model.networkpolicy import NetworkPolicyPort
from podfence.model.objects import ContainerPort, Namespace, Node, Pod
from podfence.policy.flow import Flow
from podfence.sets.addresses import IPAddress, IPNetwork
from podfence.sets.ports import OTHER
from tests.support.random_policies import (
    NAMESPACES,
    PARTS,
    POOL,
    PORT_NAMES,
    PORTS,
    PROTOCOLS,
    V4_PODS,
    V6_PODS,
    leaning,
    random_labels,
    random_policy,
)
from tests.support.random_tiers import NAMES, random_admin_policies

NODE_ADDRESSES: dict[str, tuple[IPAddress, ...]] = {
    "n1": (ip_address("172.18.0.2"), ip_address("10.0.0.254"), ip_address("fd00::fe")),
    "n2": (ip_address("172.18.0.3"), ip_address("fd18::3")),
    "n3": (ip_address("172.18.0.4"),),
}
"""The second address of n1 is a bridge inside the pods' range, as CNI plugins make it (NP-52)."""
UNNAMED_HOST = ip_address("172.18.0.9")
"""Host address of pods whose node nobody names."""
OUTSIDE = tuple(
    ip_address(text)
    for text in (
        "192.0.2.1",
        "0.0.0.0",
        "255.255.255.255",
        "10.0.0.15",
        "9.255.255.255",
        "2001:db8::1",
        "::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "::ffff:10.0.0.1",
        "fd00::f",
    )
)


@dataclass(frozen=True)
class Size:
    """Upper bounds of what a cluster holds; lower bounds are 1 namespace and 2 pods.

    ``admin_policies``: of both tiers together; with 0, nodes have no labels either, since nothing
    looks at them. ``rules`` and ``items`` bound the lists of both kinds of policies.
    """

    namespaces: int = 4
    pods: int = 8
    policies: int = 8
    rules: int = 3
    items: int = 3
    admin_policies: int = 0


TIERS = Size(policies=4, admin_policies=4)
"""Clusters in which every tier has something to say."""


def random_cluster(rng: Random, size: Size = Size()) -> Cluster:
    """One cluster; the same random state gives the same cluster."""
    names = NAMESPACES[: rng.randint(2, size.namespaces)]
    pool = _Pool(rng)
    pods = [
        _pod(rng, rng.choice(names), f"p{number}", pool)
        for number in range(rng.randint(2, size.pods))
    ]
    objects: list[ClusterObject] = []
    objects += [_namespace(rng, name) for name in names if rng.random() < 0.9]
    objects += [
        Node(name, addresses=known) for name, known in NODE_ADDRESSES.items() if rng.random() < 0.8
    ]
    objects += _with_shared_addresses(rng, _with_stale_addresses(rng, pods))
    objects += [
        random_policy(rng, rng.choice(pods).namespace, f"np{number}", size.rules, size.items)
        for number in range(leaning(rng, size.policies))
    ]
    if size.admin_policies:
        objects = [_labelled(rng, thing) for thing in objects]
        bounds = (leaning(rng, size.admin_policies), size.rules, size.items)
        objects += random_admin_policies(rng, PARTS, *bounds)
    return cluster_of(objects)


def _labelled(rng: Random, thing: ClusterObject) -> ClusterObject:
    """Nodes with labels, for peers that select nodes (CNP-18)."""
    return replace(thing, labels=random_labels(rng)) if isinstance(thing, Node) else thing


def cluster_of(objects: Iterable[ClusterObject]) -> Cluster:
    """The cluster that holds these objects, with the namespaces that they name."""
    return Cluster.of(objects)


class FlowSource:
    """Draws connection attempts that some policy of a cluster has a chance to care about."""

    def __init__(self, cluster: Cluster) -> None:
        self.ports = interesting_ports(cluster)
        self.pods = {
            family: [a for pod in cluster.pods for a in pod.addresses if a.version == family]
            for family in (4, 6)
        }
        self.declared = {
            address: pod.ports for pod in cluster.pods if pod.ports for address in pod.addresses
        }
        self.others = {family: interesting_addresses(cluster, family) for family in (4, 6)}
        if cluster.admin_policies:
            for address in (a for known in NODE_ADDRESSES.values() for a in known * 4):
                self.others[address.version].append(address)

    def draw(self, rng: Random) -> Flow:
        """One flow; both ends of one family."""
        family = 4 if rng.random() < 0.6 else 6
        source, destination = self._end(rng, family), self._end(rng, family)
        if destination in self.declared and rng.random() < 0.4:
            declared = rng.choice(self.declared[destination])
            return Flow(source, destination, declared.protocol.value, declared.port)
        protocol = rng.choice(("TCP", "TCP", "TCP", "UDP", "UDP", "SCTP", OTHER))
        port = 0 if protocol == OTHER else rng.choice(self.ports)
        return Flow(source, destination, protocol, port)

    def _end(self, rng: Random, family: int) -> IPAddress:
        pods = self.pods[family]
        return rng.choice(pods if pods and rng.random() < 0.8 else self.others[family])


def random_flow(rng: Random, cluster: Cluster) -> Flow:
    """One flow through a cluster; see :class:`FlowSource`."""
    return FlowSource(cluster).draw(rng)


def interesting_addresses(cluster: Cluster, family: int) -> list[IPAddress]:
    """Addresses of one family at the edges of every ipBlock, of nodes and of nobody."""
    found: set[IPAddress] = {a for a in OUTSIDE if a.version == family}
    for known in (*NODE_ADDRESSES.values(), *(node.addresses for node in cluster.nodes.values())):
        found.update(a for a in known if a.version == family)
    for block in _blocks(cluster):
        if block.version == family:
            found.update(_edges(block))
    if cluster.admin_policies:
        found.update(a for known in NAMES.values() for a in known if a.version == family)
    return sorted(found, key=int)


def interesting_ports(cluster: Cluster) -> list[int]:
    """Ports at the edges of every policy port and container port, 0 and 65535 included."""
    edges = {0, 65535, *PORTS}
    for pod in cluster.pods:
        edges.update(declared.port for declared in pod.ports)
    for item in _port_items(cluster):
        if isinstance(item.port, int):
            last = item.end_port or item.port
            edges.update((item.port - 1, item.port, last, last + 1))
    return sorted(port for port in edges if 0 <= port <= 65535)


def objects_of(cluster: Cluster) -> list[ClusterObject]:
    """Everything that a cluster was made of, and the namespaces that it implies."""
    return [
        *cluster.namespaces.values(),
        *cluster.nodes.values(),
        *cluster.pods,
        *cluster.policies,
        *cluster.admin_policies,
    ]


@st.composite
def clusters(draw: st.DrawFn, size: Size = Size()) -> Cluster:
    """Strategy of clusters; hypothesis owns every choice, so failures shrink to small clusters."""
    return random_cluster(draw(st.randoms(use_true_random=False)), size)


@st.composite
def clusters_with_flows(
    draw: st.DrawFn, size: Size = Size(), flows: int = 60
) -> tuple[Cluster, tuple[Flow, ...]]:
    """Strategy of a cluster and flows; hypothesis shrinks the cluster, the flows are seeded."""
    cluster = random_cluster(draw(st.randoms(use_true_random=False)), size)
    rng = Random(draw(st.integers(0, 2**32)))
    source = FlowSource(cluster)
    return cluster, tuple(source.draw(rng) for _ in range(flows))


class _Pool:
    """Hands out pod addresses, each once, from a window of six so that blocks cut neighbours."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.free: dict[int, list[IPAddress]] = {
            4: [IPv4Address(V4_PODS + n) for n in range(POOL)],
            6: [IPv6Address(V6_PODS + n) for n in range(POOL)],
        }

    def take(self, family: int) -> IPAddress:
        free = self.free[family]
        return free.pop(self.rng.randrange(min(6, len(free))))


def _namespace(rng: Random, name: str) -> Namespace:
    return Namespace(name, labels_of({**dict(random_labels(rng)), METADATA_NAME_LABEL: name}))


def _pod(rng: Random, namespace: str, name: str, pool: _Pool) -> Pod:
    node = rng.choice(("", *NODE_ADDRESSES))
    hosts = NODE_ADDRESSES.get(node, (UNNAMED_HOST,))
    on_host = rng.random() < 0.12
    addresses = hosts[:1] if on_host else _pod_addresses(rng, pool)
    return Pod(
        namespace=namespace,
        name=name,
        labels=random_labels(rng),
        addresses=addresses,
        ports=tuple(_container_port(rng) for _ in range(rng.randint(0, 4))),
        node=node,
        host_addresses=hosts[:2] if rng.random() < 0.5 else (),
        host_network=on_host,
        finished=rng.random() < 0.1,
        has_status=bool(addresses) or rng.random() < 0.5,
    )


def _pod_addresses(rng: Random, pool: _Pool) -> tuple[IPAddress, ...]:
    families = rng.choice(((4,), (4,), (6,), (4, 6), (4, 6), (6, 4), ()))
    return tuple(pool.take(family) for family in families)


def _with_stale_addresses(rng: Random, pods: Sequence[Pod]) -> list[Pod]:
    """Some finished pods keep an address that a running pod has by now (NP-60)."""
    taken = [pod.addresses for pod in pods if pod.addresses and not pod.finished]
    return [
        replace(pod, addresses=rng.choice(taken))
        if pod.finished and not pod.host_network and taken and rng.random() < 0.5
        else pod
        for pod in pods
    ]


def _with_shared_addresses(rng: Random, pods: Sequence[Pod]) -> list[Pod]:
    """Some live pods have an address of another live pod, too; some are being deleted (NP-60a)."""
    live = [pod for pod in pods if pod.addresses and not (pod.finished or pod.host_network)]
    found = []
    for pod in pods:
        if rng.random() < 0.1:
            pod = replace(pod, deleting=True)
        if live and not (pod.host_network or pod.finished) and rng.random() < 0.12:
            pod = _sharing(rng, pod, rng.choice(live))
        found.append(pod)
    return found


def _sharing(rng: Random, pod: Pod, other: Pod) -> Pod:
    """A pod with all addresses of another, or with one of them beside its own."""
    taken = other.addresses if rng.random() < 0.5 else (rng.choice(other.addresses),)
    versions = {address.version for address in taken}
    kept = (address for address in pod.addresses if address.version not in versions)
    return replace(pod, addresses=(*kept, *taken), has_status=True)


def _container_port(rng: Random) -> ContainerPort:
    name = rng.choice((*PORT_NAMES, ""))
    return ContainerPort(name, rng.choice(PORTS), rng.choice(PROTOCOLS))


def _blocks(cluster: Cluster) -> Iterator[IPNetwork]:
    for policy in cluster.policies:
        for rule in (*policy.ingress, *policy.egress):
            for peer in rule.peers:
                if peer.ip_block is not None:
                    yield from (peer.ip_block.cidr, *peer.ip_block.except_)
    for admin_policy in cluster.admin_policies:
        for admin_rule in admin_policy.egress:
            for admin_peer in admin_rule.peers:
                yield from admin_peer.networks


def _edges(block: IPNetwork) -> Iterator[IPAddress]:
    low, high = int(block.network_address), int(block.broadcast_address)
    for value in (low - 1, low, high, high + 1):
        if 0 <= value < 2**block.max_prefixlen:
            yield IPv4Address(value) if block.version == 4 else IPv6Address(value)


def _port_items(cluster: Cluster) -> Iterator[NetworkPolicyPort | ProtocolMatch]:
    for policy in cluster.policies:
        for rule in (*policy.ingress, *policy.egress):
            yield from rule.ports
    for admin_policy in cluster.admin_policies:
        for admin_rule in (*admin_policy.ingress, *admin_policy.egress):
            yield from admin_rule.protocols
