"""Tests of test files by packets: what they say is what the engine says of the same tests."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from podfence.lab.promises import prove
from podfence.lab.testbed.proved import Proved
from podfence.lab.trial import LabOptions
from podfence.manifests.load import load
from podfence.manifests.testfiles import read_test_files
from podfence.model.claims import claims
from podfence.model.cluster import Cluster
from podfence.questions.tests.form import PolicyTests
from podfence.questions.tests.judge import ResultStatus
from podfence.questions.tests.run import Runs
from podfence.render.jsontext import json_text
from podfence.render.lab_tests import proved_data
from tests.cli.schema import violations
from tests.questions.tests.judged import file_of
from tests.support.random_clusters import Size, random_cluster
from tests.support.random_tiers import NAMES
from tests.support.testlaws import random_test

pytestmark = pytest.mark.kernel


def proved(cluster: Cluster, file: PolicyTests) -> list[Proved]:
    return list(prove(cluster, NAMES, file, lambda _: True, LabOptions(), lambda _: None))


def test_the_shop_keeps_its_promises_in_the_kernel() -> None:
    cluster = load(["examples/shop"]).cluster
    (file,) = read_test_files(["examples/tests/shop.podfence.yaml"]).files

    found = {each.test.name: each for each in proved(cluster, file)}

    assert {each.status for each in found.values()} == {"passed", "skipped"}
    assert found["nothing but the backend and Prometheus reaches the database"].denials > 100
    assert found["a scraper that loses its label scrapes no more"].denials == 2


def test_without_policies_packets_break_the_promises() -> None:
    cluster = replace(load(["examples/shop"]).cluster, policies=())
    (file,) = read_test_files(["examples/tests/shop.podfence.yaml"]).files

    found = {each.test.name: each for each in proved(cluster, file)}

    schema = json.loads(Path("docs/schemas/lab-tests.schema.json").read_text("utf-8"))
    data = json.loads(json_text(proved_data(list(found.values()), lambda *_: None)))
    assert violations(data, schema, schema) == []
    assert found["a debug pod gets nothing"].status == "failed"
    assert found["a debug pod gets nothing"].first is not None
    assert found["the backend reads the database"].status == "passed"


def agree(seed: int, number: int, *, suppose: bool) -> int:
    """Random tests of one random cluster, all in one lab without ``suppose``; how many packets had
    a say on."""
    rng = Random(seed)
    cluster = random_cluster(rng, Size())
    while claims(cluster.pods):  # in a lab somebody has an address that is nobody's (NP-60a)
        cluster = random_cluster(rng, Size())
    texts = [dict(random_test(rng, cluster, str(each))) for each in range(number)]
    if not suppose:  # each list of edits has a lab of its own
        for text in texts:
            text.pop("given", None)
    file = file_of(*texts)
    (judged,) = Runs(cluster, NAMES).all([file])
    tried = 0
    for result, packets in zip(judged.results, proved(cluster, file), strict=True):
        assert not packets.differ
        if packets.status == "failed":
            assert result.status is ResultStatus.FAILED, (seed, packets)
        if result.status is ResultStatus.PASSED:
            assert packets.status in ("passed", "unproved", "skipped"), (seed, packets)
        tried += packets.status in ("passed", "failed")
    return tried


@pytest.mark.parametrize("seed", range(6))
def test_packets_and_engine_agree_on_random_tests(seed: int) -> None:
    assert agree(seed, 6, suppose=True) >= 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_they_agree_on_a_thousand() -> None:
    """40 tests to a lab, so that a lab's start is paid 25 times."""
    assert sum(agree(seed, 40, suppose=False) for seed in range(100, 125)) > 250
