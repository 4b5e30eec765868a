"""What test files say of random clusters is what asking one connection after the other says."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from podfence.model.networkpolicy import PolicyType
from podfence.policy.flow import Direction
from podfence.questions.plan.newcomers import is_newcomer
from podfence.questions.tests.edits import prepared
from podfence.questions.tests.judge import Result, ResultStatus
from podfence.questions.tests.run import PreparedCluster
from tests.questions.tests.judged import file_of
from tests.support.oracle import isolated
from tests.support.random_clusters import Size, random_cluster
from tests.support.random_tiers import NAMES
from tests.support.testlaws import Naive, check, random_test

TESTS = 6


def judged(seed: int) -> tuple[int, int, int]:
    """Tests of one random cluster; how many passed, failed, and were vacuous."""
    rng = Random(seed)
    cluster = random_cluster(rng)
    texts = [random_test(rng, cluster, str(number)) for number in range(TESTS)]
    file = file_of(*texts)
    bench = PreparedCluster(prepared(cluster, [file], file), NAMES)
    results = [bench.result(test) for test in file.tests]
    index = bench.world.index
    certain = {address: endpoint.pod for address, endpoint in index.by_address.items()}
    naive = Naive(bench.cluster, certain, NAMES)
    for text, result in zip(texts, results, strict=True):
        check(text, result, naive)
    return _count(results)


def _count(results: list[Result]) -> tuple[int, int, int]:
    found = [result.status for result in results]
    return (
        found.count(ResultStatus.PASSED),
        found.count(ResultStatus.FAILED),
        found.count(ResultStatus.VACUOUS),
    )


@pytest.mark.law
def test_tests_say_what_asking_one_by_one_says() -> None:
    counted = [judged(seed) for seed in range(20)]

    passed, failed, _ = (sum(each) for each in zip(*counted, strict=True))
    assert passed > 5
    assert failed > 5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_at_length() -> None:
    for seed in range(1000, 1250):
        judged(seed)


@pytest.mark.law
def test_isolated_is_what_policies_isolate() -> None:
    closed = 0
    for seed in range(60):
        cluster = replace(random_cluster(Random(seed), Size()), admin_policies=())
        for direction in Direction:
            file = file_of({"newcomers": {}, "isolated": [direction.value]})
            bench = PreparedCluster(prepared(cluster, [file], file), NAMES)
            result = bench.result(file.tests[0])
            kind = PolicyType.INGRESS if direction is Direction.INGRESS else PolicyType.EGRESS
            coming = [p for p in bench.cluster.pods if p.owner and is_newcomer(p.owner)]
            said = {f"{p.namespace}/+" for p in coming if not isolated(bench.cluster, p, kind)}
            assert (result.status is ResultStatus.PASSED) is (not said), seed
            assert result.total == len(said)
            closed += len(coming) - len(said)
    assert closed > 20
