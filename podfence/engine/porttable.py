"""Numbered PortSets: set operations on small integers, each worked out once.

Rule: a number means the same set for the life of the table, 0 is nothing and 1 is everything.
"""

from __future__ import annotations

from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING, NOTHING

NOTHING_ID = 0
EVERYTHING_ID = 1


class PortTable:
    """Large clusters have thousands of places that combine the same few hundred port sets."""

    def __init__(self) -> None:
        self.sets: list[PortSet] = [NOTHING, EVERYTHING]
        self._ids: dict[PortSet, int] = {NOTHING: NOTHING_ID, EVERYTHING: EVERYTHING_ID}
        self._and: dict[int, dict[int, int]] = {}
        self._or: dict[tuple[int, int], int] = {}
        self._sub: dict[tuple[int, int], int] = {}

    def number(self, ports: PortSet) -> int:
        """The number of a set, given on first sight."""
        found = self._ids.get(ports)
        if found is None:
            found = self._ids[ports] = len(self.sets)
            self.sets.append(ports)
        return found

    def intersection(self, a: int, b: int) -> int:
        """Number of ``a & b``."""
        if a in (EVERYTHING_ID, b):
            return b
        if b == EVERYTHING_ID:
            return a
        known = self.intersections(a)
        found = known.get(b)
        if found is None:
            found = self.number(self.sets[a] & self.sets[b])
            known[b] = self.intersections(b)[a] = found
        return found

    def intersections(self, a: int) -> dict[int, int]:
        """Numbers of ``a & b`` by ``b``, those that ``intersection`` was asked for so far."""
        return self._and.setdefault(a, {})

    def union(self, a: int, b: int) -> int:
        """Number of ``a | b``."""
        if a in (NOTHING_ID, b):
            return b
        if b == NOTHING_ID:
            return a
        pair = (a, b) if a < b else (b, a)
        found = self._or.get(pair)
        if found is None:
            found = self._or[pair] = self.number(self.sets[a] | self.sets[b])
        return found

    def difference(self, a: int, b: int) -> int:
        """Number of ``a - b``."""
        if b == NOTHING_ID:
            return a
        found = self._sub.get((a, b))
        if found is None:
            found = self._sub[a, b] = self.number(self.sets[a] - self.sets[b])
        return found
