"""Random clusters are sharp enough: each misreading of NetworkPolicy shows up as a difference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from podfence.model.cluster import Cluster
from podfence.model.meta import labels_of
from podfence.model.networkpolicy import (
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
    Protocol,
)
from podfence.model.objects import Pod
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from tests.support.judging import judge_clusters
from tests.support.misreading import FLOWS, Misreading, is_noticed


def test_a_seeded_run_without_difference() -> None:
    tally = judge_clusters(range(120), seed=2, flows=FLOWS)
    assert tally.differences == []
    assert len(tally.outcomes) == 4
    assert min(tally.outcomes.values()) > tally.samples * 0.02


def each_pod(change: Callable[[Pod], Pod]) -> Misreading:
    return lambda cluster: replace(cluster, pods=tuple(change(pod) for pod in cluster.pods))


def each_policy(change: Callable[[NetworkPolicy], NetworkPolicy]) -> Misreading:
    return lambda cluster: replace(cluster, policies=tuple(map(change, cluster.policies)))


def each_rule(change: Callable[[NetworkPolicyRule], NetworkPolicyRule]) -> Misreading:
    return each_policy(
        lambda policy: replace(
            policy,
            ingress=tuple(map(change, policy.ingress)),
            egress=tuple(map(change, policy.egress)),
        )
    )


def each_port(change: Callable[[NetworkPolicyPort], NetworkPolicyPort]) -> Misreading:
    return each_rule(lambda rule: replace(rule, ports=tuple(map(change, rule.ports))))


def each_peer(change: Callable[[NetworkPolicyPeer], NetworkPolicyPeer]) -> Misreading:
    return each_rule(lambda rule: replace(rule, peers=tuple(map(change, rule.peers))))


def each_selector(change: Callable[[LabelSelector], LabelSelector]) -> Misreading:
    def changed(policy: NetworkPolicy) -> NetworkPolicy:
        return replace(policy, pod_selector=change(policy.pod_selector))

    return each_policy(changed)


def not_in_needs_the_key(selector: LabelSelector) -> LabelSelector:
    present = tuple(
        LabelSelectorRequirement(r.key, Operator.EXISTS)
        for r in selector.match_expressions
        if r.operator is Operator.NOT_IN
    )
    return replace(selector, match_expressions=selector.match_expressions + present)


def only_first_requirement(selector: LabelSelector) -> LabelSelector:
    kept = () if selector.match_labels else selector.match_expressions[:1]
    return replace(selector, match_expressions=kept)


def empty_value_is_no_label(pod: Pod) -> Pod:
    return replace(pod, labels=labels_of({key: value for key, value in pod.labels if value}))


def no_except(peer: NetworkPolicyPeer) -> NetworkPolicyPeer:
    block = peer.ip_block
    return peer if block is None else replace(peer, ip_block=replace(block, except_=()))


def or_instead_of_and(rule: NetworkPolicyRule) -> NetworkPolicyRule:
    peers: list[NetworkPolicyPeer] = []
    for peer in rule.peers:
        if peer.pod_selector is not None and peer.namespace_selector is not None:
            peers += (replace(peer, pod_selector=None), replace(peer, namespace_selector=None))
        else:
            peers.append(peer)
    return replace(rule, peers=tuple(peers))


def lone_selector_is_cluster_wide(peer: NetworkPolicyPeer) -> NetworkPolicyPeer:
    if peer.ip_block is not None or peer.namespace_selector is not None:
        return peer
    return replace(peer, namespace_selector=LabelSelector())


def everyone_is_every_pod(rule: NetworkPolicyRule) -> NetworkPolicyRule:
    every_pod = NetworkPolicyPeer(LabelSelector(), LabelSelector())
    return rule if rule.peers else replace(rule, peers=(every_pod,))


def no_ports_is_all_policy_protocols(rule: NetworkPolicyRule) -> NetworkPolicyRule:
    return rule if rule.ports else replace(rule, ports=tuple(map(NetworkPolicyPort, Protocol)))


def unresolved_name_disables_the_rule(rule: NetworkPolicyRule) -> NetworkPolicyRule:
    nobody = NetworkPolicyPort(Protocol.TCP, "nobody")
    return replace(rule, ports=(nobody,)) if nobody in rule.ports else rule


def half_open_range(port: NetworkPolicyPort) -> NetworkPolicyPort:
    if port.end_port is None or port.end_port == port.port:
        return port
    return replace(port, end_port=port.end_port - 1)


def sctp_is_tcp(port: NetworkPolicyPort) -> NetworkPolicyPort:
    return replace(port, protocol=Protocol.TCP) if port.protocol is Protocol.SCTP else port


def first_container_port_wins(pod: Pod) -> Pod:
    seen = {(port.name, port.protocol): port for port in reversed(pod.ports)}
    return replace(pod, ports=tuple(seen.values()))


def dead_rules_isolate(policy: NetworkPolicy) -> NetworkPolicy:
    written = {PolicyType.INGRESS} if policy.ingress else set()
    written |= {PolicyType.EGRESS} if policy.egress else set()
    return replace(policy, policy_types=policy.policy_types | written)


def only_first_address(pod: Pod) -> Pod:
    return replace(pod, addresses=pod.addresses[:1])


def no_nodes(cluster: Cluster) -> Cluster:
    pods = tuple(replace(pod, host_addresses=()) for pod in cluster.pods)
    return replace(cluster, nodes={}, pods=pods)


def only_policies_of_first_namespace(cluster: Cluster) -> Cluster:
    first = next(iter(cluster.namespaces), "")
    kept = tuple(policy for policy in cluster.policies if policy.ref.namespace == first)
    return replace(cluster, policies=kept)


def only_first_policy_of_a_namespace(cluster: Cluster) -> Cluster:
    first = {policy.ref.namespace: policy for policy in reversed(cluster.policies)}
    return replace(cluster, policies=tuple(first.values()))


MISREADINGS: dict[str, Misreading] = {
    "NP-1 policies elsewhere lost": only_policies_of_first_namespace,
    "NP-4 NotIn needs the key": each_selector(not_in_needs_the_key),
    "NP-4 first requirement only": each_selector(only_first_requirement),
    "NP-4 empty value is no value": each_pod(empty_value_is_no_label),
    "NP-7 first policy wins": only_first_policy_of_a_namespace,
    "NP-12 no peers is every pod": each_rule(everyone_is_every_pod),
    "NP-14 first rule only": each_policy(
        lambda p: replace(p, ingress=p.ingress[:1], egress=p.egress[:1])
    ),
    "NP-14 first peer only": each_rule(lambda rule: replace(rule, peers=rule.peers[:1])),
    "NP-15 dead rules isolate": each_policy(dead_rules_isolate),
    "NP-17 lone podSelector is cluster-wide": each_peer(lone_selector_is_cluster_wide),
    "NP-19 OR instead of AND": each_rule(or_instead_of_and),
    "NP-24 except forgotten": each_peer(no_except),
    "NP-31 port without number forgotten": each_port(
        lambda port: port if port.port is not None else replace(port, port=80)
    ),
    "NP-34 one number a name": each_pod(first_container_port_wins),
    "NP-35 an unknown name kills the rule": each_rule(unresolved_name_disables_the_rule),
    "NP-37 endPort ignored": each_port(lambda port: replace(port, end_port=None)),
    "NP-37 half-open range": each_port(half_open_range),
    "NP-39 no ports is TCP, UDP, SCTP": each_rule(no_ports_is_all_policy_protocols),
    "NP-40 SCTP is TCP": each_port(sctp_is_tcp),
    "NP-50 host network is a pod": each_pod(lambda pod: replace(pod, host_network=False)),
    "NP-52 own node forgotten": no_nodes,
    "NP-60 finished pods live": each_pod(lambda pod: replace(pod, finished=False)),
    "NP-66 first address only": each_pod(only_first_address),
}


@pytest.mark.parametrize("misreading", MISREADINGS.values(), ids=MISREADINGS.keys())
def test_a_misreading_is_noticed(misreading: Misreading) -> None:
    assert is_noticed(misreading)
