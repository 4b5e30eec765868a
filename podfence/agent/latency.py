"""How long things took: a histogram that one thread fills.

Rule: counts never go back, so a reader that comes now and then sees what happened in between.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

from msgspec import Struct

BOUNDS = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Seconds: the upper end of each step; the last step has none."""


class Latency(Struct, frozen=True):
    """``counts``: one for each step of ``bounds``, and one for what took longer. ``seconds``: the
    sum."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    seconds: float = 0.0
    bounds: tuple[float, ...] = BOUNDS

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self.counts)


class Latencies:
    """A histogram by name."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def add(self, name: str, seconds: float) -> None:
        """One more."""
        if name not in self._counts:
            self._counts[name] = [0] * (len(BOUNDS) + 1)
            self._seconds[name] = 0.0
        self._counts[name][bisect_left(BOUNDS, seconds)] += 1
        self._seconds[name] += seconds

    def now(self) -> Mapping[str, Latency]:
        """All of them, as values."""
        return {
            name: Latency(tuple(counts), self._seconds[name])
            for name, counts in self._counts.items()
        }
