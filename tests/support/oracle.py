"""The naive judge: the semantics read literally, one rule a branch.

Rule: slow, obvious and alone. Nothing is compiled, cached or shared with ``podfence.policy``,
``podfence.engine`` or ``podfence.sets``: only the model's value types are used, and not their
methods. The NP and CNP numbers are those of ``docs/semantics.md``. NetworkPolicy and the order of
the tiers are here, ClusterNetworkPolicy is in ``tests/oracle_tiers.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import RuleAction, Tier
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
)
from podfence.model.objects import Pod
from podfence.sets.addresses import IPAddress
from tests.support.oracle_facts import (
    POLICY_PROTOCOLS,
    Connection,
    Names,
    connect,
    is_visible,
    own_node_addresses,
    selects,
)
from tests.support.oracle_tiers import first_rule

RuleName = tuple[ObjectRef, str]
"""A policy and the field path of one of its rules."""
NO_NAMES: Names = MappingProxyType({})
NETWORK_POLICY = "NetworkPolicy"


@dataclass(frozen=True)
class OracleVerdict:
    """Both directions and their conjunction (NP-6, CNP-26)."""

    allowed: bool
    egress_allowed: bool
    ingress_allowed: bool


@dataclass(frozen=True)
class Ruling:
    """One direction: the tier that decided, "" when none did, and the rules that say so.

    In the NetworkPolicy tier these are all rules that permit (NP-7), none when it denies; in the
    others the one rule that was first (CNP-7).
    """

    allowed: bool
    tier: str = ""
    rules: tuple[RuleName, ...] = ()


def judge(
    cluster: Cluster,
    source: Pod | IPAddress,
    destination: Pod | IPAddress,
    protocol: str,
    port: int,
    names: Names = NO_NAMES,
) -> OracleVerdict:
    """Whether one new connection is allowed.

    ``protocol``: TCP, UDP, SCTP, or any other word for a protocol without ports; ``port`` is the
    destination port after Service DNAT (NP-38, NP-46). A ``Pod`` stands for its first address of a
    family that the other end has too. ``names``: what domain names stand for (CNP-19). Raises
    ValueError when the ends share no family.
    """
    egress, ingress = rulings(cluster, source, destination, protocol, port, names)
    # NP-6, CNP-26: a connection needs both, and each is judged on its own.
    both = egress.allowed and ingress.allowed
    return OracleVerdict(both, egress.allowed, ingress.allowed)


def rulings(
    cluster: Cluster,
    source: Pod | IPAddress,
    destination: Pod | IPAddress,
    protocol: str,
    port: int,
    names: Names = NO_NAMES,
) -> tuple[Ruling, Ruling]:
    """Egress and ingress of a connection, each with what decided it; see :func:`judge`."""
    connection = connect(cluster, source, destination, protocol, port)
    return (
        _ruling(cluster, connection, PolicyType.EGRESS, names),
        _ruling(cluster, connection, PolicyType.INGRESS, names),
    )


def isolated(cluster: Cluster, pod: Pod, direction: PolicyType) -> bool:
    """Whether some NetworkPolicy isolates a pod in one direction; it needs no address (NP-58)."""
    return bool(_applicable(cluster, pod, direction))


def _ruling(
    cluster: Cluster, connection: Connection, direction: PolicyType, names: Names
) -> Ruling:
    pods = _subjects(connection, direction)
    if not pods:
        return Ruling(True)
    # NP-60a: where several pods may have the address, the policies of each have to allow it. The
    # first by name that denies is the one that is told, else the first of all; a pod that is not
    # asked (NP-52) only where no other is.
    by_name = sorted(pods, key=lambda pod: (pod.namespace, pod.name))
    asked = [pod for pod in by_name if not _is_exempt(cluster, connection, pod, direction)]
    said = [_ruling_of(cluster, connection, pod, direction, names) for pod in asked or by_name]
    return next((ruling for ruling in said if not ruling.allowed), said[0])


def _ruling_of(
    cluster: Cluster, connection: Connection, pod: Pod, direction: PolicyType, names: Names
) -> Ruling:
    if _is_exempt(cluster, connection, pod, direction):
        return Ruling(True)
    # NP-32, CNP-23: the port names of ingress are those of the pod that is judged.
    if direction is PolicyType.INGRESS:
        connection = replace(connection, destination_pods=(pod,))
    else:
        connection = replace(connection, source_pods=(pod,))
    # CNP-1: Admin, NetworkPolicy, Baseline, accept; the first final decision ends it.
    admin = _tier_ruling(cluster, Tier.ADMIN, connection, direction, names)
    if admin is not None:
        return admin
    # CNP-13: final for a pod that is isolated in this very direction.
    applicable = _applicable(cluster, pod, direction)
    if applicable:
        rules = tuple(_matching_rules(cluster, connection, applicable, direction))
        # NP-7: the union of what all applicable policies permit; no order, no deny.
        # NP-5: isolated, and nothing permits it: denied.
        return Ruling(bool(rules), NETWORK_POLICY, rules)
    baseline = _tier_ruling(cluster, Tier.BASELINE, connection, direction, names)
    # NP-2, CNP-28: nothing decided anywhere.
    return Ruling(True) if baseline is None else baseline


def _tier_ruling(
    cluster: Cluster, tier: Tier, connection: Connection, direction: PolicyType, names: Names
) -> Ruling | None:
    """What a tier decides; None: it goes on."""
    rule = first_rule(cluster, tier, connection, direction, names)
    # CNP-3: no match. CNP-12: Pass skips the rest of the tier, from Baseline on to the default.
    if rule is None or rule.action is RuleAction.PASS:
        return None
    # CNP-10, CNP-11: Accept and Deny are final for this direction.
    allowed = rule.action is RuleAction.ACCEPT
    return Ruling(allowed, tier.value, ((rule.policy, rule.path),))


def _subjects(connection: Connection, direction: PolicyType) -> tuple[Pod, ...]:
    # NP-1: an end that is no pod is nobody's subject. NP-48: whoever it is.
    if direction is PolicyType.INGRESS:
        return connection.destination_pods
    return connection.source_pods


def _is_exempt(cluster: Cluster, connection: Connection, pod: Pod, direction: PolicyType) -> bool:
    # NP-54, CNP-27: a pod that dials its own address is not judged by any tier.
    if connection.source == connection.destination and any(
        one is other for one in connection.source_pods for other in connection.destination_pods
    ):
        return True
    # NP-53, CNP-29: egress to the own node is not exempt.
    if direction is PolicyType.EGRESS:
        return False
    # NP-52: the pod's own node may always reach it, from each of its addresses.
    # NP-51: so may the hostNetwork pods there, which use these addresses.
    # CNP-16, CNP-29: no rule of the other tiers can match a node; the one that denies everything
    # because it cannot be read (CNP-25) leaves the own node alone by our decision.
    return not connection.source_pods and connection.source in own_node_addresses(cluster, pod)


def _applicable(cluster: Cluster, pod: Pod, direction: PolicyType) -> list[NetworkPolicy]:
    return [policy for policy in cluster.policies if _applies(policy, pod, direction)]


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


def _applies(policy: NetworkPolicy, pod: Pod, direction: PolicyType) -> bool:
    if not is_visible(pod):
        return False
    # NP-1: subjects are pods of the policy's own namespace.
    if policy.ref.namespace != pod.namespace:
        return False
    # NP-5, NP-8: the direction must be among the effective types.
    if direction not in policy.policy_types:
        return False
    # NP-3: subjects match spec.podSelector.
    return selects(policy.pod_selector, pod.labels)


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
    # NP-22, NP-23: selectors select pods only. NP-60a: and no address that is no pod's for sure.
    if pod is None:
        return False
    if peer.namespace_selector is None:
        # NP-17: a lone podSelector means the policy's namespace.
        if pod.namespace != policy.ref.namespace:
            return False
    else:
        # NP-18, NP-19, NP-21: namespaces by their labels; the own one is not implied.
        namespace = cluster.namespaces[pod.namespace]
        if not selects(peer.namespace_selector, namespace.labels):
            return False
    # NP-18: without podSelector every pod of these namespaces; NP-19: with it, both must hold.
    return peer.pod_selector is None or selects(peer.pod_selector, pod.labels)


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
