"""The policies that select a pod: those that the naive judge asks about it, in their order."""

from __future__ import annotations

from functools import cache

import pytest

from podfence.errors import QuestionError
from podfence.model.cluster import Cluster
from podfence.model.networkpolicy import PolicyType
from podfence.policy.compile import compile_cluster
from podfence.questions.parties import PartyLookup
from podfence.questions.selecting import SelectingPolicies, SelectingPolicy, selecting
from podfence.testing.builders import pod, policy, rule
from tests.support.judging import make
from tests.support.laws import law
from tests.support.oracle import isolated
from tests.support.oracle_tiers import touches
from tests.support.random_clusters import TIERS, clusters
from tests.support.random_tiers import NAMES


@cache
def numbered() -> tuple[Cluster, ...]:
    return tuple(make(seed=11, number=number, tiers=bool(number % 2))[0] for number in range(30))


@law(clusters() | clusters(TIERS), numbered)
def test_a_pod_has_policies_exactly_where_the_oracle_finds_some(cluster: Cluster) -> None:
    """NP-2, NP-5, NP-8, CNP-4."""
    index = compile_cluster(cluster, NAMES)
    directory = PartyLookup(index)
    for each in cluster.pods:
        name = f"{each.namespace}/{each.name}"
        if name not in index.endpoints:
            continue
        found = selecting(index, directory.find(f"{each.namespace}/pod/{each.name}"))
        for direction, policies in (
            (PolicyType.INGRESS, found.ingress),
            (PolicyType.EGRESS, found.egress),
        ):
            tiers = [p.tier for p in policies]
            assert ("NetworkPolicy" in tiers) is isolated(cluster, each, direction)
            assert bool({"Admin", "Baseline"} & set(tiers)) is touches(cluster, each, direction)
            assert tiers == sorted(tiers, key=["Admin", "NetworkPolicy", "Baseline"].index)
            assert all(p.pods == (name,) for p in policies)


DB = pod("shop/db-0", {"app": "db"}, addresses=["10.0.0.1"])
WEB = pod("shop/web-0", {"app": "web"}, addresses=["10.0.0.2"])
HOST = pod("shop/agent-0", addresses=["172.20.0.1"], host_network=True)
CLUSTER = Cluster.of(
    [
        DB,
        WEB,
        HOST,
        policy("shop/all", ingress=[]),
        policy("shop/db", {"app": "db"}, ingress=[rule()], egress=[rule(), rule()]),
        policy("other/all", ingress=[]),
    ]
)


def selection(name: str) -> SelectingPolicies:
    index = compile_cluster(CLUSTER)
    return selecting(index, PartyLookup(index).find(name))


def named(policies: tuple[SelectingPolicy, ...]) -> list[tuple[str, int]]:
    return [(str(p.policy), p.rules) for p in policies]


def test_each_direction_names_its_policies() -> None:
    found = selection("shop/db-0")
    assert named(found.ingress) == [("shop/all", 0), ("shop/db", 1)]
    assert named(found.egress) == [("shop/db", 2)]
    assert found.exempt == ()


def test_a_pod_that_no_policy_isolates_has_none() -> None:
    found = selection("shop/web-0")
    assert named(found.ingress) == [("shop/all", 0)]
    assert found.egress == ()


def test_no_policy_selects_a_pod_on_the_host_network() -> None:
    """NP-50."""
    found = selection("shop/agent-0")
    assert (found.pods, found.exempt) == ((), ("shop/agent-0",))
    assert found.ingress == found.egress == ()


@pytest.mark.parametrize("name", ["192.0.2.1", "172.20.0.1"])
def test_policies_select_no_address(name: str) -> None:
    with pytest.raises(QuestionError, match="is not a pod or workload"):
        selection(name)
