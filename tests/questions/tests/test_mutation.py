"""What the tests notice of a mistake is what judging the mistaken cluster anew says."""

from __future__ import annotations

from random import Random

import pytest

from podfence.live.clusterindex import ClusterIndex
from podfence.policy.compile import compile_cluster
from podfence.questions.connectivity import connectivity
from podfence.questions.tests.edits import prepared
from podfence.questions.tests.ends import Resolver
from podfence.questions.tests.judge import ResultStatus, judge
from podfence.questions.tests.mutants import MutationOperator, mutants
from podfence.questions.tests.mutation import mutate
from podfence.questions.tests.run import PreparedCluster
from podfence.questions.tests.world import ClusterWorld
from tests.questions.tests.judged import file_of
from tests.questions.tests.test_judge import SHOP
from tests.support.random_clusters import Size, random_cluster
from tests.support.random_tiers import NAMES
from tests.support.testlaws import random_test


@pytest.mark.law
def test_a_mistake_is_noticed_as_if_the_cluster_were_compiled_anew() -> None:
    counted = [0, 0, 0]
    for seed in range(12):
        rng = Random(seed)
        cluster = random_cluster(rng, Size())
        file = file_of(*(random_test(rng, cluster, str(n)) for n in range(6)))
        bench = PreparedCluster(prepared(cluster, [file], file), NAMES)
        tests = [t for t in file.tests if bench.result(t).status is ResultStatus.PASSED]
        found = mutate(bench.state, tests)
        said = {id(mutant): True for mutant, _ in found.killed}
        for mutant in (*(m for m, _ in found.killed), *found.survived, *found.equal):
            state, _ = bench.state.apply([mutant.event])
            world = ClusterWorld(compile_cluster(state.index.cluster, NAMES))
            resolver = Resolver(world)
            fails = any(judge(t, world, resolver).status is not ResultStatus.PASSED for t in tests)
            assert fails is said.get(id(mutant), False), (seed, mutant.origin, mutant.operator)
        counted[0] += len(found.killed)
        counted[1] += len(found.survived)
        counted[2] += len(found.equal)
    assert min(counted) > 5, counted


def test_a_mistake_that_changes_nothing_is_equal() -> None:
    file = file_of({"from": "web", "to": "db:sql", "expect": "allow"})
    state = ClusterIndex.of(prepared(SHOP, [file], file))
    found = mutate(state, file.tests)
    before = _rows(state)

    for mutant in mutants(state.index.cluster):
        same = _rows(state.apply([mutant.event])[0]) == before
        assert same is (mutant in found.equal), (mutant.origin, mutant.operator)
    assert [m.operator for m, _ in found.killed if m.origin.path == "spec.ingress[0]"] == [
        MutationOperator.RULE
    ]
    assert found.rules == (1, 3)


def _rows(state: ClusterIndex) -> set[tuple[str, str, str]]:
    return {
        (source.name, row.destination.name, str(row.ports))
        for row in connectivity(state.index).rows()
        for source in row.sources
    }


def test_fewer_mutants_are_spread_evenly() -> None:
    file = file_of({"from": "web", "to": "db:sql", "expect": "allow"})
    state = ClusterIndex.of(prepared(SHOP, [file], file))
    every = len(list(mutants(state.index.cluster)))

    found = mutate(state, file.tests, 4)
    tried = len(found.killed) + len(found.survived) + len(found.equal)
    assert tried <= 4
    assert tried + found.left_out == every
