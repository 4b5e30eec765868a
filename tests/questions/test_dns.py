"""Which answers hang on DNS, and on which rule (CNP-19)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, TierRule
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.dns import map_notes
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    peer,
    pod,
    policy,
    rule,
)
from tests.support.random_clusters import TIERS, clusters

PODS: tuple[ClusterObject, ...] = (
    namespace("a"),
    pod("a/web", {"app": "web"}, addresses=["10.0.0.1"]),
    pod("a/db", {"app": "db"}, addresses=["10.0.0.2"]),
)
NAMED = cluster_peer(domain_names=["Updates.Example."])
ANYWHERE = cluster_peer(networks=["0.0.0.0/0"])
ACCEPT = cluster_rule("Accept", NAMED)
DENY = cluster_rule("Deny", ANYWHERE)
SEALED = policy("a/sealed", types=["Egress"])


def admin(*rules: TierRule, **more: object) -> ClusterNetworkPolicy:
    return cluster_policy("names", egress=rules, **more)  # type: ignore[arg-type]


def note(
    *objects: ClusterObject,
    names: DomainTable = NO_NAMES,
    destination: str = "192.0.2.7",
    port: int = 443,
) -> str:
    index = compile_cluster(Cluster.of([*PODS, *objects]), names)
    return QueryEvaluator(index).can(Can("a/web", destination, port)).note


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([admin(ACCEPT, DENY)], id="CNP-7 before the rule that denies"),
        pytest.param([admin(ACCEPT), SEALED], id="CNP-1 before NetworkPolicy"),
        pytest.param([admin(ACCEPT, DENY, tier="Baseline")], id="CNP-1 in Baseline"),
        pytest.param(
            [admin(cluster_rule("Accept", NAMED, protocols=["443/TCP"]), DENY)], id="CNP-8 port"
        ),
        pytest.param(
            [admin(cluster_rule("Accept", cluster_peer(networks=["10.0.0.0/8"]), NAMED), DENY)],
            id="CNP-8 beside a peer that does not fit",
        ),
        pytest.param(
            [
                cluster_policy("pass", egress=[cluster_rule("Pass", ANYWHERE)]),
                admin(ACCEPT, DENY, tier="Baseline"),
            ],
            id="CNP-12 Pass goes on to Baseline",
        ),
    ],
)
def test_the_answer_says_on_which_rule_it_hangs(objects: list[ClusterObject]) -> None:
    assert note(*objects) == (
        "depends on DNS: ClusterNetworkPolicy names spec.egress[0] accepts this if updates.example "
        "stands for 192.0.2.7; give a table of names with --resolve"
    )


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([admin(DENY, ACCEPT)], id="CNP-7 after the rule that denies"),
        pytest.param([admin(ACCEPT)], id="accepted anyway"),
        pytest.param([admin(ACCEPT, tier="Baseline"), SEALED], id="CNP-13 NetworkPolicy is final"),
        pytest.param(
            [admin(cluster_rule("Accept", NAMED, protocols=["80/TCP"]), DENY)], id="other port"
        ),
        pytest.param([admin(cluster_rule("Deny", NAMED), DENY)], id="CNP-19 Deny has no names"),
        pytest.param([admin(ACCEPT, DENY, pods={"app": "db"})], id="CNP-5 not the subject"),
        pytest.param(
            [admin(cluster_rule("Accept", NAMED, cluster_peer()), DENY)],
            id="CNP-25 a rule that fails closed",
        ),
        pytest.param(
            [
                cluster_policy("pass", egress=[cluster_rule("Pass", ANYWHERE)]),
                admin(ACCEPT, priority=1),
                SEALED,
            ],
            id="CNP-12 passed before",
        ),
        pytest.param(
            [policy("a/closed", {"app": "web"}, types=["Egress"], egress=[rule(peer(pods={}))])],
            id="no names at all",
        ),
    ],
)
def test_nothing_is_said_where_dns_changes_nothing(objects: list[ClusterObject]) -> None:
    assert note(*objects) == ""


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param({"updates.example": []}, False, id="known to have none"),
        pytest.param({"updates.example": ["192.0.2.8"]}, False, id="known to be another"),
        pytest.param({"other.example": ["192.0.2.7"]}, True, id="another name"),
    ],
)
def test_a_table_answers_for_the_names_that_it_has(
    table: dict[str, list[str]], expected: bool
) -> None:
    names = {name: frozenset(map(ip_address, texts)) for name, texts in table.items()}

    assert bool(note(admin(ACCEPT, DENY), names=names)) is expected


@pytest.mark.parametrize(
    ("known", "expected"), [("a.example", False), ("example", True), ("aexample", True)]
)
def test_a_pattern_is_known_if_a_name_of_the_table_fits_it(known: str, expected: bool) -> None:
    pattern = cluster_rule("Accept", cluster_peer(domain_names=["*.example"]))
    names = {known: frozenset({ip_address("192.0.2.9")})}

    assert bool(note(admin(pattern, DENY), names=names)) is expected


def test_a_name_may_stand_for_a_pod() -> None:
    assert "stands for 10.0.0.2" in note(admin(ACCEPT, DENY), destination="a/db")


def test_the_map_names_each_rule_that_it_leaves_open() -> None:
    index = compile_cluster(Cluster.of([*PODS, admin(ACCEPT, DENY, ACCEPT)]))
    notes = list(map_notes(index))

    assert [line.split(" accepts ")[0] for line in notes] == [
        "the map depends on DNS: ClusterNetworkPolicy names spec.egress[0]",
        "the map depends on DNS: ClusterNetworkPolicy names spec.egress[2]",
    ]


def test_the_map_says_nothing_of_policies_that_select_nobody() -> None:
    index = compile_cluster(Cluster.of([*PODS, admin(ACCEPT, pods={"app": "nobody"})]))

    assert list(map_notes(index)) == []


@given(clusters(TIERS))
def test_cnp_19_a_note_is_given_if_and_only_if_dns_can_turn_the_answer(cluster: Cluster) -> None:
    """The address is given to all names at once: if the verdict turns, some name turned it."""
    target = ip_address("198.51.100.77")
    asked = {
        name: frozenset({target})
        for policy in cluster.admin_policies
        for rule in policy.egress
        for each in rule.peers
        for name in (n.replace("*", "any") for n in each.domain_names)
    }
    without = QueryEvaluator(compile_cluster(cluster))
    told = QueryEvaluator(compile_cluster(cluster, asked))
    for name, endpoint in without.index.endpoints.items():
        if any(a.version == 4 for a in endpoint.addresses):
            question = Can(name, str(target), 80)
            answer = without.can(question)
            turned = told.can(question).allowed is not answer.allowed
            assert ("depends on DNS" in answer.note) is turned
