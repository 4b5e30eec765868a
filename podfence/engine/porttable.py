"""Numbered PortSets: set operations on small integers, each worked out once.

Rule: a number means the same set for the life of the table, 0 is nothing and 1 is everything.
"""

from __future__ import annotations

from collections.abc import Iterable

from podfence.policy.index import PolicyIndex
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING, NOTHING, PortPieces

NOTHING_ID = 0
EVERYTHING_ID = 1


class PortTable:
    """Large clusters have thousands of callers that combine the same few hundred port sets.

    ``known``: sets that will be combined. Policies name few ports, so what comes of these sets is
    told apart by a few bits (``PortPieces``). A set that is cut elsewhere has none, and is combined
    as what it is.
    """

    def __init__(self, known: Iterable[PortSet] = ()) -> None:
        self._pieces = PortPieces(known)
        self._bits: list[int | None] = []
        """Of each number the pieces of its set."""
        self.sets: dict[int, PortSet] = _Sets(self._bits, self._pieces)
        """Of each number its set."""
        self._ids: dict[PortSet, int] = {}
        self._by_bits: dict[int, int] = {}
        self._and: dict[int, dict[int, int]] = {}
        self._or: dict[tuple[int, int], int] = {}
        self._sub: dict[tuple[int, int], int] = {}
        for ports in (NOTHING, EVERYTHING):
            self.number(ports)

    @classmethod
    def of(cls, index: PolicyIndex) -> PortTable:
        """A table for the ports that the policies of an index name."""
        directions = {d.number: d for each in index.policies for d in (each.ingress, each.egress)}
        rules = (rule for d in directions.values() for tier in d.tiers for rule in tier.rules)
        return cls({match.ports for rule in rules for match in rule.matches})

    def number(self, ports: PortSet) -> int:
        """The number of a set, given on first sight."""
        found = self._ids.get(ports)
        if found is None:
            bits = self._pieces.bits(ports)
            found = self._next(bits) if bits is None else self._number_of(bits)
            self._ids[ports] = found
            self.sets[found] = ports
        return found

    def _number_of(self, bits: int) -> int:
        found = self._by_bits.get(bits)
        if found is None:
            found = self._by_bits[bits] = self._next(bits)
        return found

    def _next(self, bits: int | None) -> int:
        self._bits.append(bits)
        return len(self._bits) - 1

    def intersection(self, a: int, b: int) -> int:
        """Number of ``a & b``."""
        if a in (EVERYTHING_ID, b):
            return b
        if b == EVERYTHING_ID:
            return a
        known = self.intersections(a)
        found = known.get(b)
        if found is None:
            one, other = self._bits[a], self._bits[b]
            if one is None or other is None:
                found = self.number(self.sets[a] & self.sets[b])
            else:
                found = self._number_of(one & other)
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
            one, other = self._bits[a], self._bits[b]
            if one is None or other is None:
                found = self.number(self.sets[a] | self.sets[b])
            else:
                found = self._number_of(one | other)
            self._or[pair] = found
        return found

    def difference(self, a: int, b: int) -> int:
        """Number of ``a - b``."""
        if b == NOTHING_ID:
            return a
        found = self._sub.get((a, b))
        if found is None:
            one, other = self._bits[a], self._bits[b]
            if one is None or other is None:
                found = self.number(self.sets[a] - self.sets[b])
            else:
                found = self._number_of(one & ~other)
            self._sub[a, b] = found
        return found


class _Sets(dict[int, PortSet]):
    """The set of each number. One that is known by its bits is made when somebody asks for it."""

    def __init__(self, bits: list[int | None], pieces: PortPieces) -> None:
        super().__init__()
        self._bits = bits
        self._pieces = pieces

    def __missing__(self, number: int) -> PortSet:
        found = self[number] = self._pieces.ports(self._bits[number] or 0)
        return found
