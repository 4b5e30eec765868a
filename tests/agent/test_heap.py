"""Memory that was freed goes back to the node, also where blocks that stay lie in between."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from podfence.agent import process

HOLES = """
from bench.memory import resident
from podfence.agent.process import give_back
blocks = [bytes(2_000) for _ in range(20_000)]
full = resident()
kept = blocks[::50]
del blocks
freed = resident()
give_back()
print(full, freed, resident(), len(kept))
"""
"""40 MB of blocks, of which each fiftieth stays: nothing is free at the end of the heap."""


@pytest.mark.skipif(process._trim is None, reason="this C library has no malloc_trim")
def test_holes_between_blocks_that_stay_are_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", HOLES], check=True, capture_output=True, text=True)
    full, freed, after, kept = map(int, done.stdout.split())
    assert kept == 400
    assert full - freed < 10e6
    assert full - after > 30e6


def test_a_library_without_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_trim", None)
    process.give_back()


def test_it_is_done_again_and_again_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped, times = threading.Event(), list[float]()

    def given() -> None:
        times.append(time.monotonic())
        if len(times) == 3:
            stopped.set()

    monkeypatch.setattr(process, "HEAP_PAUSE", 0.01)
    monkeypatch.setattr(process, "give_back", given)
    process.keep_giving_back(stopped)
    assert len(times) == 3
