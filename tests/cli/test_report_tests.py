"""``report --tests``: what became of each promise, and where on the map a failure is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.schema import violations
from tests.cli.session import podfence
from tests.cli.test_hostile import NAMES
from tests.cli.test_report import Page, schema, written

SHOP = ("-f", "examples/shop")
KEPT = "examples/tests/shop.podfence.yaml"
OFFICE = (
    "outside 0.0.0.0/0 except 198.51.100.0/25, 198.51.100.128/26, 203.0.113.0/25, plus "
    "::/0 except 2001:db8:113::/48"
)
"""The line of the map that holds 198.51.100.192, which the shop keeps out."""
PROMISES = """\
apiVersion: podfence.io/v1alpha1
kind: PolicyTests
metadata: {name: promises}
defaults: {namespace: shop}
tests:
- {name: the backend reads the database, from: backend, to: "db:sql", expect: allow}
- {name: the frontend reads the database, from: frontend, to: "db:sql", expect: allow}
- {name: no debug pod reads it, from: dbg, to: db, expect: deny}
- {name: later, from: backend, to: db, expect: deny, skip: not yet}
- {name: a new pod, from: {newcomer: {app: backend}, namespace: shop}, to: "db:sql", expect: deny}
- {name: customers stay out, from: outside, to: "frontend:http", expect: deny}
- name: nobody takes the backend's label
  given:
  - patch: {kind: Deployment, namespace: shop, name: frontend, labels: {app: backend}}
  from: frontend
  to: db:sql
  expect: deny
- name: only the office sees Prometheus
  to: monitoring/prometheus:web
  only:
  - from: 198.51.100.192/26
- name: they are closed for what nobody lets in
  newcomers: {namespace: shop}
  isolated: [ingress]
- {name: what nobody may reach is closed, from: frontend, to: "db:9999", by: ingress, expect: deny}
"""


@pytest.fixture
def promises(tmp_path: Path) -> str:
    path = tmp_path / "promises.yaml"
    path.write_text(PROMISES)
    return str(path)


def results_of(page: Page) -> dict[str, Any]:
    return {each["name"]: each for each in page.data["tests"]}


def pair_of(page: Page, name: str) -> list[str] | None:
    [found] = results_of(page)[name]["counterexamples"]
    ends = page.data["map"]["endpoints"]
    return [ends[each]["name"] for each in found["pair"]] if "pair" in found else None


def test_the_tests_are_what_test_says(promises: str) -> None:
    page = written(*SHOP, "--tests", promises, "--tests", KEPT)
    wanted = schema("report")
    assert violations(page.data, wanted, wanted) == []
    found = page.data["tests"]
    for each in found:
        for connection in each["counterexamples"]:
            connection.pop("pair", None)
            connection.pop("supposed", None)
            assert connection.pop("said")
    said = json.loads(podfence(["test", promises, KEPT, *SHOP, "-o", "json"]).out)
    assert found == said["tests"]
    assert {each["status"] for each in found} == {"passed", "failed", "vacuous", "skipped"}


def test_what_decided_is_said_as_test_says_it(promises: str) -> None:
    test = results_of(written(*SHOP, "--tests", promises))["the frontend reads the database"]
    [found] = test["counterexamples"]
    said = podfence(["test", promises, *SHOP]).out
    assert len(found["said"]) == 2
    assert all(f"         {line}\n" in said for line in found["said"])


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("the frontend reads the database", ["shop/frontend", "shop/db"]),
        ("only the office sees Prometheus", [OFFICE, "monitoring/prometheus"]),
        ("a new pod", None),
        ("nobody takes the backend's label", None),
    ],
)
def test_a_failure_leads_to_its_pair_where_the_map_has_it(
    promises: str, name: str, pair: list[str] | None
) -> None:
    """Neither pods to come nor what a test supposes is on the map."""
    assert pair_of(written(*SHOP, "--tests", promises), name) == pair


def test_what_a_test_supposes_is_marked(promises: str) -> None:
    found = results_of(written(*SHOP, "--tests", promises))
    marked = [
        name
        for name, test in found.items()
        if any(each.get("supposed") for each in test["counterexamples"])
    ]
    assert marked == ["nobody takes the backend's label"]


def test_a_map_of_some_namespaces_leads_to_no_pair_of_others(promises: str) -> None:
    page = written(*SHOP, "-n", "monitoring", "--tests", promises)
    assert pair_of(page, "the frontend reads the database") is None
    assert pair_of(page, "only the office sees Prometheus") is not None


def test_a_test_that_something_unread_may_turn_is_undecided(tmp_path: Path, promises: str) -> None:
    torn = tmp_path / "torn.yaml"
    torn.write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: torn, namespace: shop}\nspec: {podSelector: 5}\n"
    )
    page = written(*SHOP, "-f", str(torn), "--tests", promises, status=2)
    test = results_of(page)["the backend reads the database"]
    assert (test["status"], test["text"]) == ("undecided", "NetworkPolicy shop/torn")


def test_without_test_files_the_page_has_none() -> None:
    assert "tests" not in written(*SHOP).data


WRONG = {
    "no test file": (
        b"{apiVersion: v1, kind: Pod, metadata: {name: web}}\n",
        "no document of kind PolicyTests is here",
    ),
    "an unknown field": (
        PROMISES.replace("expect: allow", "expects: allow", 1).encode(),
        ":6:71: error[PF500]",
    ),
    "no YAML": (b"tests: [\n", ":2:1: error"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_test_file_is_said_with_its_position_and_nothing_is_written(
    tmp_path: Path, case: str
) -> None:
    text, said = WRONG[case]
    file, page = tmp_path / "wrong.yaml", tmp_path / "page.html"
    file.write_bytes(text)
    page.write_text("old")
    done = podfence(["report", *SHOP, "--tests", str(file), "-o", str(page)])
    assert done.status == 2
    assert f"{file}:" in done.err
    assert said in done.err
    assert "no report was written; fix the test files" in done.err
    assert page.read_text() == "old"


def test_an_anonymous_page_takes_no_tests() -> None:
    done = podfence(["report", *SHOP, "--tests", KEPT, "--anonymise", "-o", "-"])
    assert (done.status, done.out) == (2, "")
    assert "tests show names as they are; drop --tests or --anonymise" in done.err


def test_standard_input_is_read_once() -> None:
    done = podfence(["report", "-f", "-", "--tests", "-", "-o", "-"])
    assert (done.status, done.out) == (2, "")
    assert "standard input can be read only once" in done.err


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_no_name_of_a_test_becomes_markup(tmp_path: Path, name: str) -> None:
    pages = []
    for each in ("plain", name):
        file = tmp_path / "named.yaml"
        file.write_text(named(each))
        pages.append(written(*SHOP, "--tests", str(file)))
    shapes = [[(tag, sorted(attributes)) for tag, attributes in page.tags] for page in pages]
    assert shapes[0] == shapes[1]
    assert list(results_of(pages[1])) == [name]


def named(name: str) -> str:
    """A test file that holds the name wherever it can."""
    test = {"name": name, "from": "backend", "to": "db", "expect": "deny", "skip": name}
    return json.dumps(
        {
            "apiVersion": "podfence.io/v1alpha1",
            "kind": "PolicyTests",
            "metadata": {"name": "named"},
            "defaults": {"namespace": "shop"},
            "tests": [test],
        }
    )
