"""Real packets: an audit drops none, and tells of exactly those that enforcing would drop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.kernel
@pytest.mark.parametrize("rounds", [3, pytest.param(21, marks=pytest.mark.slow)])
def test_an_audit_drops_nothing_and_tells_what_enforcing_drops(rounds: int) -> None:
    """Random policies of all tiers, both directions, ports, both families; 240 connections a
    round with the audit, and as many without the annotation."""
    done = subprocess.run(
        ["unshare", "-n", "-m", sys.executable, "-m", "tests.nft.audit_packets", str(rounds)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert found["sent"] == 240 * rounds
    assert found["told"] == found["dropped"] > 40 * rounds / 3
