"""The naive judge's other half: ClusterNetworkPolicy read literally, CNP clause by clause.

Rule: as for ``tests/oracle.py``. What the order of tiers makes of an answer is said there; here is
one tier at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    NamespacedPod,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    Tier,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import PolicyType
from podfence.model.objects import Pod
from podfence.model.selectors import LabelSelector
from podfence.sets.addresses import IPAddress
from tests.support.oracle_facts import Connection, Names, is_visible, selects


@dataclass(frozen=True)
class DecidingRule:
    """The rule that speaks for a tier: its policy, the field path of it, and what it does."""

    policy: ObjectRef
    path: str
    action: RuleAction


def first_rule(
    cluster: Cluster, tier: Tier, connection: Connection, direction: PolicyType, names: Names
) -> DecidingRule | None:
    """The first rule of a tier that fits a connection at its subject; None: it goes on (CNP-3)."""
    ingress = direction is PolicyType.INGRESS
    subject = connection.destination_pod if ingress else connection.source_pod
    if subject is None:
        return None
    for policy in in_order(cluster, tier):
        if not _is_subject(cluster, policy.subject, subject):
            continue
        # CNP-4: without rules of this direction the policy does not touch it.
        # CNP-7: the written order counts, the first match wins, the other list has no say.
        rules = policy.ingress if ingress else policy.egress
        for number, rule in enumerate(rules):
            action = _action(cluster, connection, rule, direction, names)
            if action is not None:
                path = f"spec.{direction.value.lower()}[{number}]"
                return DecidingRule(policy.ref, path, action)
    return None


def in_order(cluster: Cluster, tier: Tier) -> list[ClusterNetworkPolicy]:
    """The policies of a tier, the first to be asked first."""
    # CNP-6: a lower number is earlier, inside the tier only.
    # CNP-9: equal numbers go by name (and then by kind, since two kinds may share a name).
    return sorted(
        (policy for policy in cluster.admin_policies if policy.tier is tier),
        key=lambda policy: (policy.priority, policy.ref.name, policy.ref.kind),
    )


def touches(cluster: Cluster, pod: Pod, direction: PolicyType) -> bool:
    """Whether some policy of any tier selects a pod and has a rule in this direction (CNP-4)."""
    ingress = direction is PolicyType.INGRESS
    return any(
        _is_subject(cluster, policy.subject, pod)
        and (policy.ingress if ingress else policy.egress) != ()
        for policy in cluster.admin_policies
    )


def _is_subject(cluster: Cluster, subject: Subject, pod: Pod) -> bool:
    # CNP-5: hostNetwork pods are never subjects. NP-60: nor are finished ones.
    if not is_visible(pod):
        return False
    # CNP-24: a subject that cannot be read selects nobody.
    if subject.unknown:
        return False
    # CNP-5: all pods of some namespaces, or pods by both selectors. CNP-2: of any namespace.
    if subject.namespaces is not None:
        return _in_namespaces(cluster, subject.namespaces, pod)
    return subject.pods is not None and _is_one_of(cluster, subject.pods, pod)


def _action(
    cluster: Cluster, connection: Connection, rule: TierRule, direction: PolicyType, names: Names
) -> RuleAction | None:
    """What a rule does to a connection of its subject; None: it does not fit."""
    if _is_unknown(rule):
        # CNP-25: with one unknown element an Accept rule matches nothing at all, and a Deny or Pass
        # rule denies everything.
        return None if rule.action is RuleAction.ACCEPT else RuleAction.DENY
    # CNP-8: peers and protocols.
    return (
        rule.action
        if any(_fits(cluster, seen, rule, direction, names) for seen in _seen(connection, rule))
        else None
    )


def _seen(connection: Connection, rule: TierRule) -> list[Connection]:
    """The connection as a rule sees it."""
    # NP-60a: a rule that denies takes an address that several pods may have for each of them.
    if rule.action is not RuleAction.DENY:
        return [connection]
    return [
        replace(connection, source_pods=source, destination_pods=destination)
        for source in _each(connection.source_pods)
        for destination in _each(connection.destination_pods)
    ]


def _each(pods: tuple[Pod, ...]) -> list[tuple[Pod, ...]]:
    return [(pod,) for pod in pods] or [()]


def _fits(
    cluster: Cluster, connection: Connection, rule: TierRule, direction: PolicyType, names: Names
) -> bool:
    return _peers_match(cluster, connection, rule, direction, names) and _protocols_match(
        connection, rule
    )


def _is_unknown(rule: TierRule) -> bool:
    # CNP-23, CNP-24, CNP-25: peers and protocols alike.
    return any(peer.unknown for peer in rule.peers) or any(
        protocol.unknown for protocol in rule.protocols
    )


def _peers_match(
    cluster: Cluster, connection: Connection, rule: TierRule, direction: PolicyType, names: Names
) -> bool:
    # CNP-8: peers are alternatives. CNP-20: there is at least one.
    if direction is PolicyType.INGRESS:
        # CNP-16: only pods can be ingress peers.
        return any(_pods_match(cluster, peer, connection.source_pod) for peer in rule.peers)
    return any(
        _pods_match(cluster, peer, connection.destination_pod)
        or _node_matches(cluster, peer, connection.destination)
        or _network_matches(peer, connection.destination)
        or _name_matches(peer, rule.action, connection.destination, names)
        for peer in rule.peers
    )


def _pods_match(cluster: Cluster, peer: Peer, pod: Pod | None) -> bool:
    # CNP-14: namespaces and pods select pods, never nodes, hostNetwork pods or outside addresses.
    if pod is None:
        return False
    if peer.namespaces is not None:
        return _in_namespaces(cluster, peer.namespaces, pod)
    return peer.pods is not None and _is_one_of(cluster, peer.pods, pod)


def _in_namespaces(cluster: Cluster, selector: LabelSelector, pod: Pod) -> bool:
    # NP-21: by the labels of the namespace, the automatic one included.
    return selects(selector, cluster.namespaces[pod.namespace].labels)


def _is_one_of(cluster: Cluster, pods: NamespacedPod, pod: Pod) -> bool:
    # CNP-15: a missing namespaceSelector is all namespaces.
    if pods.namespace_selector is not None and not _in_namespaces(
        cluster, pods.namespace_selector, pod
    ):
        return False
    return selects(pods.pod_selector, pod.labels)


def _node_matches(cluster: Cluster, peer: Peer, address: IPAddress) -> bool:
    # CNP-18: one of status.addresses of a matching Node, and no other address of it.
    if peer.nodes is None:
        return False
    return any(
        address in node.addresses and selects(peer.nodes, node.labels)
        for node in cluster.nodes.values()
    )


def _network_matches(peer: Peer, address: IPAddress) -> bool:
    # CNP-17: plain comparison, pods' addresses included; families never mix.
    return any(
        network.version == address.version and address in network for network in peer.networks
    )


def _name_matches(peer: Peer, action: RuleAction, address: IPAddress, names: Names) -> bool:
    # CNP-19: names are for Accept; in a Deny or Pass rule the peer matches nothing.
    if action is not RuleAction.ACCEPT:
        return False
    return any(
        address in addresses and any(_covers(pattern, name) for pattern in peer.domain_names)
        for name, addresses in names.items()
    )


def _covers(pattern: str, name: str) -> bool:
    # CNP-19: case and a final dot are nothing in DNS.
    wanted, found = pattern.lower().removesuffix("."), name.lower().removesuffix(".")
    # CNP-19: *. stands for one or more whole labels, so it never covers the bare suffix.
    if wanted.startswith("*."):
        return found.endswith(wanted[1:]) and found != wanted[1:]
    return found == wanted


def _protocols_match(connection: Connection, rule: TierRule) -> bool:
    # CNP-21: no list is every protocol, ICMP included.
    if not rule.protocols:
        return True
    # CNP-8: protocols are alternatives.
    return any(_protocol_matches(connection, item) for item in rule.protocols)


def _protocol_matches(connection: Connection, item: ProtocolMatch) -> bool:
    # CNP-23: a name is resolved on the destination pod, with the protocol it has there.
    if item.named_port:
        return connection.destination_pod is not None and any(
            declared.name == item.named_port
            and declared.protocol.value == connection.protocol
            and declared.port == connection.port
            for declared in connection.destination_pod.ports
        )
    # CNP-22: no default, the protocol is always given.
    if item.protocol is None or item.protocol.value != connection.protocol:
        return False
    # CNP-22: no port is every port of the protocol.
    if item.port is None:
        return True
    # CNP-22: a range includes both ends.
    last = item.port if item.end_port is None else item.end_port
    return item.port <= connection.port <= last
