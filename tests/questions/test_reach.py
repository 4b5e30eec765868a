"""What rules of lint ask of many pods at once: the same as of each pod, for less work."""

from __future__ import annotations

from random import Random

import pytest
from pyroaring import FrozenBitMap

from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction
from podfence.questions.lint.note import WrittenObjects
from podfence.questions.lint.reach import LintIndex
from podfence.questions.phrases.ends import Ends
from podfence.questions.phrases.matched import MatchedPods
from podfence.testing.builders import pod
from tests.support.random_clusters import TIERS, Size, random_cluster

SEEDS = range(30)


def reach_of(seed: int) -> LintIndex:
    index = compile_cluster(random_cluster(Random(seed), TIERS if seed % 2 else Size()))
    return LintIndex.of(index, MatchedPods(index), WrittenObjects(index, lambda _: None))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_policy_permits_what_its_partition_says(seed: int) -> None:
    reach = reach_of(seed)
    for direction in Direction:
        for policy, _ in reach.holders[direction].values():
            for family, partitions in reach.partitions.items():
                blocks = reach.blocks(policy, family)
                for rule in (r for tier in policy.tiers for r in tier.rules):
                    for ports, _ in partitions.matches(rule):
                        for number in partitions.everyone:
                            one = FrozenBitMap([number])
                            wanted = any(
                                number in who and reach.table.intersection(open_ports, ports)
                                for open_ports, who in blocks.items()
                            )
                            assert reach.permits(policy, family, ports, one) == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rule_means_the_pods_of_its_peers_and_what_they_declare(seed: int) -> None:
    matched = reach_of(seed).matched
    for policy in matched.index.cluster.policies:
        for rule in (rule for rule in (*policy.ingress, *policy.egress) if rule.peers):
            peers = [matched.peers(policy.ref.namespace, peer) for peer in rule.peers]
            ends = matched.rule_peers(policy.ref.namespace, rule.peers)
            assert {id(end) for end in ends} == {id(end) for each in peers for end in each}
            assert len(ends) == len(list(ends))
            declared(matched, ends)


def test_more_pods_than_there_are_lists_of_ports() -> None:
    ports = ["http:8080"]
    pods = [pod(f"a/p{n}", addresses=[f"10.0.0.{n}"], ports=ports[: n % 2]) for n in range(1, 9)]
    matched = MatchedPods(compile_cluster(Cluster.of(pods)))
    everybody = matched.rule_peers("a", ())
    assert len(everybody) == 8
    declared(matched, everybody)


def declared(matched: MatchedPods, ends: Ends) -> None:
    assert set(matched.port_lists(ends)) == {end.pod.ports for end in ends}
