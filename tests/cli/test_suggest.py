"""``podfence suggest`` as a command: where policies go, what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cli.session import ROOT, podfence

FLOWS = "examples/flows/hubble.jsonl"
OPEN = ["-f", "examples/shop", "--exclude", "policies/"]


def test_what_is_suggested_can_be_read_again_and_passes_check(tmp_path: Path) -> None:
    done = podfence(["suggest", "--flows", FLOWS, *OPEN])
    assert done.status == 0
    (tmp_path / "policies.yaml").write_text(done.out)

    checked = podfence(["check", *OPEN, "-f", str(tmp_path / "policies.yaml")])
    assert (checked.status, "error" in checked.err) == (0, False)


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
