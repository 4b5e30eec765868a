"""Tests of test files by packets: what they say is what the engine says of the same tests."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from podfence.lab.promises import prove
from podfence.lab.testbed.agreement import ProvedTest
from podfence.lab.trial import LabOptions
from podfence.manifests.load import load
from podfence.manifests.testfiles import read_test_files
from podfence.model.claims import claims
from podfence.model.cluster import Cluster
from podfence.questions.tests.form import PolicyTests
from podfence.questions.tests.judge import ResultStatus
from podfence.questions.tests.run import FileRunner
from podfence.render.jsontext import json_text
from podfence.render.lab_tests import proved_data
from tests.cli.schema import violations
from tests.cli.session import podfence
from tests.questions.tests.judged import file_of
from tests.support.random_clusters import Size, random_cluster
from tests.support.random_tiers import NAMES
from tests.support.testlaws import random_test

pytestmark = pytest.mark.kernel
BOTH = ["test", "--in", "model,lab"]


def proved(cluster: Cluster, file: PolicyTests) -> list[ProvedTest]:
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
    (judged,) = FileRunner(cluster, NAMES).all([file])
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


def test_model_and_lab_in_one_run_agree_about_the_shop() -> None:
    done = podfence([*BOTH, "examples/tests/shop.podfence.yaml", "-f", "examples/shop"])

    assert done.status == 0, done.out
    assert "model and lab agree on 8 tests (" in done.out
    assert "DISPUTE" not in done.out


def test_a_kernel_that_enforces_nothing_is_disputed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if lowering were wrong: what the engine denies gets through, and the exit status says that
    no verdict can be relied on."""
    monkeypatch.setattr("podfence.lab.run.load", lambda _: "table inet podfence {\n}\n")
    shop = [*BOTH, "examples/tests/shop.podfence.yaml", "-f", "examples/shop"]

    done = podfence(shop)
    said = json.loads(podfence([*shop, "-o", "json"]).out)

    assert done.status == 2
    assert "DISPUTE a debug pod gets nothing" in done.out
    assert "open; the engine says denied" in done.out
    schema = json.loads(Path("docs/schemas/test.schema.json").read_text("utf-8"))
    assert violations(said, schema, schema) == []
    assert "a debug pod gets nothing" in [d["name"] for d in said["agreement"]["disagreements"]]
    assert said["where"] == ["model", "lab"]


@pytest.mark.parametrize("form", ["junit", "tap", "sarif", "github", "json"])
def test_every_form_has_a_test_once_for_each_environment(form: str) -> None:
    done = podfence([*BOTH, "examples/tests/shop.podfence.yaml", "-f", "examples/shop", "-o", form])

    assert done.status == 0
    if form in ("junit", "tap", "json"):
        assert done.out.count("the backend reads the database") == 2


PORTS = """
apiVersion: podfence.io/v1alpha1
kind: PolicyTests
defaults: {namespace: shop}
tests:
- {name: nobody asks there, from: frontend, to: db:4711, expect: deny}
- {name: nor at the end of a range, from: backend, to: db, ports: [5433-6000], expect: deny}
- {name: of no pod, from: 203.0.113.200, to: 203.0.113.201, expect: deny}
"""


def test_packets_go_to_the_ports_that_tests_name(
    tmp_path: Path,
) -> None:
    tests = tmp_path / "odd.podfence.yaml"
    tests.write_text(PORTS)

    said = json.loads(podfence([*BOTH, str(tests), "-f", "examples/shop", "-o", "json"]).out)

    assert said["agreement"]["agree"] == 2
    by_name = {each["name"]: each for each in said["tests"] if each["where"] == "lab"}
    assert by_name["nobody asks there"]["denials"] == 4
    assert by_name["nor at the end of a range"]["denials"] >= 2
    (left,) = said["agreement"]["notCompared"]
    assert left["name"] == "of no pod"


BEHIND = """
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}}
---
apiVersion: v1
kind: Service
metadata: {name: sql, namespace: shop}
spec: {selector: {app: db}, ports: [{port: 80, targetPort: 5432}]}
"""
THROUGH = """
apiVersion: podfence.io/v1alpha1
kind: PolicyTests
metadata: {name: sql}
tests: [{name: sql, from: shop/web, to: "service/shop/sql:80", expect: allow}]
"""


def test_packets_go_to_the_ports_behind_a_service(tmp_path: Path) -> None:
    """No container and no rule names 5432."""
    (tmp_path / "shop.yaml").write_text(BEHIND)
    (tmp_path / "sql.podfence.yaml").write_text(THROUGH)
    done = podfence([*BOTH, "sql.podfence.yaml", "-f", "shop.yaml"], directory=tmp_path)
    assert done.status == 0
    assert "model and lab agree on 1 test" in done.out
