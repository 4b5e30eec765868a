"""A full disk behind the output is no fault of podfence, and is not called one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
SHOP = Path(__file__).parents[2] / "examples/shop"


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("command", ["map", "check"])
def test_output_that_cannot_be_written(command: str) -> None:
    with FULL.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "podfence", command, "-f", str(SHOP)],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.endswith("error[PF004]: cannot write: No space left on device\n")
    assert "internal" not in done.stderr
