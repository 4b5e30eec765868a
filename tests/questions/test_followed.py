"""The plan of an event is the plan of the two states."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from msgspec.structs import replace

from podfence.engine.partition import speakers
from podfence.live.clusterevents import ClusterEvent, gone, put
from podfence.live.clusterindex import ClusterIndex
from podfence.manifests.load import load
from podfence.model.cluster import Cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.difference import ReachChange, difference
from podfence.questions.plan.ends import joint_ends
from podfence.questions.plan.followed import FollowedState
from podfence.questions.plan.plan import comparable, plan_of_indexes
from podfence.sets import PortSet
from tests.cli.session import ROOT
from tests.support.random_clusters import TIERS, Size, random_cluster


def edits(cluster: Cluster, rng: Random) -> tuple[ClusterEvent, ...]:
    """One to three policies that go, say what another says, or lose a direction."""
    found: list[ClusterEvent] = []
    for policy in rng.sample(cluster.policies, min(len(cluster.policies), rng.randint(1, 3))):
        other = rng.choice(cluster.policies)
        found.append(
            rng.choice(
                (
                    gone(policy.ref),
                    put(replace(policy, ingress=other.ingress, egress=other.egress)),
                    put(replace(policy, pod_selector=other.pod_selector)),
                    put(replace(policy, policy_types=other.policy_types)),
                    put(replace(policy, ref=replace(policy.ref, name=f"{policy.ref.name}-2"))),
                )
            )
        )
    return tuple(found)


def pairs(changes: Iterable[ReachChange], speaking: dict[int, set[int]]) -> set[Pair]:
    """Every pair by itself, once for each IP version."""
    return {
        (source, destination, family, change.before, change.after)
        for change in changes
        for family in ((change.family,) if change.family else (4, 6))
        for source in change.sources
        for destination in change.destinations
        if {source, destination} <= speaking.get(family, set())
    }


Pair = tuple[int, int, int, PortSet, PortSet]


@pytest.mark.law
@pytest.mark.parametrize("size", [Size(), TIERS], ids=["networkpolicies", "tiers"])
def test_it_equals_the_difference_of_both_states(size: Size) -> None:
    compared = 0
    for seed in range(150):
        rng = Random(seed)
        cluster, _ = comparable(*[random_cluster(rng, size)] * 2)
        if not cluster.policies:
            continue
        followed = FollowedState(ClusterIndex.of(cluster))
        old = followed.state.index
        after, affected = followed.state.apply(edits(cluster, rng))
        if affected.classes:
            continue
        ends = joint_ends(old, after.index, {})
        assert ends == followed.ends
        speaking = {
            family: {j.number for j in ends.joint if j.before in of_family(old, family)}
            for family in (4, 6)
        }
        expected = pairs(difference(old, after.index, ends), speaking)
        assert pairs(followed.changes(after.index, affected), speaking) == expected
        compared += bool(expected)
    assert compared > 5


def of_family(index: PolicyIndex, family: int) -> set[int]:
    pods, outside = speakers(index, family)
    return {*pods, *outside}


def test_one_ip_version_gives_the_very_same_plan() -> None:
    loaded = load([str(ROOT / "examples/shop")])
    cluster, _ = comparable(loaded.cluster, loaded.cluster)
    cluster = replace(
        cluster,
        pods=tuple(replace(pod, addresses=pod.addresses[:1]) for pod in cluster.pods),
    )
    followed = FollowedState(ClusterIndex.of(cluster))
    for policy in cluster.policies:
        events = (gone(policy.ref),)
        after, _ = followed.state.apply(events)
        expected = plan_of_indexes(followed.state.index, after.index)
        found = followed.plan(events)
        assert (found.edits, set(found.outcomes)) == (expected.edits, set(expected.outcomes))
        assert set(found.newcomers) == set(expected.newcomers)
