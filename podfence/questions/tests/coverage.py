"""Rules that tests cover: those that decide some pair and port of a test.

Rule: coverage does not show that a test would notice the loss of a rule; mutation does. Tiers are
evaluated as in the engine, so a rule behind an earlier one is not covered.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.model.cluster import Cluster
from podfence.model.meta import ObjectRef
from podfence.policy.flow import Direction
from podfence.policy.index import CompiledRule, DirectionPolicy
from podfence.policy.origin import Origin
from podfence.questions.find.deciding import Walk
from podfence.questions.tests.cells import Cell, Cells, TestInWorld
from podfence.questions.tests.ends import Resolver
from podfence.questions.tests.form import PolicyTest
from podfence.questions.tests.mutants import rule_origins
from podfence.questions.tests.world import ClusterWorld
from podfence.sets import PortSet

_Key = tuple[ObjectRef, str]
"""The policy and the path of a rule."""


class Coverage(Struct, frozen=True):
    """The rules that tests look at, and the others."""

    touched: tuple[Origin, ...]
    missed: tuple[Origin, ...]

    @property
    def share(self) -> tuple[int, int]:
        """How many rules are touched, of how many."""
        return len(self.touched), len(self.touched) + len(self.missed)


class Touching:
    """Collects the rules of one cluster that tests look at."""

    def __init__(self, cluster: Cluster) -> None:
        self._every = {(each.policy, each.path): each for each in rule_origins(cluster)}
        self._left = set(self._every)

    def coverage(self) -> Coverage:
        """What came together."""
        touched = (each for key, each in self._every.items() if key not in self._left)
        missed = (each for key, each in self._every.items() if key in self._left)
        return Coverage(tuple(touched), tuple(missed))

    def look(self, test: PolicyTest, world: ClusterWorld, resolver: Resolver) -> None:
        """Add the rules of one test. ``world``: the cluster of the test."""
        if test.isolated or not self._left:
            return
        asked = TestInWorld(test, resolver, world)
        if asked.misses:  # an end that is given first
            asked = TestInWorld(test, Resolver(world), world)
        directions = (test.by,) if test.by is not None else tuple(Direction)
        for family in world.families.values():
            cells = Cells(asked, world, family)
            for cell in cells.all():
                for direction in directions:
                    self._look(cells, cell, direction)

    def _look(self, cells: Cells, cell: Cell, direction: Direction) -> None:
        atoms, family = cells.atoms, cells.family
        ports = family.table.sets[cell.ports]
        destinations, sources = atoms.bases(cell.destinations), atoms.bases(cell.sources)
        ingress = direction is Direction.INGRESS
        near, far = (destinations, sources) if ingress else (sources, destinations)
        for number in near:
            self._ask(cells, direction, number, far, ports)

    def _ask(
        self,
        cells: Cells,
        direction: Direction,
        near: int,
        far: FrozenBitMap,
        ports: PortSet,
    ) -> None:
        """Mark the rules of a class that decide over connections with others on some ports."""
        world, family = cells.world, cells.family
        if near in family.partitions.outside:  # NP-1: nobody judges that end
            return
        policy = world.index.policies[near].of(direction)
        wanted = [rule for rule in _rules(policy) if _key(rule) in self._left]
        if not wanted:
            return
        fitting = FrozenBitMap.union(
            FrozenBitMap(), *(match.peers.among(far) for rule in wanted for match in rule.matches)
        )
        if near in fitting and len(world.members[near]) == 1:
            fitting -= BitMap((near,))  # NP-54
        for remote in fitting:
            self._left -= {_key(rule) for rule in Walk(policy, remote, family.number, ports)}


def _rules(policy: DirectionPolicy) -> Iterator[CompiledRule]:
    for tier in policy.tiers:
        yield from tier.rules


def _key(rule: CompiledRule) -> _Key:
    return rule.origin.policy, rule.origin.path
