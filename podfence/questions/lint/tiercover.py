"""Remote ends and ports that the rules of a tier leave to later rules, as sets.

Rule: exact for the endpoints that there are now. Remote ends are classes of one IP family; a class
without an address of the family, and outside addresses that pods hold all of, do not count. The
ports are cut at every number at which a rule begins or ends, so that each part is in a rule or not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from pyroaring import FrozenBitMap

from podfence.policy.index import CompiledRule, Match, PolicyIndex
from podfence.sets import IntervalSet, PortSet
from podfence.sets.ports import EVERYTHING

FAMILIES = (4, 6)
Present = Mapping[int, FrozenBitMap]
"""IP family -> the classes that have an address of it."""
CoveredRegion = dict[tuple[int, int], FrozenBitMap]
"""(IP family, number of a part of the ports) -> classes, never none."""


def present(index: PolicyIndex) -> Present:
    """The remote ends that a flow can have."""
    found: dict[int, list[int]] = {family: [] for family in FAMILIES}
    for endpoint_class in index.classes:
        outside = endpoint_class.outside
        members = index.members[endpoint_class.number]
        for family, classes in found.items():
            if outside is not None:
                inhabited = bool(outside.family(family))
            else:
                inhabited = any(a.version == family for m in members for a in m.addresses)
            if inhabited:
                classes.append(endpoint_class.number)
    return {family: FrozenBitMap(classes) for family, classes in found.items()}


class PortParts:
    """The ports, cut so that a rule contains all of a part or none of it."""

    def __init__(self, rules: Iterable[CompiledRule]) -> None:
        lines = {match.ports.line for rule in rules for match in rule.matches}
        cuts = {at for line in lines for low, high in line for at in (low, high + 1)}
        [(first, last)] = EVERYTHING.line
        self._starts = sorted({first, *cuts} - {last + 1})
        self._last = last
        self._known: dict[PortSet, tuple[int, ...]] = {}

    def of(self, ports: PortSet) -> tuple[int, ...]:
        """The parts in ``ports``, which must be the ports of one of the rules, or all ports."""
        found = self._known.get(ports)
        if found is None:
            found = self._known[ports] = tuple(
                part
                for low, high in ports.line
                for part in range(bisect_left(self._starts, low), self._end(high))
            )
        return found

    def ports(self, parts: Iterable[int]) -> PortSet:
        """The union of parts."""
        ends = [*(start - 1 for start in self._starts[1:]), self._last]
        return PortSet(IntervalSet.of(*((self._starts[part], ends[part]) for part in parts)))

    def _end(self, high: int) -> int:
        return bisect_left(self._starts, high + 1)


class Space:
    """A set of (family, class, port) from which rules take what they match."""

    def __init__(self, remote: Present, parts: PortParts) -> None:
        self._remote = remote
        self._parts = parts
        self._left: CoveredRegion = {}

    def copy(self) -> Space:
        """The same set, to take from independently."""
        found = Space(self._remote, self._parts)
        found._left = dict(self._left)
        return found

    def take(self, rule: CompiledRule) -> CoveredRegion:
        """Remove what a rule matches; returns what was removed."""
        found: CoveredRegion = {}
        for match in rule.matches:
            merge(found, self.take_match(match))
        return found

    def take_match(self, match: Match) -> CoveredRegion:
        """The same for one alternative of a rule."""
        found: CoveredRegion = {}
        for family in FAMILIES:
            if match.peers.family not in (None, family):
                continue
            whole = self._remote[family]
            wanted = match.peers.among(whole)
            for part in self._parts.of(match.ports) if wanted else ():
                left = self._left.get((family, part), whole)
                if hit := left & wanted:
                    found[family, part] = hit
                    self._left[family, part] = left - hit
        return found


def merge(into: CoveredRegion, other: CoveredRegion) -> None:
    """Add a region to another."""
    for cell, classes in other.items():
        into[cell] = into[cell] | classes if cell in into else classes


def shared(one: CoveredRegion, other: CoveredRegion) -> list[int]:
    """Parts of the ports on which two regions have an end in common."""
    small, large = sorted((one, other), key=len)
    return [cell[1] for cell, found in small.items() if found & large.get(cell, FrozenBitMap())]


def subtract(region: CoveredRegion, other: CoveredRegion) -> bool:
    """Take ``other`` out of ``region``; whether anything was there."""
    changed = False
    for cell, classes in other.items():
        found = region.get(cell)
        if found is None or not found & classes:
            continue
        changed = True
        if rest := found - classes:
            region[cell] = rest
        else:
            del region[cell]
    return changed
