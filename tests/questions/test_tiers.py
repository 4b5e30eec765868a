"""tier_findings: each finding where it belongs, none where a policy does what it seems to."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from msgspec.structs import replace

from podfence.engine.evaluate import fits
from podfence.manifests.load import load
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, Peer, Subject, TierRule
from podfence.model.meta import ObjectRef
from podfence.model.objects import Service
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction
from podfence.policy.index import CompiledTier, PolicyIndex
from podfence.questions.lint.findings import LINT_CODES, LintFinding
from podfence.questions.lint.tiers import tier_findings
from podfence.sets.ports import OTHER
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    pod,
)
from tests.support.random_clusters import TIERS, clusters
from tests.support.random_tiers import NAMES

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = EXAMPLES / "tiers"
SERVICE = Service(
    ObjectRef("Service", "a", "db"),
    (("app", "db"),),
    (ip_address("10.96.0.9"), ip_address("fd00:96::9")),
)
RuleWords = tuple[str | Peer, ...]
"""Action, peer, protocols."""
CLUSTER: tuple[ClusterObject, ...] = (
    namespace("a", {"t": "1"}),
    namespace("b", {"t": "2"}),
    pod("a/web", {"app": "web"}, addresses=["10.0.0.1", "fd00::1"], ports=["http:80"]),
    pod("a/db", {"app": "db"}, addresses=["10.0.0.2", "fd00::2"]),
    pod("b/web", {"app": "web"}, addresses=["10.0.0.3", "fd00::3"]),
)
A = cluster_peer(namespaces={"t": "1"})
B = cluster_peer(namespaces={"t": "2"})
WEB = cluster_peer(pods={"app": "web"})
NOBODY = cluster_peer(pods={"app": "nobody"})
V4 = cluster_peer(networks=["0.0.0.0/0"])
V6 = cluster_peer(networks=["::/0"])
BOTH = cluster_peer(networks=["0.0.0.0/0", "::/0"])
ALL = cluster_peer(namespaces={})


def findings(*objects: ClusterObject) -> tuple[LintFinding, ...]:
    return tier_findings(compile_cluster(Cluster.of([*CLUSTER, *objects])))


def ingress(*rules: RuleWords) -> ClusterNetworkPolicy:
    """A policy ``p`` about every pod."""
    return cluster_policy("p", ingress=map(_rule, rules))


def egress(*rules: RuleWords) -> ClusterNetworkPolicy:
    return cluster_policy("p", egress=map(_rule, rules))


def _rule(words: RuleWords) -> TierRule:
    action, *others = words
    peers = [each for each in others if isinstance(each, Peer)]
    protocols = [each for each in others if isinstance(each, str)]
    assert isinstance(action, str)
    return cluster_rule(action, *peers, protocols=protocols)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param(
            ingress(("Deny", ALL), ("Accept", WEB)),
            [("PF221", "spec.ingress[1]")],
            id="CNP-7 everything before",
        ),
        pytest.param(
            ingress(("Pass", A), ("Deny", B), ("Accept", ALL, "80/TCP")),
            [("PF221", "spec.ingress[2]")],
            id="CNP-7 two rules together",
        ),
        pytest.param(
            ingress(("Deny", ALL, "1-65535/TCP"), ("Accept", WEB, "http")),
            [("PF221", "spec.ingress[1]")],
            id="CNP-23 a named port inside a range",
        ),
        pytest.param(
            egress(("Deny", BOTH), ("Accept", cluster_peer(networks=["10.0.0.0/8"]))),
            [("PF221", "spec.egress[1]"), ("PF225", "spec.egress[0]")],
            id="CNP-17 a block in a block",
        ),
        pytest.param(
            ingress(("Pass", cluster_peer()), ("Accept", WEB)),
            [("PF221", "spec.ingress[1]")],
            id="CNP-25 after a rule that fails closed",
        ),
        pytest.param(
            replace(ingress(("Deny", A)), subject=Subject(unknown="x")),
            [],
            id="CNP-24 PF209 says it already",
        ),
        pytest.param(
            cluster_policy("p", namespaces={"t": "9"}, ingress=[cluster_rule("Deny", A)]),
            [("PF223", "spec.subject")],
            id="CNP-5 nobody",
        ),
        pytest.param(egress(("Deny", V4)), [("PF225", "spec.egress[0]")], id="CNP-17 IPv4 alone"),
        pytest.param(egress(("Deny", V6)), [("PF225", "spec.egress[0]")], id="CNP-17 IPv6 alone"),
        pytest.param(egress(("Deny", BOTH)), [("PF225", "spec.egress[0]")], id="CNP-17 pods cut"),
        pytest.param(
            egress(("Accept", ALL), ("Deny", V4)),
            [("PF225", "spec.egress[1]")],
            id="CNP-17 IPv6 left",
        ),
    ],
)
def test_the_finding_and_no_other(
    policy: ClusterNetworkPolicy, expected: list[tuple[str, str]]
) -> None:
    assert [(f.code, f.path) for f in findings(policy)] == expected


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(ingress(("Accept", WEB), ("Deny", ALL)), id="CNP-7 exception first"),
        pytest.param(ingress(("Deny", ALL, "1-79/TCP"), ("Accept", WEB, "80/TCP")), id="ports"),
        pytest.param(ingress(("Deny", ALL), ("Accept", NOBODY)), id="nobody is nobody's doing"),
        pytest.param(
            ingress(("Deny", ALL, "1-65535/TCP"), ("Accept", WEB)), id="CNP-21 other protocols"
        ),
        pytest.param(
            egress(("Accept", cluster_peer(networks=["10.0.0.0/8"])), ("Accept", A)),
            id="CNP-17 IPv4 covered, IPv6 not",
        ),
        pytest.param(egress(("Pass", ALL), ("Deny", BOTH)), id="CNP-17 pods passed first"),
        pytest.param(egress(("Deny", ALL), ("Deny", BOTH)), id="CNP-17 pods meant"),
        pytest.param(egress(("Accept", BOTH)), id="CNP-17 an Accept for everyone"),
    ],
)
def test_no_finding(policy: ClusterNetworkPolicy) -> None:
    assert findings(policy) == ()


def test_one_rule_may_name_pods_and_networks() -> None:
    rule = cluster_rule("Deny", ALL, BOTH)

    assert findings(cluster_policy("p", egress=[rule])) == ()


def test_a_rule_that_matches_for_one_subject_is_alive() -> None:
    early = cluster_policy("a", namespaces={"t": "1"}, ingress=[cluster_rule("Deny", ALL)])
    late = cluster_policy("b", priority=1, ingress=[cluster_rule("Accept", WEB)])

    assert findings(early, late) == ()


def test_rules_of_other_policies_are_named_with_their_kind() -> None:
    early = cluster_policy("a", ingress=[cluster_rule("Deny", A), cluster_rule("Deny", B)])
    late = cluster_policy("b", priority=1, ingress=[cluster_rule("Accept", ALL)])
    [found] = findings(early, late)

    assert found.object == late.ref
    assert (
        "by ClusterNetworkPolicy a spec.ingress[0] and ClusterNetworkPolicy a spec.ingress[1];"
        in found.text
    )


def test_tiers_do_not_cover_one_another() -> None:
    admin = cluster_policy("a", ingress=[cluster_rule("Pass", ALL)])
    baseline = cluster_policy("b", tier="Baseline", ingress=[cluster_rule("Deny", ALL)])

    assert findings(admin, baseline) == ()


@pytest.mark.parametrize(
    ("network", "found"),
    [
        pytest.param("10.96.0.0/12", ["PF224"], id="CNP-17 their range"),
        pytest.param("10.96.0.9/32", ["PF224"], id="CNP-17 one address"),
        pytest.param("fd00:96::/112", ["PF224"], id="CNP-17 IPv6"),
        pytest.param("10.97.0.0/16", [], id="CNP-17 beside it"),
        pytest.param("0.0.0.0/0", [], id="CNP-17 a catch-all is about everything"),
    ],
)
def test_service_addresses(network: str, found: list[str]) -> None:
    policy = egress(("Accept", cluster_peer(networks=[network])))

    assert [f.code for f in findings(SERVICE, policy)] == found


def test_a_service_is_named() -> None:
    [found] = findings(SERVICE, egress(("Deny", cluster_peer(networks=["10.96.0.0/12"]))))

    assert found.path == "spec.egress[0].to[0].networks"
    assert found.text.startswith("contains the address of Service a/db (10.96.0.9);")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param(("Deny", ALL), ("Accept", WEB, "80/TCP"), ["PF222"], id="CNP-9 a tie"),
        pytest.param(("Deny", ALL), ("Pass", ALL), ["PF222"], id="CNP-9 Pass is an action"),
        pytest.param(("Deny", ALL), ("Deny", WEB), [], id="CNP-9 the same action"),
        pytest.param(("Deny", A), ("Accept", B), [], id="CNP-9 other peers"),
        pytest.param(("Deny", ALL, "80/TCP"), ("Accept", ALL, "81/TCP"), [], id="other ports"),
    ],
)
def test_ties(one: RuleWords, other: RuleWords, expected: list[str]) -> None:
    first = replace(ingress(one), ref=ObjectRef("ClusterNetworkPolicy", "", "a"))
    second = replace(ingress(other), ref=ObjectRef("AdminNetworkPolicy", "", "b"))

    assert [f.code for f in findings(first, second)] == expected


def test_a_tie_names_both_and_what_they_do() -> None:
    first = cluster_policy("a", ingress=[cluster_rule("Deny", ALL)])
    second = cluster_policy("b", ingress=[cluster_rule("Accept", WEB, protocols=["80/TCP"])])
    [found] = findings(first, second)

    assert (found.object, found.path) == (second.ref, "spec.priority")
    assert (
        "as ClusterNetworkPolicy a, where spec.ingress[0] denies what spec.ingress[0] here accepts "
        "(TCP/80);" in found.text
    )


def test_an_earlier_priority_settles_a_tie() -> None:
    settled = cluster_policy("z", ingress=[cluster_rule("Pass", ALL)])
    first = cluster_policy("a", priority=1, ingress=[cluster_rule("Deny", ALL)])
    second = cluster_policy("b", priority=1, ingress=[cluster_rule("Accept", WEB)])

    assert {f.code for f in findings(settled, first, second)} == {"PF221"}


@pytest.mark.parametrize("other", ["priority", "tier", "subject"])
def test_no_tie_between_policies_that_are_never_asked_together(other: str) -> None:
    first = cluster_policy("a", namespaces={"t": "1"}, ingress=[cluster_rule("Deny", B)])
    second = cluster_policy(
        "b",
        namespaces={"t": "2" if other == "subject" else "1"},
        tier="Baseline" if other == "tier" else "Admin",
        priority=1 if other == "priority" else 0,
        ingress=[cluster_rule("Accept", B)],
    )

    assert "PF222" not in {f.code for f in findings(first, second)}


def test_nothing_is_said_of_an_input_without_pods() -> None:
    policy = egress(("Deny", V4), ("Accept", V4))

    assert tier_findings(compile_cluster(Cluster.of([policy]))) == ()


def test_a_pod_is_not_cut_off_from_itself() -> None:
    alone = Cluster.of([CLUSTER[0], pod("a/web", addresses=["10.0.0.1"]), egress(("Deny", V4))])

    assert tier_findings(compile_cluster(alone)) == ()


# -- examples


def codes(*paths: Path) -> dict[str, list[str]]:
    loaded = load([str(path) for path in paths])
    assert not loaded.errors
    found: dict[str, list[str]] = {}
    for finding in tier_findings(compile_cluster(loaded.cluster)):
        found.setdefault(finding.object.name, []).append(finding.code)
    return found


MISTAKES = {
    "dead-rule": {"closed-but-monitored": ["PF221"]},
    "tie": {"blue-open-to-monitoring": ["PF222"]},
    "nobody": {"red-jobs-closed": ["PF223"]},
    "service-address": {"db-for-red-only": ["PF224"]},
    "not-the-outside": {"no-internet": ["PF225"]},
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found(name: str) -> None:
    pods = EXAMPLE / "cluster" / "pods.yaml"
    assert codes(pods, EXAMPLE / "mistakes" / f"{name}.yaml") == MISTAKES[name]


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_corrected_has_no_finding(name: str) -> None:
    pods = EXAMPLE / "cluster" / "pods.yaml"
    assert codes(pods, EXAMPLE / "fixed" / f"{name}.yaml") == {}


@pytest.mark.parametrize("directory", ["tiers/cluster", "shop"])
def test_a_cluster_that_is_right_has_no_finding(directory: str) -> None:
    assert codes(EXAMPLES / directory) == {}


def test_every_code_has_its_example() -> None:
    assert sorted(c for m in MISTAKES.values() for each in m.values() for c in each) == sorted(
        code for code in LINT_CODES if code.startswith("PF2")
    )


# -- against brute force


def _asks(index: PolicyIndex, tier: CompiledTier) -> Iterator[tuple[int, int, str, int]]:
    """Every remote class of each family with ports on both sides of every boundary."""
    edges = {
        (protocol, port)
        for rule in tier.rules
        for match in rule.matches
        for protocol, low, high in match.ports.ranges()
        for port in (low - 1, low, high, high + 1)
        if 0 <= port <= 65535
    }
    for endpoint_class in index.classes:
        members = index.members[endpoint_class.number]
        for family in (4, 6):
            outside = endpoint_class.outside
            here = (
                bool(outside.family(family))
                if outside is not None
                else any(a.version == family for m in members for a in m.addresses)
            )
            for protocol, port in {*edges, (OTHER, 0)} if here else ():
                yield endpoint_class.number, family, protocol, port


def _tiers(index: PolicyIndex) -> Iterator[CompiledTier]:
    """Of every class that has a pod, those in which order counts."""
    for endpoint_class, policy in zip(index.classes, index.policies, strict=True):
        for direction in Direction if index.members[endpoint_class.number] else ():
            yield from (tier for tier in policy.of(direction).tiers if tier.ordered)


@given(clusters(TIERS))
def test_cnp_7_cnp_9_covered_rules_and_ties_are_those_of_brute_force(cluster: Cluster) -> None:
    index = compile_cluster(cluster, NAMES)
    priorities = {p.ref: p.priority for p in cluster.admin_policies}
    alive: set[tuple[ObjectRef, str]] = set()
    matching: set[tuple[ObjectRef, str]] = set()
    ties: set[ObjectRef] = set()
    for tier in _tiers(index):
        for ask in _asks(index, tier):
            fitting = [rule for rule in tier.rules if fits(rule, *ask)]
            first = [
                rule
                for at, rule in enumerate(fitting)
                if not any(
                    before.origin.policy == rule.origin.policy
                    or priorities[before.origin.policy] < priorities[rule.origin.policy]
                    for before in fitting[:at]
                )
            ]
            matching.update((rule.origin.policy, rule.origin.path) for rule in fitting)
            alive.update((rule.origin.policy, rule.origin.path) for rule in first)
            ties.update(b.origin.policy for a, b in combinations(first, 2) if a.action != b.action)
    found = tier_findings(index)

    assert {(f.object, f.path) for f in found if f.code == "PF221"} == matching - alive
    assert {f.object for f in found if f.code == "PF222"} == ties
