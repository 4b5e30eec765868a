"""From a cluster to the same cluster as the lab runs it: every pod on a node, with an address.
Pure.

Rule: verdicts are asked of the cluster with its pods scheduled, so that the engine knows the same
addresses and nodes as the packets. Pods that were scheduled before keep node and address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from podfence.lab.testbed.services import with_cluster_addresses
from podfence.lab.testbed.usable import is_usable
from podfence.model.claims import claims
from podfence.model.cluster import ASSUMED_V4, ASSUMED_V6, Cluster
from podfence.model.objects import Node, Pod
from podfence.sets.addresses import IPAddress, IPNetwork

NODE_NAME = "lab-node"
"""Name of a single node where the input names none, or several; more are numbered from 2."""
NODE_ADDRESSES = {4: ip_address("192.168.255.1"), 6: ip_address("fd00:192:168:255::1")}
"""Address of the first node, for each family in which the input gives none; the next free address
if it is taken."""
MAX_NODES = 64
"""The most nodes that --nodes takes."""
NODES_OF_INPUT = 8
"""The most Node objects of the input that become nodes of the lab without --nodes."""

_ASSUMED: Mapping[int, IPNetwork] = {
    4: ip_network(f"{ASSUMED_V4}/16"),
    6: ip_network(f"{ASSUMED_V6}/48"),
}
PodKey = tuple[str, str]


def schedule(cluster: Cluster, nodes: int = 0, before: Cluster | None = None) -> Cluster:
    """Put every pod on a node, and give an address to each that waits for one (NP-58).

    ``nodes``: how many; 0: the Node objects of the input when it has several, else one. Nodes take
    the names of the input as far as it has any. A pod stays on its ``spec.nodeName`` when that is a
    node of the lab; otherwise it goes to the node with the fewest pods. Every node has an address
    of each family that the pods speak, and a pod range that contains no address of another node or
    its pods.

    ``before``: a cluster with scheduled pods that is changed to this one; its nodes stay, and pods
    that were in it keep node and address.
    """
    names = _names(cluster, nodes) if before is None else tuple(before.nodes)
    earlier = {} if before is None else {_key(pod): pod for pod in before.pods}
    on = _spread(cluster.pods, names, earlier)
    ranges = _ranges(cluster, names, before)
    pods = _with_addresses(_with_heirs(cluster.pods), on, ranges, earlier)
    scheduled = _nodes(cluster, names, pods, on, before)
    scheduled = {name: replace(node, pod_cidrs=ranges[name]) for name, node in scheduled.items()}
    scheduled = {name: _fenced(node, pods, on, scheduled) for name, node in scheduled.items()}
    at = [(pod, scheduled[on[_key(pod)]]) for pod in pods]
    whole = replace(cluster, nodes=scheduled, pods=tuple(_moved(pod, node) for pod, node in at))
    return with_cluster_addresses(whole, before)


def _moved(pod: Pod, node: Node) -> Pod:
    """A pod on its node. One on the host network has the node's addresses and no others (NP-50)."""
    addresses = () if pod.host_network else pod.addresses
    return replace(pod, node=node.name, addresses=addresses, host_addresses=node.addresses)


def _key(pod: Pod) -> PodKey:
    return pod.namespace, pod.name


# -- nodes


def _names(cluster: Cluster, count: int) -> tuple[str, ...]:
    known = tuple(dict.fromkeys((*cluster.nodes, *(p.node for p in cluster.pods if p.node))))
    if not count and len(cluster.nodes) > 1:
        return tuple(cluster.nodes)[:NODES_OF_INPUT]
    if count <= 1:
        return known if len(known) == 1 else (NODE_NAME,)
    numbered = (NODE_NAME if n == 1 else f"{NODE_NAME}-{n}" for n in range(1, count + 1))
    return (*known, *(name for name in numbered if name not in known))[:count]


def _spread(
    pods: Sequence[Pod], names: Sequence[str], earlier: Mapping[PodKey, Pod]
) -> dict[PodKey, str]:
    """The node of each pod: its own, else where it was, else the one with the fewest pods."""
    on: dict[PodKey, str] = {}
    for pod in pods:
        was = earlier.get(_key(pod))
        wanted = pod.node if pod.node in names or was is None else was.node
        if wanted in names:
            on[_key(pod)] = wanted
    load = Counter(dict.fromkeys(names, 0))
    load.update(on.values())
    for pod in pods:
        if _key(pod) not in on:
            name = min(names, key=lambda each: load[each])
            on[_key(pod)] = name
            load[name] += 1
    return on


def _nodes(
    cluster: Cluster,
    names: Sequence[str],
    pods: Sequence[Pod],
    on: Mapping[PodKey, str],
    before: Cluster | None,
) -> dict[str, Node]:
    taken = {address for pod in pods if not pod.host_network for address in pod.addresses}
    versions = sorted({address.version for pod in pods for address in pod.addresses})
    nodes: dict[str, Node] = {}
    for name in names:
        known = cluster.nodes.get(name, Node(name))
        if before is not None:
            wanted: Iterable[IPAddress] = before.nodes[name].addresses
        else:
            here = [p for p in cluster.pods if on[_key(p)] == name]
            said = (a for p in here if p.node == name for a in p.host_addresses)
            shared = (
                a for p in here if p.host_network and p.node in ("", name) for a in p.addresses
            )
            wanted = (*known.addresses, *said, *shared)
        own = [a for a in dict.fromkeys(wanted) if is_usable(a) and a not in taken]
        missing = set(versions) - {a.version for a in own}
        own.extend(_free(NODE_ADDRESSES[version], taken) for version in sorted(missing))
        taken.update(own)
        nodes[name] = replace(known, addresses=tuple(own))
    return nodes


def _free(address: IPAddress, taken: Set[IPAddress]) -> IPAddress:
    while address in taken:
        address += 1
    return address


# -- ranges


def _ranges(
    cluster: Cluster, names: Sequence[str], before: Cluster | None
) -> dict[str, tuple[IPNetwork, ...]]:
    """The pod ranges that each node would have: its own where it says so, else an equal share of
    the assumed networks."""
    if before is not None:
        return {name: before.nodes[name].pod_cidrs for name in names}
    bits = (len(names) - 1).bit_length()
    shares = zip(*(_ASSUMED[version].subnets(bits) for version in (4, 6)), strict=True)
    return {
        name: (cluster.nodes[name].pod_cidrs if name in cluster.nodes else ()) or share
        for name, share in zip(names, shares, strict=False)
    }


def _fenced(
    node: Node, pods: Sequence[Pod], on: Mapping[PodKey, str], nodes: Mapping[str, Node]
) -> Node:
    """The node with the ranges in which no other node and no pod of one has an address: their
    packets would be taken for those of an unknown pod. Only for families in use."""
    spoken = {a.version for pod in pods for a in pod.addresses}
    foreign = {a for pod in pods if on[_key(pod)] != node.name for a in pod.addresses}
    foreign.update(a for each in nodes.values() for a in each.addresses)
    ranges = (r for r in node.pod_cidrs if r.version in spoken)
    kept = (r for r in ranges if not any(a in r for a in foreign if a.version == r.version))
    return replace(node, pod_cidrs=tuple(kept))


# -- addresses


def _with_heirs(pods: Sequence[Pod]) -> tuple[Pod, ...]:
    """An address that several pods have stays with one of them (NP-60a), because only one interface
    can have it."""
    heirs = {claim.address: claim.heir for claim in claims(pods)}
    return tuple(
        replace(pod, addresses=tuple(a for a in pod.addresses if heirs.get(a, pod) is pod))
        if heirs and pod.is_seen
        else pod
        for pod in pods
    )


def _with_addresses(
    pods: Sequence[Pod],
    on: Mapping[PodKey, str],
    ranges: Mapping[str, tuple[IPNetwork, ...]],
    earlier: Mapping[PodKey, Pod],
) -> tuple[Pod, ...]:
    """Every pod of a manifest gets an address of its node's range, of each family in use: the
    families of the pods that the cluster reported, or both if it reported none."""
    fixed = {a for p in pods if not _is_manifest(p) for a in (*p.addresses, *p.host_addresses)}
    versions = {a.version for p in pods if not _is_manifest(p) for a in p.addresses} or {4, 6}
    kept = {_key(p): _kept(p, on, earlier, fixed) for p in pods}
    taken = fixed | {a for addresses in kept.values() for a in addresses}
    pools = {
        (name, version): _pool(version, ranges[name], taken)
        for name in ranges
        for version in sorted(versions)
    }

    def addresses(pod: Pod) -> tuple[IPAddress, ...]:
        if not _is_manifest(pod):
            return pod.addresses
        name = on[_key(pod)]
        return kept[_key(pod)] or tuple(next(pools[name, v]) for v in sorted(versions))

    return tuple(replace(pod, addresses=addresses(pod)) for pod in pods)


def _is_manifest(pod: Pod) -> bool:
    """Whether its address is ours to give: no cluster has given it one."""
    given = all(a in _ASSUMED[a.version] for a in pod.addresses)
    return given and not (pod.has_status or pod.host_network or pod.finished)


def _kept(
    pod: Pod, on: Mapping[PodKey, str], earlier: Mapping[PodKey, Pod], fixed: Set[IPAddress]
) -> tuple[IPAddress, ...]:
    was = earlier.get(_key(pod))
    stays = was is not None and _is_manifest(pod) and was.node == on[_key(pod)]
    return () if was is None or not stays or fixed & set(was.addresses) else was.addresses


def _pool(version: int, ranges: Sequence[IPNetwork], taken: set[IPAddress]) -> Iterator[IPAddress]:
    """Free addresses of a node: of its range, then of what lies behind it."""
    own = next((each for each in ranges if each.version == version), _ASSUMED[version])
    address = own.network_address
    while True:
        address += 1
        if address not in taken and address != own.broadcast_address:
            taken.add(address)
            yield address
