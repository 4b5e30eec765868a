"""A few hundred mutated manifests, the same at every run; ``bench/fuzz.py`` does many more."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from bench.fuzz import (
    Failure,
    Violation,
    check_harmless,
    exercise,
    report,
    run_cases,
    run_in_parts,
    write_failures,
)
from tests.support.mutations import case, seeds

CASES = 400
PART = 50


@pytest.mark.parametrize("start", range(0, CASES, PART))
def test_mutated_manifests_are_answered(start: int) -> None:
    tally = run_cases(range(start, start + PART), seed=0)
    assert tally.cases == PART
    assert [f"{f.number}: {f.detail}" for f in tally.failures] == []


def test_a_case_is_the_same_at_every_run() -> None:
    assert [case(seeds(), 7, n) for n in range(20)] == [case(seeds(), 7, n) for n in range(20)]


def test_mutations_reach_every_stage() -> None:
    """Some inputs are clean, some fail in reading, some in decoding, some in validation."""
    tally = run_cases(range(200), seed=0)
    assert tally.clean
    assert {"PF101", "PF107", "PF201", "PF202", "PF203", "PF207"} <= set(tally.codes)


def test_workers_find_what_one_process_finds() -> None:
    together, apart = run_cases(range(20), 3), run_in_parts(20, seed=3, jobs=1)
    assert (together.cases, together.codes) == (apart.cases, apart.codes)


def test_a_failure_is_written_down_and_counted(tmp_path: Path) -> None:
    failure = Failure(3, "traceback", "ValueError\n")
    [said] = write_failures([failure], 0, tmp_path)
    path = tmp_path / "fuzz-0-3.yaml"
    assert path.read_bytes() == case(seeds(), 0, 3)
    assert str(path) in said

    tally = run_cases([], 0)
    tally.failures.append(failure)
    assert "tracebacks                                  1" in report(tally, 1.0)


KNOWN = {
    "many equal rules": {
        "podSelector": {},
        "ingress": [{"from": [{"namespaceSelector": {}}], "ports": [{"port": 80}]}] * 300,
    },
    "many equal peers": {
        "podSelector": {},
        "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}] * 1000}],
    },
}


@pytest.mark.parametrize("name", KNOWN)
def test_found_before(name: str) -> None:
    """Inputs that once took seconds: each place in a long JSON list was looked for anew."""
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "web"},
        "spec": KNOWN[name],
    }
    start = time.process_time()
    assert exercise(json.dumps(policy).encode()) == []
    assert time.process_time() - start < 1.5


def test_what_acts_on_a_terminal_is_a_violation() -> None:
    with pytest.raises(Violation, match="unprintable"):
        check_harmless("plain\na\x1bb")
