"""The naive judge: NetworkPolicy read literally, one rule of the semantics a branch.

Rule: slow, obvious and alone. Nothing is compiled, cached or shared with ``podfence.policy``,
``podfence.engine`` or ``podfence.sets``: only the model's value types are used, and not their
methods. The NP numbers are those of ``docs/semantics.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from podfence.model.cluster import Cluster
from podfence.model.meta import Labels, ObjectRef
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
)
from podfence.model.objects import IPAddress, Pod
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator

RuleName = tuple[ObjectRef, str]
"""A policy and the field path of one of its rules."""
POLICY_PROTOCOLS = ("TCP", "UDP", "SCTP")


@dataclass(frozen=True)
class OracleVerdict:
    """Both directions and their conjunction (NP-6)."""

    allowed: bool
    egress_allowed: bool
    ingress_allowed: bool


@dataclass(frozen=True)
class Connection:
    """One attempt; ``source_pod`` and ``destination_pod`` are None for ends that are no pod."""

    source: IPAddress
    destination: IPAddress
    source_pod: Pod | None
    destination_pod: Pod | None
    protocol: str
    port: int


def judge(
    cluster: Cluster,
    source: Pod | IPAddress,
    destination: Pod | IPAddress,
    protocol: str,
    port: int,
) -> OracleVerdict:
    """Whether one new connection is allowed.

    ``protocol``: TCP, UDP, SCTP, or any other word for a protocol without ports; ``port`` is the
    destination port after Service DNAT (NP-38, NP-46). A ``Pod`` stands for its first address of a
    family that the other end has too. Raises ValueError when the ends share no family.
    """
    connection = _connection(cluster, source, destination, protocol, port)
    egress = _egress_allowed(cluster, connection)
    ingress = _ingress_allowed(cluster, connection)
    # NP-6: a connection needs both.
    return OracleVerdict(egress and ingress, egress, ingress)


def permitting_rules(
    cluster: Cluster,
    source: Pod | IPAddress,
    destination: Pod | IPAddress,
    protocol: str,
    port: int,
    direction: PolicyType,
) -> list[RuleName]:
    """Every rule that permits a connection in one direction (NP-7); see :func:`judge`."""
    connection = _connection(cluster, source, destination, protocol, port)
    ingress = direction is PolicyType.INGRESS
    pod = connection.destination_pod if ingress else connection.source_pod
    if pod is None:
        return []
    applicable = [p for p in cluster.policies if _applies(cluster, p, pod, direction)]
    return _matching_rules(cluster, connection, applicable, direction)


def isolated(cluster: Cluster, pod: Pod, direction: PolicyType) -> bool:
    """Whether some policy isolates a pod in one direction; it needs no address for that (NP-58)."""
    return any(_applies(cluster, policy, pod, direction) for policy in cluster.policies)


def pod_of(cluster: Cluster, address: IPAddress) -> Pod | None:
    """The pod that an address belongs to, as policies see pods."""
    for pod in cluster.pods:
        if _is_visible(pod) and address in pod.addresses:
            return pod
    return None


def _connection(
    cluster: Cluster,
    source: Pod | IPAddress,
    destination: Pod | IPAddress,
    protocol: str,
    port: int,
) -> Connection:
    source_address, destination_address = _addresses(source, destination)
    return Connection(
        source=source_address,
        destination=destination_address,
        source_pod=pod_of(cluster, source_address),
        destination_pod=pod_of(cluster, destination_address),
        protocol=protocol,
        port=port,
    )


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


def _is_visible(pod: Pod) -> bool:
    # NP-50 (b): a hostNetwork pod is its node's address, neither subject nor peer.
    if pod.host_network:
        return False
    # NP-60: a finished pod is neither subject nor peer; its address may be another pod's by now.
    return not pod.finished


def _egress_allowed(cluster: Cluster, connection: Connection) -> bool:
    pod = connection.source_pod
    # NP-1: an end that is no pod is nobody's subject. NP-48: whoever it is.
    if pod is None:
        return True
    # NP-54: a pod cannot block itself.
    if pod is connection.destination_pod:
        return True
    # NP-53: egress to the own node is not exempt, so nothing is asked about nodes here.
    return _permitted(cluster, connection, pod, PolicyType.EGRESS)


def _ingress_allowed(cluster: Cluster, connection: Connection) -> bool:
    pod = connection.destination_pod
    # NP-1: an end that is no pod is nobody's subject.
    if pod is None:
        return True
    # NP-54: a pod cannot block itself.
    if pod is connection.source_pod:
        return True
    # NP-52: the pod's own node may always reach it, from each of its addresses.
    # NP-51: so may the hostNetwork pods there, which use these addresses.
    if connection.source_pod is None and connection.source in _own_node_addresses(cluster, pod):
        return True
    return _permitted(cluster, connection, pod, PolicyType.INGRESS)


def _own_node_addresses(cluster: Cluster, pod: Pod) -> set[IPAddress]:
    # NP-52: all addresses of that node count: those of the Node object and those which the status
    # of any pod of that node gives as host addresses.
    addresses = set(pod.host_addresses)
    if pod.node in cluster.nodes:
        addresses.update(cluster.nodes[pod.node].addresses)
    for other in cluster.pods:
        if pod.node and other.node == pod.node:
            addresses.update(other.host_addresses)
    return addresses


def _permitted(cluster: Cluster, connection: Connection, pod: Pod, direction: PolicyType) -> bool:
    applicable = [p for p in cluster.policies if _applies(cluster, p, pod, direction)]
    # NP-2: without an applicable policy everything is accepted.
    if not applicable:
        return True
    # NP-7: the union of what all applicable policies permit; no order, no deny.
    # NP-5: isolated, and nothing permits it: denied.
    return bool(_matching_rules(cluster, connection, applicable, direction))


def _matching_rules(
    cluster: Cluster,
    connection: Connection,
    policies: list[NetworkPolicy],
    direction: PolicyType,
) -> list[RuleName]:
    found: list[RuleName] = []
    for policy in policies:
        # NP-15: only the list of this direction is read.
        rules = policy.ingress if direction is PolicyType.INGRESS else policy.egress
        # NP-9: no rules permit nothing. NP-14: rules are alternatives.
        for number, rule in enumerate(rules):
            if _rule_matches(cluster, connection, policy, rule, direction):
                found.append((policy.ref, f"spec.{direction.value.lower()}[{number}]"))
    return found


def _applies(cluster: Cluster, policy: NetworkPolicy, pod: Pod, direction: PolicyType) -> bool:
    if not _is_visible(pod):
        return False
    # NP-1: subjects are pods of the policy's own namespace.
    if policy.ref.namespace != pod.namespace:
        return False
    # NP-5, NP-8: the direction must be among the effective types.
    if direction not in policy.policy_types:
        return False
    # NP-3: subjects match spec.podSelector.
    return _selects(policy.pod_selector, pod.labels)


def _rule_matches(
    cluster: Cluster,
    connection: Connection,
    policy: NetworkPolicy,
    rule: NetworkPolicyRule,
    direction: PolicyType,
) -> bool:
    # NP-10: peer part and port part. NP-11: {} restricts neither.
    return _peers_match(cluster, connection, policy, rule, direction) and _ports_match(
        connection, rule
    )


def _peers_match(
    cluster: Cluster,
    connection: Connection,
    policy: NetworkPolicy,
    rule: NetworkPolicyRule,
    direction: PolicyType,
) -> bool:
    # NP-12: no list, no restriction, outside addresses included.
    if not rule.peers:
        return True
    if direction is PolicyType.INGRESS:
        address, pod = connection.source, connection.source_pod
    else:
        address, pod = connection.destination, connection.destination_pod
    # NP-14: items are alternatives.
    return any(_peer_matches(cluster, policy, peer, address, pod) for peer in rule.peers)


def _peer_matches(
    cluster: Cluster,
    policy: NetworkPolicy,
    peer: NetworkPolicyPeer,
    address: IPAddress,
    pod: Pod | None,
) -> bool:
    # NP-16: an ipBlock stands alone. NP-27: it is compared with every address, pods' included.
    if peer.ip_block is not None:
        return _block_holds(peer.ip_block, address)
    # NP-22, NP-23: selectors select pods only.
    if pod is None:
        return False
    if peer.namespace_selector is None:
        # NP-17: a lone podSelector means the policy's namespace.
        if pod.namespace != policy.ref.namespace:
            return False
    else:
        # NP-18, NP-19, NP-21: namespaces by their labels; the own one is not implied.
        namespace = cluster.namespaces[pod.namespace]
        if not _selects(peer.namespace_selector, namespace.labels):
            return False
    # NP-18: without podSelector every pod of these namespaces; NP-19: with it, both must hold.
    return peer.pod_selector is None or _selects(peer.pod_selector, pod.labels)


def _block_holds(block: IPBlock, address: IPAddress) -> bool:
    # NP-25: families never mix.
    if address.version != block.cidr.version:
        return False
    # NP-24: inside cidr and inside none of except. NP-26: except trims this block only.
    if address not in block.cidr:
        return False
    return not any(address in excepted for excepted in block.except_)


def _ports_match(connection: Connection, rule: NetworkPolicyRule) -> bool:
    # NP-13: no list, no restriction by port or protocol. NP-39: also for ICMP and the rest.
    if not rule.ports:
        return True
    # NP-14: items are alternatives. NP-35: one that matches nothing leaves the others alone.
    return any(_port_matches(connection, item) for item in rule.ports)


def _port_matches(connection: Connection, item: NetworkPolicyPort) -> bool:
    # NP-39: other protocols pass only where there is no ports list.
    if connection.protocol not in POLICY_PROTOCOLS:
        return False
    # NP-30, NP-31, NP-33, NP-40: the protocol is always compared.
    if item.protocol.value != connection.protocol:
        return False
    # NP-31: every port of the protocol.
    if item.port is None:
        return True
    # NP-32, NP-36: a name is resolved on the destination pod of this very connection.
    if isinstance(item.port, str):
        return connection.port in _numbers(connection.destination_pod, item)
    # NP-37: inclusive range.
    if item.end_port is not None:
        return item.port <= connection.port <= item.end_port
    # NP-38: the destination port.
    return item.port == connection.port


def _numbers(pod: Pod | None, item: NetworkPolicyPort) -> list[int]:
    # NP-35: a destination that is no pod has no named ports.
    if pod is None:
        return []
    # NP-33: name and protocol must agree. NP-34: all matches count.
    return [
        declared.port
        for declared in pod.ports
        if declared.name == item.port and declared.protocol is item.protocol
    ]


def _selects(selector: LabelSelector, labels: Labels) -> bool:
    # NP-4: all matchLabels and all matchExpressions; an empty selector selects everything.
    label_map = dict(labels)
    for key, value in selector.match_labels:
        if key not in label_map or label_map[key] != value:
            return False
    return all(_requirement_holds(r, label_map) for r in selector.match_expressions)


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
