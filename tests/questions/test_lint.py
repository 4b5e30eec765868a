"""lint: findings of all policies; what was not read is no finding."""

from __future__ import annotations

from podfence.model.cluster import Cluster, ClusterObject
from podfence.policy.compile import compile_cluster
from podfence.questions.lint.findings import LINT_RULES
from podfence.questions.lint.lint import lint
from podfence.questions.lint.notes import notes_for
from podfence.testing.builders import peer, pod, policy, rule

MISSPELT = policy("shop/misspelt", {"app": "dbb"}, ingress=[rule(peer(pods={"app": "webb"}))])
DB = pod("shop/db", {"app": "db"})


UNCOVERED = frozenset({"PF350", "PF351"})
"""What no policy covers is asked in test_lint_together."""


def codes(*objects: ClusterObject) -> list[str]:
    found = lint(compile_cluster(Cluster.of(objects)), lambda _: None)
    return [each.code for each in found if each.code not in UNCOVERED]


def test_a_selector_that_matches_no_pod_is_a_finding() -> None:
    assert codes(MISSPELT, DB) == ["PF306", "PF307"]


def test_where_no_pod_was_read_a_selector_may_match_what_was_not() -> None:
    assert codes(MISSPELT) == []
    assert codes(MISSPELT, pod("away/db", {"app": "db"})) == []


def test_all_policies_say_what_each_says_alone() -> None:
    others: list[ClusterObject] = [
        policy("shop/every-web", ingress=[rule()]),
        policy("away/egress", types=["Ingress"], egress=[rule()]),
        pod("away/x", {"app": "x"}),
    ]
    index = compile_cluster(Cluster.of([MISSPELT, DB, *others]))
    alone = [found for one in index.cluster.policies for found in notes_for(index, one)]
    found = [each for each in lint(index, lambda _: None) if each.code not in UNCOVERED]
    assert found == alone
    assert {each.object.name for each in alone} == {"misspelt", "egress", "every-web"}


def test_a_finding_weighs_as_its_code_says() -> None:
    found = list(lint(compile_cluster(Cluster.of([MISSPELT, DB])), lambda _: None))
    assert found
    for finding in found:
        problem = finding.problem
        assert problem.severity is LINT_RULES[finding.code].severity
        assert problem.object == f"{finding.object.kind} {finding.object}"
        assert problem.message.startswith(f"{finding.path}: ")
