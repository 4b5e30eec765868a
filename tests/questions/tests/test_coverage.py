"""Which rules the tests of a file look at."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from podfence.errors import Source
from podfence.model.cluster import Cluster
from podfence.questions.tests.coverage import Coverage, Touching
from podfence.questions.tests.decode import decode
from podfence.questions.tests.mutants import MutationOperator, mutants, rule_origins
from podfence.questions.tests.run import FileRunner
from tests.questions.tests.judged import cluster, file_of
from tests.support.random_clusters import random_cluster
from tests.support.random_tiers import NAMES

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: shop, labels: {app: job}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
  - from: [{podSelector: {matchLabels: {app: job}}}]
    ports: [{port: 5432}]
  - from: [{podSelector: {matchLabels: {app: db}}}]
  egress:
  - {}
"""
SHOP = cluster(PODS)
ABOVE = """
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: above}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  ingress:
  - action: Deny
    from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: job}}}}]
  - action: Deny
    from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: job}}}}]
"""


def touched(of: Cluster, *tests: Mapping[str, Any]) -> set[str]:
    """``db spec.ingress[0]`` of each rule that is touched."""
    return {f"{o.policy.name} {o.path}" for o in coverage(of, *tests).touched}


def coverage(of: Cluster, *tests: Mapping[str, Any]) -> Coverage:
    touching = Touching(of)
    list(FileRunner(of).all([file_of(*tests)], touching=touching))
    return touching.coverage()


def test_a_rule_that_allows_what_is_asked_is_touched() -> None:
    assert touched(SHOP, {"from": "web", "to": "db:5432", "expect": "allow"}) == {
        "db spec.ingress[0]"
    }


def test_a_rule_about_another_port_is_not() -> None:
    assert touched(SHOP, {"from": "web", "to": "db:80", "expect": "deny"}) == set()


def test_a_test_about_everybody_touches_the_rules_of_all_of_them() -> None:
    only = [{"from": ["web", "job"], "ports": [5432]}]
    assert touched(SHOP, {"to": "db", "only": only}) == {"db spec.ingress[0]", "db spec.ingress[1]"}


def test_a_rule_that_lets_a_single_pod_reach_itself_is_about_nobody() -> None:
    found = coverage(SHOP, {"from": "*", "to": "db:5432", "expect": "some"})
    assert "spec.ingress[2]" in {origin.path for origin in found.missed}
    assert found.share == (2, 4)


def test_one_direction_alone_touches_no_rule_of_the_other() -> None:
    ask = {"from": "db", "to": "web:80", "expect": "allow"}
    assert touched(SHOP, {**ask, "by": "ingress"}) == set()
    assert touched(SHOP, {**ask, "by": "egress"}) == {"db spec.egress[0]"}


def test_a_rule_that_denies_is_touched_and_hides_what_comes_after_it() -> None:
    ask = {"from": "job", "to": "db:5432", "expect": "deny"}
    assert touched(cluster(PODS + ABOVE), ask) == {"above spec.ingress[0]"}


def test_a_test_that_looks_at_nobody_touches_nothing() -> None:
    assert touched(SHOP, {"from": "wbe", "to": "db:5432", "expect": "allow"}) == set()


def test_a_test_that_fails_has_looked() -> None:
    assert touched(SHOP, {"from": "web", "to": "db:5432", "expect": "deny"}) == {
        "db spec.ingress[0]"
    }


@pytest.mark.parametrize("seed", range(12))
def test_every_rule_that_is_needed_is_touched(seed: int) -> None:
    """Mutation knows nothing of coverage: it takes the rule away and runs the tests."""
    of = random_cluster(Random(f"coverage/{seed}"))
    runs, touching = FileRunner(of, NAMES), Touching(of)
    tests = [t for n in of.namespaces for t in runs.first(n)["tests"] if "only" in t]
    data = {"apiVersion": "podfence.io/v1alpha1", "kind": "PolicyTests", "tests": tests}
    file, problems = decode(data, Source("first.yaml"))
    if not tests:
        return
    assert file is not None, problems
    found = list(runs.all([file], touching=touching))
    needed = {
        (mutant.origin.policy, mutant.origin.path)
        for mutant, _ in runs.mutation(found).killed
        if mutant.operator is MutationOperator.RULE
    }
    assert needed <= {(o.policy, o.path) for o in touching.coverage().touched}


def test_both_figures_count_the_same_rules() -> None:
    for seed in range(30):
        of = random_cluster(Random(seed))
        removed = [m.origin for m in mutants(of) if m.operator is MutationOperator.RULE]
        assert list(rule_origins(of)) == removed
