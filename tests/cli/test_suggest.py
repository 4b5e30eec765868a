"""``podfence suggest`` as a command: where policies go, what is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.schema import violations
from tests.cli.session import ROOT, podfence

FLOWS = "examples/flows/hubble.jsonl"
OPEN = ["-f", "examples/shop", "--exclude", "policies/"]


def test_what_is_suggested_can_be_read_again_and_passes_check(tmp_path: Path) -> None:
    done = podfence(["suggest", "--flows", FLOWS, *OPEN])
    assert done.status == 0
    (tmp_path / "policies.yaml").write_text(done.out)

    checked = podfence(["check", *OPEN, "-f", str(tmp_path / "policies.yaml")])
    assert (checked.status, "error" in checked.err) == (0, False)


OPTIONS = ["", "--outside addresses", "--wide-outside /24", "--group label:app", "--min-count 3"]


@pytest.mark.parametrize("options", OPTIONS)
def test_check_finds_nothing_in_it_but_names_that_nobody_was_seen_to_ask_for(
    options: str, tmp_path: Path
) -> None:
    flows = "tests/cli/inputs/clients.csv"
    done = podfence(["suggest", "--flows", flows, *OPEN, *options.split()])
    made = tmp_path / "policies.yaml"
    made.write_text(done.out)

    checked = podfence(["check", *OPEN, "-f", str(made), "-o", "json"])
    found = [p for p in json.loads(checked.out)["problems"] if p.get("file") == str(made)]

    assert "replay: " in done.err
    assert {problem["code"] for problem in found} == {"PF333"}
    assert "no DNS query was seen from" in done.err


def test_with_its_own_policies_in_place_nothing_is_suggested(tmp_path: Path) -> None:
    first = podfence(["suggest", "--flows", FLOWS, *OPEN]).out
    (tmp_path / "policies.yaml").write_text(first)

    again = podfence(["suggest", "--flows", FLOWS, *OPEN, "-f", str(tmp_path / "policies.yaml")])
    assert (again.status, again.out) == (0, "")


def test_a_file_for_each_policy_and_none_is_written_over(tmp_path: Path) -> None:
    words = ["suggest", "--flows", FLOWS, *OPEN, "--out", str(tmp_path / "new")]
    done = podfence(words)

    assert done.status == 0
    assert "replay:" in done.out
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [
        "monitoring.prometheus-from-flows.yaml",
        "shop.backend-from-flows.yaml",
        "shop.db-from-flows.yaml",
        "shop.frontend-from-flows.yaml",
    ]
    assert podfence(words).status == 2


@pytest.mark.parametrize(
    "there", ["new/shop.frontend-from-flows.yaml", "shop.yaml"], ids=["a policy", "the tests"]
)
def test_policies_and_tests_are_written_all_or_none(tmp_path: Path, there: str) -> None:
    mine = tmp_path / there
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    words = ["--out", str(tmp_path / "new"), "--write-tests", str(tmp_path / "shop.yaml")]
    done = podfence(["suggest", "--flows", FLOWS, *OPEN, *words])
    assert (done.status, done.out) == (2, "")
    assert f"nothing was written: File exists: {mine}" in done.err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_records_come_from_standard_input_once() -> None:
    records = (ROOT / FLOWS).read_bytes()
    piped = podfence(["suggest", "--flows", "-", *OPEN], stdin=records)
    assert piped.out == podfence(["suggest", "--flows", FLOWS, *OPEN]).out
    assert podfence(["suggest", "--flows", "-", "-f", "-"], stdin=records).status == 2


def test_names_of_pods_become_no_lines_of_a_manifest() -> None:
    done = podfence(["suggest", "--flows", "tests/cli/inputs/hostile-flows.jsonl", *OPEN])
    kinds = [document["kind"] for document in yaml.safe_load_all(done.out)]
    assert kinds == ["NetworkPolicy", "NetworkPolicy"]
    assert "\x1b" not in done.out + done.err


@pytest.mark.parametrize("words", [["-n", "shopp"], ["shop/bd"]])
def test_who_is_not_there_cannot_get_a_policy(words: list[str]) -> None:
    done = podfence(["suggest", *words, "--flows", FLOWS, *OPEN])
    assert (done.status, done.out) == (2, "")


def test_namespaces_and_directions_narrow_what_is_written() -> None:
    narrow = ["-n", "monitoring", "--direction", "egress"]
    done = podfence(["suggest", *narrow, "--flows", FLOWS, *OPEN])
    found = [document["metadata"] for document in yaml.safe_load_all(done.out)]
    assert found == [{"name": "prometheus-from-flows", "namespace": "monitoring"}]


# -- the test file


def test_the_test_file_passes_with_the_policies_and_fails_without(tmp_path: Path) -> None:
    tests, policies = tmp_path / "shop.yaml", tmp_path / "policies"
    words = ["--out", str(policies), "--write-tests", str(tests)]
    done = podfence(["suggest", "--flows", FLOWS, *OPEN, *words])

    assert done.status == 0
    assert f"wrote 6 tests to {tests}: all pass with the policies, 5 fail without" in done.out
    assert podfence(["test", str(tests), *OPEN, "-f", str(policies)]).status == 0
    for one in policies.iterdir():
        others = [word for each in policies.iterdir() if each != one for word in ("-f", str(each))]
        assert podfence(["test", str(tests), *OPEN, *others]).status == 1, one.name
    assert podfence(["test", str(tests), *OPEN]).status == 1


def test_no_test_file_is_written_over_and_no_policy_is_printed_then(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("mine")
    words = ["--write-tests", str(tmp_path / "shop.yaml")]
    done = podfence(["suggest", "--flows", FLOWS, *OPEN, *words])
    assert (done.status, done.out) == (2, "")
    assert "File exists" in done.err
    assert (tmp_path / "shop.yaml").read_text() == "mine"


def test_where_nothing_was_seen_there_is_nothing_to_keep(tmp_path: Path) -> None:
    (tmp_path / "none.csv").write_text("source,destination,protocol,port\n")
    flows = ["--flows", str(tmp_path / "none.csv")]
    done = podfence(["suggest", *flows, *OPEN, "--write-tests", str(tmp_path / "shop.yaml")])
    assert (done.status, (tmp_path / "shop.yaml").exists()) == (2, False)


def test_json_says_what_became_of_the_test_file(tmp_path: Path) -> None:
    tests = tmp_path / "shop.yaml"
    words = ["-o", "json", "--write-tests", str(tests)]
    done = podfence(["suggest", "--flows", FLOWS, *OPEN, *words])
    data = json.loads(done.out)
    schema = json.loads((ROOT / "docs/schemas/suggest.schema.json").read_bytes())
    assert violations(data, schema, schema) == []
    assert data["tests"] == {
        "file": str(tests), "count": 6, "passed": 6, "failedWithout": 5, "unheld": [],
    }  # fmt: skip


def test_ends_without_a_common_ip_version_are_told_as_such(tmp_path: Path) -> None:
    """Both have an address."""
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
            "status": {"podIP": address, "podIPs": [{"ip": address}]},
        }
        for name, address in (("a", "10.0.0.1"), ("b", "fd00::1"))
    ]
    (tmp_path / "pods.yaml").write_text(yaml.safe_dump_all(pods))
    (tmp_path / "flows.csv").write_text("source,destination,protocol,port\nshop/a,shop/b,TCP,80\n")
    words = ["suggest", "-o", "text", "-f", "pods.yaml", "--flows", "flows.csv"]
    told = "1 connection not judged: the ends have no address of the same IP version"
    assert told in podfence(words, directory=tmp_path).out
