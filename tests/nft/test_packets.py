"""Real packets through the rules: what only a kernel with connections can show."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PASSES, STOPS = [True, True], [False, False]
"""There, and back."""
EXPECTED = {
    "open v4": PASSES,
    "open v6": PASSES,
    "revoked v4": STOPS,
    "revoked v6": STOPS,
    "allowed again v4": PASSES,
    "allowed again v6": PASSES,
    "allowed one way v4": PASSES,
    "allowed one way v6": PASSES,
    "reply under a new epoch v4": PASSES,
    "reply under a new epoch v6": PASSES,
    "other port v4": False,
    "other port v6": False,
    "other port, open v4": True,
    "other port, open v6": True,
    "other direction v4": False,
    "other direction v6": False,
    "node to pod and back v4": PASSES,
    "node to pod and back v6": PASSES,
    "pod to node v4": False,
    "pod to node v6": False,
    "pod to node, open v4": True,
    "pod to node, open v6": True,
    "stranger, no table": PASSES,
    "stranger": STOPS,
    "service": True,
    "service reply": True,
    "hairpin": True,
    "hairpin reply": True,
    "hairpin, isolated": True,
    "hairpin, Admin denies": False,
    "hairpin, Admin passes, isolated": True,
    "hairpin, Baseline denies": False,
    "own address, isolated": True,
    "own address, Admin denies": True,
    "own address, Admin passes, isolated": True,
    "own address, Baseline denies": True,
    "Admin accepts, then denies": [PASSES, STOPS],
    "Admin accepts, reply under a new epoch": [True, True],
    "Admin denies, TCP": "silence",
    "Admin silent, TCP": "refused",
    "untracked, open": PASSES,
    "untracked, isolated": STOPS,
    "pod to node by the link, isolated": [False, True, True],
    "pod to node by the link, open": [False, True, True],
    "announced by FTP, isolated": ["silence", "refused", "silence"],
    "announced by FTP, open": ["refused", "refused", "refused"],
}
EXPECTED.update(
    (f"error, {name} v{family}", [*passes, passes == PASSES])
    for family in (4, 6)
    for name, passes in {"allowed": PASSES, "kept": PASSES, "revoked": STOPS}.items()
)
LADDER = {
    "Admin denies": STOPS,
    "Admin accepts, isolated": PASSES,
    "Admin accepts, Baseline denies": PASSES,
    "Admin passes": PASSES,
    "Admin passes, isolated": STOPS,
    "Admin passes, allowed by isolation": PASSES,
    "Admin passes, Baseline denies": STOPS,
    "Baseline denies": STOPS,
    "Baseline passes": PASSES,
    "Baseline accepts": PASSES,
}
EXPECTED.update(
    (f"{name} v{family}", passes) for family in (4, 6) for name, passes in LADDER.items()
)
CLAUSES = {
    "Admin denies, TCP": "CNP-11",
    "Admin passes": "CNP-12",
    "Admin accepts": "CNP-10",
    "Admin": "CNP-1",
    "Baseline": "CNP-1",
    "hairpin, Admin denies": "CNP-27",
    "hairpin, Baseline": "CNP-27",
    "own address": "CNP-27",
    "revoked": "NP-42",
    "allowed one way": "NP-41",
    "node to pod": "NP-52",
    "pod to node": "NP-53",
    "service": "NP-45",
    "hairpin": "NP-55",
    "error": "NP-39",
    "announced": "NP-41",
}


def clause(name: str) -> str:
    """The test's name, led by the clause it shows, if it shows one."""
    found = (number for start, number in CLAUSES.items() if name.startswith(start))
    return f"{next(found, '')} {name}".strip()


@pytest.fixture(scope="module")
def seen() -> dict[str, object]:
    as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    python = [sys.executable, "-m", "tests.nft.packet_world", "in-own-namespace"]
    done = subprocess.run(
        ["unshare", *as_root, "--net", "--mount", *python],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.kernel
@pytest.mark.parametrize("name", EXPECTED, ids=clause)
def test_packets(seen: dict[str, object], name: str) -> None:
    assert seen[name] == EXPECTED[name]


@pytest.mark.kernel
def test_everything_seen_was_expected(seen: dict[str, object]) -> None:
    assert seen.keys() == EXPECTED.keys()
