"""Real nodes do what the engine says, for random policies between pods that a kubelet started."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster import agents, agreement, suites
from tests.cluster.cluster import Cluster
from tests.cluster.population import Population, populated
from tests.support.random_clusters import Size

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(7200)]

CASES = int(os.environ.get("PODFENCE_CLUSTER_CASES", "25"))
FIRST = int(os.environ.get("PODFENCE_CLUSTER_FIRST", "0"))
"""How many cases are tried, from which number on."""


@pytest.fixture(scope="module")
def enforced(cluster: Cluster) -> Iterator[Population]:
    """Eight pods on two nodes, and the agent on both."""
    suites.install_tiers(cluster)
    with (
        populated(cluster, agreement.pods(), agreement.PORTS) as population,
        agents.from_sources(cluster),
    ):
        yield population


def test_without_policies_everything_is_reached(enforced: Population) -> None:
    flows = dict.fromkeys(enforced.flows(), True)
    assert len(flows) > 700
    assert not agreement.settle(enforced, flows).wrong


@pytest.mark.parametrize("size", [agreement.POLICIES, agreement.TIERS], ids=["policies", "tiers"])
def test_random_policies_are_enforced_as_the_engine_says(
    cluster: Cluster, enforced: Population, size: Size
) -> None:
    nothing = before = agreement.nothing(enforced, cluster.nodes[:2])
    denied = policies = 0
    slowest = 0.0
    with cluster.admin as admin:
        agreement.forget_labels(admin, nothing)
        try:
            for number in range(FIRST, FIRST + CASES):
                made = agreement.case(number, enforced, cluster.nodes[:2], size)
                agreement.apply(admin, before, made.model)
                before = made.model
                wanted = agreement.expected(made.model, enforced.flows())
                found = agreement.settle(enforced, wanted)
                assert not found.wrong, agreement.describe(made, found)
                denied += sum(not may for may in wanted.values())
                policies += len(agreement.policies_of(made.model))
                slowest = max(slowest, found.seconds)
        finally:
            agreement.apply(admin, before, nothing)
    print(
        f"{CASES} cases, {policies} policies, {denied} flows denied, "
        f"the slowest was right after {slowest:.1f} s"
    )
    assert denied > CASES
