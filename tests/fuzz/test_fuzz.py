"""A few hundred mutated manifests, the same at every run; ``bench/fuzz.py`` does many more."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.fuzzing import Violation, check_harmless, exercise, run_cases
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
    """Inputs that once took seconds: each position in a long JSON list was looked for anew."""
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
