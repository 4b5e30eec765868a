"""describe for policies of the Admin and Baseline tiers: sentences, and who is meant."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from msgspec.structs import replace

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import (
    BASELINE_ADMIN_PRIORITY,
    ClusterNetworkPolicy,
    Subject,
)
from podfence.model.meta import METADATA_NAME_LABEL
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction
from podfence.policy.index import CompiledRule, Everyone, PolicyIndex
from podfence.questions.describe import describe
from podfence.questions.describe_tiers import (
    TierPolicyDescription,
    TierRuleDescription,
    describe_tier_policy,
)
from podfence.questions.phrases.matched import PodGroup
from podfence.render.describe import WIDTH, render_tier_description
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    node,
    pod,
    policy,
)
from tests.support.random_clusters import TIERS, clusters
from tests.support.random_tiers import NAMES

PODS: tuple[ClusterObject, ...] = (
    namespace("a", {"t": "1"}),
    namespace("b", {"t": "2"}),
    node("n1", "172.18.0.2", "fd18::2", labels={"zone": "a"}),
    node("n2", labels={"zone": "b"}),
    pod("a/web", {"app": "web"}, addresses=["10.0.0.1"], ports=["http:8080", "dns:53/UDP"]),
    pod("a/db", {"app": "db"}, addresses=["10.0.0.2"], ports=["dns:5353/TCP"]),
    pod("b/web", {"app": "web"}, addresses=["10.0.0.3"]),
)
NAMED_B = {METADATA_NAME_LABEL: "b"}


def described(value: ClusterNetworkPolicy, *others: ClusterObject) -> TierPolicyDescription:
    index = compile_cluster(Cluster.of([*PODS, value, *others]), NAMES)
    return describe_tier_policy(index, value)


@pytest.mark.parametrize(
    ("value", "selects"),
    [
        (cluster_policy("p"), "Selects every pod in any namespace: 3 pods now."),
        (
            cluster_policy("p", namespaces={"t": "1"}),
            "Selects every pod in a namespace labelled t=1: 2 pods now.",
        ),
        (
            cluster_policy("p", pods={"app": "web"}),
            "Selects pods labelled app=web, in any namespace: 2 pods now.",
        ),
        (
            cluster_policy("p", pods={"a": "1"}, namespaces=NAMED_B),
            "Selects pods that meet both conditions: labelled a=1, and in namespace b: no pod now.",
        ),
        (
            cluster_policy("p", namespaces={"t": "9"}),
            "Selects every pod in a namespace labelled t=9: no pod now.",
        ),
        (
            replace(cluster_policy("p"), subject=Subject(unknown="bad operator")),
            "Selects no pod: its subject cannot be read (bad operator).",
        ),
    ],
)
def test_cnp_5_subjects(value: ClusterNetworkPolicy, selects: str) -> None:
    assert described(value).selects == selects


@pytest.mark.parametrize(
    ("tier", "priority", "words"),
    [
        (
            "Admin",
            3,
            "Admin tier, priority 3: in a tier lower numbers are evaluated first. The tier",
        ),
        ("Baseline", 4, "Baseline tier, priority 4: in a tier lower numbers are evaluated first."),
        ("Baseline", BASELINE_ADMIN_PRIORITY, "Baseline tier, it has no priority and is evaluated"),
    ],
)
def test_cnp_6_tier_and_priority(tier: str, priority: int, words: str) -> None:
    found = described(cluster_policy("p", tier=tier, priority=priority))

    assert found.when_asked.startswith(words)
    assert "1001" not in found.when_asked


def test_neighbours_are_of_the_same_tier_and_pods_in_order() -> None:
    found = described(
        cluster_policy("p", priority=5, namespaces={"t": "1"}),
        cluster_policy("first", priority=1),
        cluster_policy("z", priority=5),
        cluster_policy("elsewhere", namespaces={"t": "2"}),
        cluster_policy("base", tier="Baseline"),
    )

    assert found.neighbours == (
        "Evaluated before it for some of these pods: ClusterNetworkPolicy first (priority 1).",
        "Evaluated after it for some of these pods: ClusterNetworkPolicy z (priority 5).",
    )


def only_rule(found: TierPolicyDescription) -> TierRuleDescription:
    (rule,) = (*found.ingress.rules, *found.egress.rules)
    return rule


@pytest.mark.parametrize(
    ("peer", "text", "now"),
    [
        (
            cluster_peer(namespaces={}),
            "every pod in any namespace, but nothing outside the cluster",
            ["a/db", "a/web", "b/web"],
        ),
        (
            cluster_peer(pods={}, namespaces={"t": "2"}),
            "every pod in a namespace labelled t=2",
            ["b/web"],
        ),
        (
            cluster_peer(pods={"app": "web"}),
            "pods labelled app=web, in any namespace",
            ["a/web", "b/web"],
        ),
        (
            cluster_peer(networks=["10.0.0.2/31", "192.0.2.0/24"]),
            "addresses in 10.0.0.2/31 or 192.0.2.0/24, pods included",
            ["a/db", "b/web"],
        ),
        (
            cluster_peer(nodes={"zone": "a"}),
            "the addresses of nodes labelled zone=a, and so pods on the network of such a node",
            "now n1 (172.18.0.2, fd18::2)",
        ),
        (
            cluster_peer(nodes={}),
            "the addresses of every node, and so pods on the network of such a node",
            "now n1 (172.18.0.2, fd18::2) and n2 (no address)",
        ),
        (
            cluster_peer(nodes={"zone": "c"}),
            "the addresses of nodes labelled zone=c",
            "now no node",
        ),
        (
            cluster_peer(domain_names=["example", "nobody.test"]),
            "the addresses that DNS returns for example or nobody.test",
            "now example: 192.0.2.1 and 2001:db8::1; nobody.test: no address known",
        ),
    ],
)
def test_peers(peer: object, text: str, now: str | list[str]) -> None:
    rule = cluster_rule("Accept", peer)  # type: ignore[arg-type]
    (found,) = only_rule(described(cluster_policy("p", egress=[rule]))).peers

    assert found.text.startswith(text)
    assert (found.now or [group.name for group in found.pods]) == now


def test_cnp_19_names_in_a_rule_that_denies() -> None:
    rule = cluster_rule("Deny", cluster_peer(domain_names=["example"]))
    (found,) = only_rule(described(cluster_policy("p", egress=[rule]))).peers

    assert found.now == "matches nothing: domain names count only in rules that accept"


@pytest.mark.parametrize(
    ("action", "does"),
    [
        ("Accept", "should accept, but matches nothing"),
        ("Deny", "should deny, and denies every connection of this direction"),
        ("Pass", "should pass, and denies every connection of this direction"),
    ],
)
def test_cnp_25_what_fails_closed_is_said(action: str, does: str) -> None:
    found = described(cluster_policy("p", ingress=[cluster_rule(action, cluster_peer())]))

    assert only_rule(found).does == does
    assert only_rule(found).broken == 'unknown field "future"'
    assert ("never match." in found.exempt) is (action == "Accept")


@pytest.mark.parametrize(
    ("protocols", "words"),
    [
        ([], "on every port of every protocol"),
        (["80/TCP", "1-9/UDP", "/SCTP"], "on TCP port 80, UDP ports 1 to 9 or every SCTP port"),
        (
            ["dns"],
            "on the port named dns (UDP 53 on a/web; TCP 5353 on a/db; not declared by b/web)",
        ),
        (
            ["none"],
            "on the port named none (declared by none of them now, so this matches nothing)",
        ),
    ],
)
def test_cnp_21_cnp_23_ports(protocols: list[str], words: str) -> None:
    rule = cluster_rule("Accept", protocols=protocols)

    assert only_rule(described(cluster_policy("p", ingress=[rule]))).ports == words


def test_a_networkpolicy_says_which_tiers_stand_around_it() -> None:
    value = policy("a/db", {"app": "db"})
    around = (
        cluster_policy("first", namespaces={"t": "1"}, egress=[cluster_rule("Deny")]),
        cluster_policy("last", tier="Baseline", priority=9, egress=[cluster_rule("Deny")]),
        cluster_policy("elsewhere", namespaces={"t": "2"}),
    )
    found = describe(compile_cluster(Cluster.of([*PODS, value, *around])), value)

    assert [sentence.rpartition(": ")[2] for sentence in found.tiers] == [
        "ClusterNetworkPolicy first (priority 0).",
        "ClusterNetworkPolicy last (priority 9).",
    ]
    assert found.egress.others == (
        "No NetworkPolicy isolates them: every connection from these pods that no other tier "
        "denies is allowed."
    )


def test_hostile_names_stay_on_their_line() -> None:
    evil = "a\n\x1b[2J\u202e" + "b" * 240
    rule = cluster_rule("Accept", cluster_peer(pods={evil: evil}), protocols=[evil], name=evil)
    value = cluster_policy(evil, pods={evil: evil}, ingress=[rule])
    text = render_tier_description(described(value), lambda source, path: "")

    assert text.replace("\n", "").isprintable()
    assert "\\x0a\\x1b[2J\\u202e" in text


@given(clusters(TIERS))
def test_subjects_and_peers_are_those_of_the_index(cluster: Cluster) -> None:
    index = compile_cluster(cluster, NAMES)
    for value in cluster.admin_policies:
        found = describe_tier_policy(index, value)
        assert _pods(found.pods) == _members(index, index.selected[value.ref])
        for part in (found.ingress, found.egress):
            for rule in part.rules:
                for compiled in _compiled(index, value, part.direction, rule.path):
                    _compare(index, compiled, rule)
        text = render_tier_description(found, lambda _, path: path)
        assert all(line == line.rstrip() for line in text.splitlines())
        assert max(map(len, text.splitlines())) <= WIDTH


def _compare(index: PolicyIndex, compiled: CompiledRule, rule: TierRuleDescription) -> None:
    peers = {peer.path: peer for peer in rule.peers}
    for match in () if rule.broken else compiled.matches:
        found = peers[match.path]
        if not found.now:  # nodes and names are told by their addresses
            assert not isinstance(match.peers, Everyone)
            assert _pods(found.pods) >= _members(index, match.peers.classes)


def _compiled(
    index: PolicyIndex, value: ClusterNetworkPolicy, direction: Direction, path: str
) -> list[CompiledRule]:
    return [
        rule
        for number in index.selected[value.ref]
        for tier in index.policies[number].of(direction).tiers
        for rule in tier.rules
        if rule.origin.policy == value.ref and rule.origin.path == path
    ]


def _pods(groups: Iterable[PodGroup]) -> set[str]:
    return {f"{g.name.split('/')[0]}/{name}" for g in groups for name in g.pods}


def _members(index: PolicyIndex, classes: Iterable[int]) -> set[str]:
    return {f"{e.pod.namespace}/{e.pod.name}" for number in classes for e in index.members[number]}
