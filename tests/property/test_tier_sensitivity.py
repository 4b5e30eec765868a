"""Random clusters are sharp enough for ClusterNetworkPolicy, too: one misreading after another."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import (
    BASELINE_ADMIN_PRIORITY,
    ClusterNetworkPolicy,
    NamespacedPod,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    Tier,
    TierRule,
)
from podfence.model.meta import METADATA_NAME_LABEL
from podfence.model.networkpolicy import PolicyType, Protocol
from podfence.model.selectors import LabelSelector
from tests.support.judging import judge_clusters
from tests.support.misreading import FLOWS, Misreading, is_noticed
from tests.support.random_tiers import NAMES

EVERYTHING = LabelSelector()
ANY_PROTOCOL = tuple(map(ProtocolMatch, Protocol))


def test_a_seeded_run_without_difference_in_which_every_tier_decides() -> None:
    tally = judge_clusters(range(120), seed=2, flows=FLOWS, tiers=True)
    assert tally.differences == []
    assert len(tally.outcomes) == 4
    assert min(tally.outcomes.values()) > tally.samples * 0.02
    assert tally.deciders.keys() == {"", "Admin", "NetworkPolicy", "Baseline"}
    assert min(tally.deciders.values()) > tally.samples * 0.04


def each_policy(
    change: Callable[[ClusterNetworkPolicy], ClusterNetworkPolicy | None],
) -> Misreading:
    def changed(cluster: Cluster) -> Cluster:
        found = (change(policy) for policy in cluster.admin_policies)
        return replace(cluster, admin_policies=tuple(p for p in found if p is not None))

    return changed


def each_rule(change: Callable[[TierRule], TierRule | None]) -> Misreading:
    def changed(policy: ClusterNetworkPolicy) -> ClusterNetworkPolicy:
        ingress = tuple(r for r in map(change, policy.ingress) if r is not None)
        egress = tuple(r for r in map(change, policy.egress) if r is not None)
        return replace(policy, ingress=ingress, egress=egress)

    return each_policy(changed)


def each_peer(change: Callable[[Peer], Peer | None]) -> Misreading:
    """A rule that is left without peers goes."""

    def changed(rule: TierRule) -> TierRule | None:
        peers = tuple(p for p in map(change, rule.peers) if p is not None)
        return replace(rule, peers=peers) if peers else None

    return each_rule(changed)


def each_protocol(change: Callable[[ProtocolMatch], ProtocolMatch | None]) -> Misreading:
    """A rule that is left without protocols, but had some, goes."""

    def changed(rule: TierRule) -> TierRule | None:
        protocols = tuple(p for p in map(change, rule.protocols) if p is not None)
        return replace(rule, protocols=protocols) if protocols or not rule.protocols else None

    return each_rule(changed)


def each_pods(change: Callable[[NamespacedPod], NamespacedPod]) -> Misreading:
    def peer(found: Peer) -> Peer:
        return found if found.pods is None else replace(found, pods=change(found.pods))

    def subject(policy: ClusterNetworkPolicy) -> ClusterNetworkPolicy:
        pods = policy.subject.pods
        return policy if pods is None else replace(policy, subject=Subject(pods=change(pods)))

    return lambda cluster: each_peer(peer)(each_policy(subject)(cluster))


def act(wrong: RuleAction, instead: RuleAction) -> Misreading:
    return each_rule(lambda r: replace(r, action=instead) if r.action is wrong else r)


def no_tier(tier: Tier) -> Misreading:
    return each_policy(lambda policy: None if policy.tier is tier else policy)


def other_tier(tier: Tier) -> Misreading:
    return each_policy(lambda policy: replace(policy, tier=tier))


def in_one_namespace(pods: NamespacedPod) -> NamespacedPod:
    one = LabelSelector(((METADATA_NAME_LABEL, "x"),))
    return pods if pods.namespace_selector else replace(pods, namespace_selector=one)


def isolated_in_both_directions(cluster: Cluster) -> Cluster:
    """Who is selected for egress only counts as decided for ingress, too, and the reverse."""
    policies = tuple(replace(p, policy_types=frozenset(PolicyType)) for p in cluster.policies)
    return replace(cluster, policies=policies)


def names_backwards(cluster: Cluster) -> Cluster:
    def mirrored(policy: ClusterNetworkPolicy) -> ClusterNetworkPolicy:
        name = "".join(chr(ord("~") - ord(letter) + ord("!")) for letter in policy.ref.name)
        return replace(policy, ref=replace(policy.ref, name=name))

    return each_policy(mirrored)(cluster)


def subject_of_all(policy: ClusterNetworkPolicy) -> ClusterNetworkPolicy:
    return replace(policy, subject=Subject(EVERYTHING))


def unknown_is_everyone(policy: ClusterNetworkPolicy) -> ClusterNetworkPolicy:
    return subject_of_all(policy) if policy.subject.unknown else policy


def knowable(rule: TierRule) -> TierRule | None:
    unknown = [peer.unknown for peer in rule.peers] + [item.unknown for item in rule.protocols]
    return None if any(unknown) else rule


def unknown_accept_is_everyone(rule: TierRule) -> TierRule:
    if rule.action is not RuleAction.ACCEPT:
        return rule
    peers = tuple(Peer(EVERYTHING) if peer.unknown else peer for peer in rule.peers)
    return replace(rule, peers=peers)


def unknown_pass_passes(rule: TierRule) -> TierRule:
    if rule.action is not RuleAction.PASS or knowable(rule):
        return rule
    return replace(rule, peers=(Peer(EVERYTHING),), protocols=())


def nobody_for_unknown_deny(rule: TierRule) -> TierRule | None:
    return knowable(rule) if rule.action is RuleAction.DENY else rule


def deny_reads_names(rule: TierRule) -> TierRule:
    """Deny rules with names as networks of what the names stand for."""
    if rule.action is not RuleAction.DENY:
        return rule
    return replace(rule, peers=tuple(map(_as_networks, rule.peers)))


def _as_networks(peer: Peer) -> Peer:
    found = {a for name in peer.domain_names for a in NAMES.get(name, ())}
    if not found:
        return peer
    return Peer(networks=tuple(ip_network(address) for address in sorted(map(str, found))))


def bare_suffix_too(peer: Peer) -> Peer:
    bare = tuple(name[2:] for name in peer.domain_names if name.startswith("*."))
    return replace(peer, domain_names=peer.domain_names + bare)


def one_label_only(peer: Peer) -> Peer:
    if "*.example" not in peer.domain_names:
        return peer
    kept = tuple(name for name in peer.domain_names if name != "*.example")
    return replace(peer, domain_names=(*kept, "a.example", "gone.example"))


def names_mean_tcp(cluster: Cluster) -> Cluster:
    """A name counts for container ports of TCP only, in this tier."""
    return replace(
        each_protocol(lambda p: replace(p, named_port=p.named_port and f"t-{p.named_port}"))(
            cluster
        ),
        pods=tuple(
            replace(
                pod,
                ports=pod.ports
                + tuple(
                    replace(port, name=f"t-{port.name}")
                    for port in pod.ports
                    if port.protocol is Protocol.TCP and port.name
                ),
            )
            for pod in cluster.pods
        ),
    )


def half_open(item: ProtocolMatch) -> ProtocolMatch:
    return item if item.end_port is None else replace(item, end_port=item.end_port - 1)


def nodes_without_labels(cluster: Cluster) -> Cluster:
    nodes = {name: replace(node, labels=()) for name, node in cluster.nodes.items()}
    return replace(cluster, nodes=nodes)


MISREADINGS: dict[str, Misreading] = {
    "CNP-1 no Admin tier": no_tier(Tier.ADMIN),
    "CNP-1 no Baseline tier": no_tier(Tier.BASELINE),
    "CNP-1 all before NetworkPolicy": other_tier(Tier.ADMIN),
    "CNP-1 all after NetworkPolicy": other_tier(Tier.BASELINE),
    "CNP-4 an empty list denies": each_policy(
        lambda p: replace(p, ingress=p.ingress or (TierRule(RuleAction.DENY, (Peer(EVERYTHING),)),))
    ),
    "CNP-5 every pod is the subject": each_policy(subject_of_all),
    "CNP-6 a higher number first": each_policy(
        lambda p: replace(p, priority=BASELINE_ADMIN_PRIORITY - p.priority)
    ),
    "CNP-6 no order by priority": each_policy(lambda p: replace(p, priority=0)),
    "CNP-7 the last match wins": each_policy(
        lambda p: replace(p, ingress=p.ingress[::-1], egress=p.egress[::-1])
    ),
    "CNP-7 only the first rule": each_policy(
        lambda p: replace(p, ingress=p.ingress[:1], egress=p.egress[:1])
    ),
    "CNP-7 one list for both directions": each_policy(
        lambda p: replace(p, egress=p.ingress + p.egress)
    ),
    "CNP-8 first peer only": each_rule(lambda r: replace(r, peers=r.peers[:1])),
    "CNP-8 first protocol only": each_rule(lambda r: replace(r, protocols=r.protocols[:1])),
    "CNP-9 the last name first": names_backwards,
    "CNP-10 Accept passes": act(RuleAction.ACCEPT, RuleAction.PASS),
    "CNP-11 Deny passes": act(RuleAction.DENY, RuleAction.PASS),
    "CNP-12 Pass accepts": act(RuleAction.PASS, RuleAction.ACCEPT),
    "CNP-12 Pass denies": act(RuleAction.PASS, RuleAction.DENY),
    "CNP-12 Pass is no match": each_rule(lambda r: None if r.action is RuleAction.PASS else r),
    "CNP-13 isolation without direction": isolated_in_both_directions,
    "CNP-15 no namespaceSelector is one namespace": each_pods(in_one_namespace),
    "CNP-15 podSelector forgotten": each_pods(lambda p: replace(p, pod_selector=EVERYTHING)),
    "CNP-17 first network only": each_peer(lambda p: replace(p, networks=p.networks[:1])),
    "CNP-17 networks forgotten": each_peer(lambda p: None if p.networks else p),
    "CNP-18 nodes forgotten": each_peer(lambda p: None if p.nodes else p),
    "CNP-18 node labels forgotten": nodes_without_labels,
    "CNP-18 every node": each_peer(lambda p: replace(p, nodes=EVERYTHING) if p.nodes else p),
    "CNP-19 names forgotten": each_peer(lambda p: None if p.domain_names else p),
    "CNP-19 Deny reads names": each_rule(deny_reads_names),
    "CNP-19 the bare suffix": each_peer(bare_suffix_too),
    "CNP-19 one label only": each_peer(one_label_only),
    "CNP-21 no protocols is TCP, UDP, SCTP": each_rule(
        lambda r: r if r.protocols else replace(r, protocols=ANY_PROTOCOL)
    ),
    "CNP-22 half-open range": each_protocol(half_open),
    "CNP-22 range ignored": each_protocol(lambda p: replace(p, end_port=None)),
    "CNP-22 no port is no match": each_protocol(
        lambda p: None if p.protocol and p.port is None else p
    ),
    "CNP-22 SCTP is TCP": each_protocol(
        lambda p: replace(p, protocol=Protocol.TCP) if p.protocol is Protocol.SCTP else p
    ),
    "CNP-23 names mean TCP": names_mean_tcp,
    "CNP-23 names forgotten": each_protocol(lambda p: None if p.named_port else p),
    "CNP-24 an unknown subject is everyone": each_policy(unknown_is_everyone),
    "CNP-25 rules with unknown parts ignored": each_rule(knowable),
    "CNP-25 unknown peers ignored": each_peer(lambda p: None if p.unknown else p),
    "CNP-25 unknown protocols ignored": each_protocol(lambda p: None if p.unknown else p),
    "CNP-25 unknown Accept is everyone": each_rule(unknown_accept_is_everyone),
    "CNP-25 unknown Pass passes": each_rule(unknown_pass_passes),
    "CNP-25 unknown Deny is nobody": each_rule(nobody_for_unknown_deny),
}


@pytest.mark.parametrize("misreading", MISREADINGS.values(), ids=MISREADINGS.keys())
def test_a_misreading_is_noticed(misreading: Misreading) -> None:
    assert is_noticed(misreading, tiers=True)
