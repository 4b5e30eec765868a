"""The suites of others pass with the agent as users get it: its image and its manifest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import agents, scores, suites
from tests.cluster.cluster import Cluster
from tests.cluster.suites import PASSED, Result

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def enforced(cluster: Cluster) -> Iterator[Cluster]:
    suites.install_tiers(cluster)
    with agents.from_image(cluster):
        yield cluster


@pytest.mark.parametrize(("name", "least"), [("networkpolicy", 51), ("clusternetworkpolicy", 60)])
def test_every_test_of_a_suite_passes(enforced: Cluster, name: str, least: int) -> None:
    _, run = scores.SUITES[name]
    results: list[Result] = run(enforced)
    assert [result for result in results if result.state != PASSED] == []
    assert len(results) >= least
