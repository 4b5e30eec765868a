"""What both halves of the naive judge ask about a connection: whose addresses, which labels.

Rule: as for ``tests/oracle.py``: literal, alone, and nothing of ``podfence`` but value types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from podfence.model.cluster import Cluster
from podfence.model.meta import Labels
from podfence.model.objects import Pod
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.sets.addresses import IPAddress

Names = Mapping[str, frozenset[IPAddress]]
"""Domain name -> its addresses, as somebody looked them up (CNP-19)."""
POLICY_PROTOCOLS = ("TCP", "UDP", "SCTP")


@dataclass(frozen=True)
class Connection:
    """One attempt; ``source_pods`` and ``destination_pods`` are empty for ends that are no pod, and
    hold several for an address that may be any one's of them (NP-60a)."""

    source: IPAddress
    destination: IPAddress
    source_pods: tuple[Pod, ...]
    destination_pods: tuple[Pod, ...]
    protocol: str
    port: int

    @property
    def source_pod(self) -> Pod | None:
        """The pod that connects, where it is clear which one that is."""
        return self.source_pods[0] if len(self.source_pods) == 1 else None

    @property
    def destination_pod(self) -> Pod | None:
        """The pod that is connected to, where it is clear which one that is."""
        return self.destination_pods[0] if len(self.destination_pods) == 1 else None


def connect(
    cluster: Cluster,
    source: Pod | IPAddress,
    destination: Pod | IPAddress,
    protocol: str,
    port: int,
) -> Connection:
    """The attempt between two ends.

    A ``Pod`` is itself, at its first address of a family that the other end has too. Raises
    ValueError when the ends share no family.
    """
    source_address, destination_address = _addresses(source, destination)
    return Connection(
        source=source_address,
        destination=destination_address,
        source_pods=_pods_at(cluster, source, source_address),
        destination_pods=_pods_at(cluster, destination, destination_address),
        protocol=protocol,
        port=port,
    )


def _pods_at(cluster: Cluster, end: Pod | IPAddress, address: IPAddress) -> tuple[Pod, ...]:
    if isinstance(end, Pod):
        return (end,) if is_visible(end) else ()
    return tuple(pods_of(cluster, address))


def pods_of(cluster: Cluster, address: IPAddress) -> list[Pod]:
    """The pods that an address may belong to, as policies see pods."""
    having = [pod for pod in cluster.pods if is_visible(pod) and address in pod.addresses]
    # NP-60a: of several, those that are not being deleted, if there are any. NP-59: one alone has
    # it, also while it is being deleted.
    staying = [pod for pod in having if not pod.deleting]
    return staying if len(having) > 1 and staying else having


def pod_of(cluster: Cluster, address: IPAddress) -> Pod | None:
    """The pod that an address belongs to for sure."""
    found = pods_of(cluster, address)
    return found[0] if len(found) == 1 else None


def is_visible(pod: Pod) -> bool:
    """Whether policies know a pod at all."""
    # NP-50 (b), CNP-5, CNP-14: a hostNetwork pod is its node's address, neither subject nor peer.
    if pod.host_network:
        return False
    # NP-60: a finished pod is neither subject nor peer; its address may be another pod's by now.
    return not pod.finished


def own_node_addresses(cluster: Cluster, pod: Pod) -> set[IPAddress]:
    """Every address of the node that runs a pod (NP-52)."""
    # NP-52: all addresses of that node count: those of the Node object and those which the status
    # of any pod of that node gives as host addresses.
    addresses = set(pod.host_addresses)
    if pod.node in cluster.nodes:
        addresses.update(cluster.nodes[pod.node].addresses)
    for other in cluster.pods:
        if pod.node and other.node == pod.node:
            addresses.update(other.host_addresses)
            # NP-50: a hostNetwork pod is its node, so its addresses are the node's.
            if other.host_network:
                addresses.update(other.addresses)
    return addresses


def selects(selector: LabelSelector, labels: Labels) -> bool:
    """Whether a selector matches a label set."""
    # NP-4: all matchLabels and all matchExpressions; an empty selector selects everything.
    label_map = dict(labels)
    for key, value in selector.match_labels:
        if key not in label_map or label_map[key] != value:
            return False
    return all(_requirement_holds(r, label_map) for r in selector.match_expressions)


def _addresses(
    source: Pod | IPAddress, destination: Pod | IPAddress
) -> tuple[IPAddress, IPAddress]:
    sources = source.addresses if isinstance(source, Pod) else (source,)
    destinations = destination.addresses if isinstance(destination, Pod) else (destination,)
    for one in sources:
        for other in destinations:
            if one.version == other.version:
                return one, other
    raise ValueError(f"{source} and {destination} share no address family")


def _requirement_holds(requirement: LabelSelectorRequirement, labels: Mapping[str, str]) -> bool:
    present = requirement.key in labels
    # NP-4, operator by operator.
    if requirement.operator is Operator.IN:
        return present and labels[requirement.key] in requirement.values
    if requirement.operator is Operator.NOT_IN:
        return not present or labels[requirement.key] not in requirement.values
    if requirement.operator is Operator.EXISTS:
        return present
    return not present
