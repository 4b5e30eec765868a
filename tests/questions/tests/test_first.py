"""A first test file passes as it is written, whatever the cluster."""

from __future__ import annotations

from random import Random

from podfence.errors import Source
from podfence.questions.tests.decode import decode
from podfence.questions.tests.judge import ResultStatus
from podfence.questions.tests.run import FileRunner
from tests.questions.tests.test_judge import SHOP
from tests.support.random_clusters import random_cluster
from tests.support.random_tiers import NAMES


def test_a_first_file_passes_as_it_is_written() -> None:
    written = 0
    for seed in range(40):
        cluster = random_cluster(Random(seed))
        runs = FileRunner(cluster, NAMES)
        for namespace in cluster.namespaces:
            data = runs.first(namespace)
            if not data["tests"]:
                continue
            file, problems = decode(data, Source("first.yaml"))
            assert file is not None, (seed, [p.message for p in problems])
            (found,) = runs.all([file])
            for result in found.results:
                assert result.status is ResultStatus.PASSED, (seed, result)
            written += len(found.results)
    assert written > 50


def test_what_it_says_of_a_shop() -> None:
    tests = FileRunner(SHOP).first("shop")["tests"]

    assert [test["name"] for test in tests] == [
        "who reaches shop/web",
        "who reaches shop/db",
        "shop is closed for pods to come",
    ]
    assert {"from": "shop/web", "ports": [5432]} in tests[1]["only"]
    assert {"from": "watch/*", "ports": ["9100-9102"], "optional": True} in tests[1]["only"]
    assert tests[0]["only"] == []
    assert tests[2]["isolated"] == ["ingress"]
