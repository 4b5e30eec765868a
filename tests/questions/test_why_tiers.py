"""why: the ladder of tiers, and what each rule is told to have done."""

from __future__ import annotations

import pytest
from hypothesis import given

from podfence.errors import PodfenceError
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import (
    BASELINE_ADMIN_PRIORITY,
    ClusterNetworkPolicy,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Action, Decision, Reason
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.why import DirectionReport, WhyAnswer, why
from podfence.render.verdicts import VerdictEncoder, ladder_text, why_text
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
from tests.support.random_tiers import NAMES

PODS: tuple[ClusterObject, ...] = (
    namespace("a", {"t": "1"}),
    namespace("b", {"t": "2"}),
    pod("a/web", {"app": "web"}, addresses=["10.0.0.1"]),
    pod("a/db", {"app": "db"}, addresses=["10.0.0.2"], ports=["sql:5432"]),
    pod("b/web", {"app": "web"}, addresses=["10.0.0.3"]),
)
A = cluster_peer(namespaces={"t": "1"})
B = cluster_peer(namespaces={"t": "2"})
WEB = cluster_peer(pods={"app": "web"})
ISOLATED = policy("a/db", {"app": "db"})
OPEN = policy("a/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}))])
PASS = cluster_policy("pass", priority=10, ingress=[cluster_rule("Pass", A, name="same tenant")])
BASE = cluster_policy("base", tier="Baseline", priority=50, ingress=[cluster_rule("Deny")])


def ask(*objects: ClusterObject, source: str = "a/web") -> WhyAnswer:
    index = compile_cluster(Cluster.of([*PODS, *objects]))
    return why(QueryEvaluator(index), Can(source, "a/db", 5432))


@pytest.mark.parametrize(
    ("objects", "ladder"),
    [
        pytest.param(
            [PASS, BASE],
            'Admin p10 "pass" spec.ingress[0] (same tenant) pass -> NetworkPolicy no policy selects'
            ' -> Baseline p50 "base" spec.ingress[0] deny',
            id="CNP-12 passed to Baseline",
        ),
        pytest.param(
            [PASS, BASE, ISOLATED],
            'Admin p10 "pass" spec.ingress[0] (same tenant) pass -> '
            "NetworkPolicy isolated, no rule fits: deny",
            id="CNP-13 NetworkPolicy is final",
        ),
        pytest.param(
            [BASE, OPEN],
            'Admin no policy selects -> NetworkPolicy "a/db" spec.ingress[0] accept',
            id="CNP-13 a rule of a NetworkPolicy",
        ),
        pytest.param(
            [cluster_policy("in", ingress=[cluster_rule("Accept", WEB)]), ISOLATED, BASE],
            'Admin p0 "in" spec.ingress[0] accept',
            id="CNP-10 Accept is final",
        ),
        pytest.param(
            [cluster_policy("in", ingress=[cluster_rule("Deny", B)])],
            "Admin no rule fits -> NetworkPolicy no policy selects -> "
            "Baseline no policy selects -> default accept",
            id="CNP-28 nothing decides",
        ),
        pytest.param(
            [cluster_policy("b", tier="Baseline", ingress=[cluster_rule("Pass", A)])],
            'Admin no policy selects -> NetworkPolicy no policy selects -> Baseline p0 "b" '
            "spec.ingress[0] pass -> default accept",
            id="CNP-12 Pass in Baseline",
        ),
        pytest.param(
            [
                cluster_policy("late", priority=9, ingress=[cluster_rule("Deny")]),
                cluster_policy("soon", priority=2, ingress=[cluster_rule("Accept")]),
            ],
            'Admin p2 "soon" spec.ingress[0] accept',
            id="CNP-6 priority",
        ),
        pytest.param(
            [
                ClusterNetworkPolicy(
                    ObjectRef("BaselineAdminNetworkPolicy", "", "default"),
                    BASE.tier,
                    BASELINE_ADMIN_PRIORITY,
                    BASE.subject,
                    BASE.ingress,
                )
            ],
            "Admin no policy selects -> NetworkPolicy no policy selects -> Baseline "
            '"default" spec.ingress[0] deny',
            id="a kind without a priority shows none",
        ),
    ],
)
def test_ladder(objects: list[ClusterObject], ladder: str) -> None:
    assert ladder_text(ask(*objects).ingress) == ladder


def test_no_ladder_without_other_tiers() -> None:
    answer = ask(OPEN)

    assert (answer.ingress.ladder, answer.egress.ladder) == ((), ())
    assert "tier" not in why_text(answer, lambda source, path: None)
    assert "ladder" not in VerdictEncoder(lambda source, path: None).why(answer)


def test_cnp_4_no_ladder_in_a_direction_without_rules() -> None:
    assert ask(BASE).egress.ladder == ()


def test_cnp_27_a_pod_to_itself_asks_no_tier() -> None:
    answer = ask(BASE, source="a/db")

    assert answer.ingress.decision.reason is Reason.SELF
    assert answer.ingress.ladder == ()
    assert [tier.asked for tier in answer.ingress.tiers] == [False]


def test_rules_after_the_deciding_one_are_not_reached() -> None:
    rules = [cluster_rule("Deny", B), cluster_rule("Accept", A), cluster_rule("Deny", A)]
    later = cluster_policy("z", ingress=[cluster_rule("Deny", A)])
    found = ask(cluster_policy("a", ingress=rules), later).ingress

    assert [(r.reached, r.fits) for p in found.policies for r in p.rules] == [
        (True, False),
        (True, True),
        (False, True),
        (False, True),
    ]


def test_a_tier_after_the_one_that_decided_is_not_asked() -> None:
    deny = cluster_policy("a", ingress=[cluster_rule("Deny")])
    found = ask(deny, OPEN, BASE).ingress

    assert [(tier.name, tier.asked) for tier in found.tiers] == [
        ("Admin", True),
        ("NetworkPolicy", False),
        ("Baseline", False),
    ]
    assert not found.policies[1].rules[0].reached


@pytest.mark.parametrize(
    ("action", "remark"),
    [
        ("Accept", 'it cannot be read whole (unknown field "future"), so it matches nothing'),
        ("Deny", 'it cannot be read whole (unknown field "future"), so it denies everything'),
        ("Pass", 'it cannot be read whole (unknown field "future"), so it denies everything'),
    ],
)
def test_cnp_25_what_fails_closed_is_said(action: str, remark: str) -> None:
    found = ask(cluster_policy("a", ingress=[cluster_rule(action, cluster_peer())])).ingress

    assert found.policies[0].rules[0].remark == remark


def test_cnp_19_names_that_no_table_holds_are_said() -> None:
    named = cluster_rule("Accept", cluster_peer(domain_names=["a.example", "*.b.example"]))
    found = ask(cluster_policy("a", egress=[named])).egress

    assert found.policies[0].rules[0].remark == (
        "no table says what a.example, *.b.example stands for"
    )


def test_kinds_are_shown_where_they_are_not_networkpolicy() -> None:
    answer = ask(BASE, OPEN, PASS)
    text = why_text(answer, lambda source, path: None)
    data = VerdictEncoder(lambda source, path: None).why(answer)

    assert "  - ClusterNetworkPolicy pass, priority 10\n" in text
    assert "  - a/db: isolates\n" in text
    looked = data["looked"]
    assert isinstance(looked, dict)
    assert [each.get("kind") for each in looked["ingress"]] == [
        "ClusterNetworkPolicy",
        None,
        "ClusterNetworkPolicy",
    ]


@given(clusters(TIERS))
def test_the_ladder_ends_in_the_decision(cluster: Cluster) -> None:
    asker = QueryEvaluator(compile_cluster(cluster, NAMES))
    pods = sorted(asker.index.endpoints)
    for source, destination in zip(pods, reversed(pods), strict=True):
        try:
            answer = why(asker, Can(source, destination, 80))
        except PodfenceError:  # no family in common
            continue
        for report in (answer.egress, answer.ingress):
            if report.ladder:
                assert _outcome(report) == _wanted(report.decision)
        assert why_text(answer, lambda source, path: None)


def _outcome(report: DirectionReport) -> tuple[bool, str]:
    """What the last rung says, with the position of the rule that said it."""
    last = report.ladder[-1]
    if last.action in (None, Action.PASS):
        return True, ""
    path = "" if last.rule is None else str(last.rule.origin)
    return last.action is Action.ACCEPT, path


def _wanted(decision: Decision) -> tuple[bool, str]:
    rule = str(decision.origins[0]) if decision.reason is Reason.RULE else ""
    return decision.allowed, rule


def test_np_58_a_pod_that_waits_for_its_address_is_explained_in_the_family_of_the_other() -> None:
    waiting = pod("a/new", {"app": "new"}, has_status=True)
    six = pod("b/six", addresses=["fd00::6"])
    open_six = cluster_rule("Accept", cluster_peer(networks=["::/0"]))
    asker = QueryEvaluator(
        compile_cluster(Cluster.of([*PODS, waiting, six, BASE, _egress(open_six)]))
    )
    found = why(asker, Can("a/new", "b/six", 80)).egress

    assert found.decision.reason is Reason.RULE
    assert ladder_text(found) == 'Admin p0 "out" spec.egress[0] accept'


def _egress(rule_: TierRule) -> ClusterNetworkPolicy:
    return cluster_policy("out", egress=[rule_])
