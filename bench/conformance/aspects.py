"""What a connection and its cluster ask of a judge, beyond pods, labels and ports.

Rule: a peer is asked about nothing that it does not claim to know; that is "unsupported", and not
wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from ipaddress import IPv6Address

from podfence.model.cluster import Cluster
from podfence.model.networkpolicy import NetworkPolicyRule
from podfence.policy.flow import Flow
from podfence.sets.ports import OTHER


class Aspect(Enum):
    """One thing that not every tool knows; the value is its name on the page."""

    NODE = "traffic from or to a node's own address"
    HOST_NETWORK = "pods on the host network"
    ITSELF = "a pod that dials itself"
    NO_PORTS = "protocols without ports"
    LIFE_CYCLE = "pods that are finished or being deleted"
    SHARED_ADDRESS = "an address that two pods may have"
    MAPPED = "an IPv4 address written as IPv6"
    NO_POD = "no pod at either end"
    PORT_ZERO = "port 0"
    OUTSIDE = "addresses of no pod"
    BLOCKS = "ipBlock"
    NAMESPACE_LABELS = "labels of namespaces"
    PORT_NAMES = "names of ports"


def aspects(cluster: Cluster, flow: Flow) -> frozenset[Aspect]:
    """Everything of the list that the connection touches in this cluster."""
    return frozenset(_of_flow(cluster, flow)) | frozenset(_of_rules(cluster))


def _of_flow(cluster: Cluster, flow: Flow) -> Iterator[Aspect]:
    if flow.protocol == OTHER:
        yield Aspect.NO_PORTS
    elif not flow.port:
        yield Aspect.PORT_ZERO
    if flow.source == flow.destination:
        yield Aspect.ITSELF
    ends = (flow.source, flow.destination)
    if any(isinstance(end, IPv6Address) and end.ipv4_mapped for end in ends):
        yield Aspect.MAPPED
    if not any(end in pod.addresses for end in ends for pod in cluster.pods):
        yield Aspect.NO_POD
    own = {a for node in cluster.nodes.values() for a in node.addresses}
    own |= {a for pod in cluster.pods for a in pod.host_addresses}
    for end in ends:
        holders = [pod for pod in cluster.pods if end in pod.addresses]
        if end in own:
            yield Aspect.NODE
        elif not holders:
            yield Aspect.OUTSIDE
        if any(pod.finished or pod.deleting for pod in holders):
            yield Aspect.LIFE_CYCLE
        if any(pod.host_network for pod in holders):
            yield Aspect.HOST_NETWORK
        if len(holders) > 1:
            yield Aspect.SHARED_ADDRESS


def _of_rules(cluster: Cluster) -> Iterator[Aspect]:
    rules: list[NetworkPolicyRule] = [
        rule for policy in cluster.policies for rule in (*policy.ingress, *policy.egress)
    ]
    for peer in (peer for rule in rules for peer in rule.peers):
        if peer.ip_block is not None:
            yield Aspect.BLOCKS
        selector = peer.namespace_selector
        if selector is not None and (selector.match_labels or selector.match_expressions):
            yield Aspect.NAMESPACE_LABELS
    if any(isinstance(port.port, str) for rule in rules for port in rule.ports):
        yield Aspect.PORT_NAMES
