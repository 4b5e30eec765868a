"""Reach: the engine's answers for all pods of an index, kept for every check.

Rule: nothing is judged here; questions are about classes, not pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.partition import Blocks, Partitions, is_union
from podfence.engine.permitted import is_one_pod
from podfence.engine.porttable import PortTable
from podfence.policy.flow import Direction
from podfence.policy.index import DirectionPolicy, Endpoint, PolicyIndex
from podfence.questions.lint.note import WrittenObjects
from podfence.questions.phrases.matched import MatchedPods

FAMILIES = (4, 6)
_NOBODY = FrozenBitMap()
OTHER_SIDE = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}


class LintIndex(Struct, frozen=True, dict=True):
    """One index with the answers so far. ``written``: how objects were written."""

    index: PolicyIndex
    matched: MatchedPods
    written: WrittenObjects
    table: PortTable

    @classmethod
    def of(cls, index: PolicyIndex, matched: MatchedPods, written: WrittenObjects) -> LintIndex:
        """Of an index and of what is known of its pods."""
        return cls(index, matched, written, PortTable.of(index))

    @cached_property
    def holders(self) -> dict[Direction, dict[int, tuple[DirectionPolicy, FrozenBitMap]]]:
        """Of each direction every policy with the classes of pods that have it, by number."""
        found: dict[Direction, dict[int, tuple[DirectionPolicy, BitMap]]] = {}
        for direction in Direction:
            by_number = found[direction] = {}
            for number, members in enumerate(self.index.members):
                if members:
                    policy = self.index.policies[number].of(direction)
                    by_number.setdefault(policy.number, (policy, BitMap()))[1].add(number)
        return {
            direction: {n: (policy, FrozenBitMap(who)) for n, (policy, who) in each.items()}
            for direction, each in found.items()
        }

    @cached_property
    def open(self) -> dict[Direction, FrozenBitMap]:
        """Of each direction the classes of pods to which no policy applies."""
        every = {d: [who for p, who in self.holders[d].values() if not p.tiers] for d in Direction}
        return {direction: FrozenBitMap.union(_NOBODY, *who) for direction, who in every.items()}

    @cached_property
    def single(self) -> FrozenBitMap:
        """The classes of one pod."""
        members = self.index.members
        return FrozenBitMap(number for number, ends in enumerate(members) if is_one_pod(ends))

    @cached_property
    def partitions(self) -> dict[int, Partitions]:
        """The partitions of every IP version that pods speak."""
        made = {family: Partitions(self.index, family, self.table) for family in FAMILIES}
        return {family: each for family, each in made.items() if each.pods}

    @cached_property
    def _blocks(self) -> dict[tuple[int, int], Blocks]:
        return {}

    def blocks(self, policy: DirectionPolicy, family: int) -> Blocks:
        """Every remote class by what a policy permits, kept."""
        key = policy.number, family
        found = self._blocks.get(key)
        if found is None:
            found = self._blocks[key] = self.partitions[family].of(policy)
        return found

    def permits(
        self, policy: DirectionPolicy, family: int, ports: int, classes: FrozenBitMap
    ) -> bool:
        """Whether a policy permits any of the ports to or from any of the classes. ``ports``: their
        number in the table."""
        common = self.table.intersection
        for open_ports, who in self._open_ways(policy, family):
            if who.intersect(classes) and common(open_ports, ports):
                return True
        return False

    def _open_ways(
        self, policy: DirectionPolicy, family: int
    ) -> list[tuple[int, BitMap | FrozenBitMap]]:
        """Ports, and classes that may use them. Rules that add up need not be cut apart."""
        key = policy.number, family
        found = self._open.get(key)
        if found is None:
            if is_union(policy):
                rules, matches = policy.tiers[0].rules, self.partitions[family].matches
                found = [match for rule in rules for match in matches(rule)]
            else:
                found = list(self.blocks(policy, family).items())
            self._open[key] = found
        return found

    @cached_property
    def _open(self) -> dict[tuple[int, int], list[tuple[int, BitMap | FrozenBitMap]]]:
        return {}

    def members(self, classes: Iterable[int]) -> Iterator[Endpoint]:
        """The pods of classes."""
        return (end for number in classes for end in self.index.members[number])

    def names(self, classes: Iterable[int], shown: int = 3) -> str:
        """The workloads of classes, in words."""
        return self.matched.names(self.members(classes), shown)
