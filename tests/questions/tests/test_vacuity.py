"""No test file of the examples stays green without the policies, or with selectors that miss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest
from msgspec.structs import replace

from podfence.manifests.domaintable import read_name_table
from podfence.manifests.load import load
from podfence.manifests.testfiles import read_test_files
from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, Subject
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.selectors import LabelSelector
from podfence.questions.tests.run import FileRunner

ROOT = Path(__file__).parents[3]
FILES = sorted(path.name for path in (ROOT / "examples/tests").glob("*.podfence.yaml"))
MANIFESTS = MappingProxyType({"shop": "examples/shop", "tiers": "examples/tiers/cluster"})
Change = Callable[[Cluster], Cluster]


def green(name: str, change: Change) -> bool:
    tests = read_test_files([str(ROOT / "examples/tests" / name)])
    assert not tests.problems
    cluster = load([str(ROOT / MANIFESTS[name.partition(".")[0]])]).cluster
    names = read_name_table(str(ROOT / "examples/tiers/names.txt"), None).names
    (found,) = FileRunner(change(cluster), names).all(tests.files)
    return all(result.is_good for result in found.results)


def without_policies(cluster: Cluster) -> Cluster:
    return replace(cluster, policies=(), admin_policies=())


def misspelt(cluster: Cluster) -> Cluster:
    """Every selector asks for a label that nobody has."""
    return replace(
        cluster,
        policies=tuple(map(_misspelt, cluster.policies)),
        admin_policies=tuple(map(_misspelt_tier, cluster.admin_policies)),
    )


NOBODY = LabelSelector((("app", "misspelt"),))


def _misspelt(policy: NetworkPolicy) -> NetworkPolicy:
    return replace(policy, pod_selector=NOBODY)


def _misspelt_tier(policy: ClusterNetworkPolicy) -> ClusterNetworkPolicy:
    return replace(policy, subject=Subject(namespaces=NOBODY))


@pytest.mark.parametrize("name", FILES)
def test_an_example_is_green_as_it_stands(name: str) -> None:
    assert green(name, lambda cluster: cluster)


@pytest.mark.parametrize("change", [without_policies, misspelt])
@pytest.mark.parametrize("name", FILES)
def test_no_example_stays_green(name: str, change: Change) -> None:
    assert not green(name, change)


def test_no_example_stays_green_without_one_policy_that_it_needs() -> None:
    cluster = load([str(ROOT / "examples/shop")]).cluster
    stays = {
        str(policy.ref)
        for policy in cluster.policies
        if green(
            "shop.podfence.yaml",
            lambda known, gone=policy: replace(  # type: ignore[misc]
                known, policies=tuple(p for p in known.policies if p.ref != gone.ref)
            ),
        )
    }

    # The DNS was not read, and the other policies close both namespaces as well.
    closing = {"shop/default-deny", "monitoring/default-deny"}
    assert stays == {"shop/dns", "monitoring/dns", *closing}
