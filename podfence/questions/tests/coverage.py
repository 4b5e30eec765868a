"""Rules that tests cover: those that decide some pair and port of a test.

Rule: coverage does not show that a test would notice the loss of a rule; mutation does. Tiers are
evaluated as in the engine, so a rule behind an earlier one is not covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.connections import port_steps
from podfence.engine.permitted import is_one_pod
from podfence.model.cluster import Cluster
from podfence.model.entries import EntryPath
from podfence.model.meta import ObjectRef
from podfence.policy.flow import Direction
from podfence.policy.index import CompiledRule, DirectionPolicy
from podfence.policy.origin import Origin
from podfence.questions.entryrows import EntryRow
from podfence.questions.tests.cells import Cell, Cells, TestInWorld
from podfence.questions.tests.ends import Resolver
from podfence.questions.tests.form import PolicyTest
from podfence.questions.tests.mutants import rule_origins
from podfence.questions.tests.world import ClusterWorld, Family
from podfence.sets import AddressSet, PortSet

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

    def look_through(self, rows: Iterable[EntryRow], world: ClusterWorld) -> None:
        """Add the rules of one test about entries. ``rows``: what comes through them."""
        for row in rows:
            protocol, _, port = row.port.partition("/")
            to = FrozenBitMap(world.class_of[world.number_of[pod]] for pod in row.pods)
            pods = FrozenBitMap(world.class_of[world.number_of[pod]] for pod in row.senders)
            ports = PortSet.port(protocol, int(port))
            for family in world.families.values():
                sources = pods
                if row.entry.way is not EntryPath.CONTROLLER:
                    sources = _accepted(row, family, world)
                for number in to & family.everyone:
                    self._ask(family, world, Direction.INGRESS, number, sources, ports)
                for number in pods & family.everyone:
                    self._ask(family, world, Direction.EGRESS, number, to, ports)
        self._left -= {(each.policy, each.path) for row in rows for each in row.by}

    def _look(self, cells: Cells, cell: Cell, direction: Direction) -> None:
        atoms, family = cells.atoms, cells.family
        ports = family.table.sets[cell.ports]
        destinations, sources = atoms.bases(cell.destinations), atoms.bases(cell.sources)
        ingress = direction is Direction.INGRESS
        near, far = (destinations, sources) if ingress else (sources, destinations)
        for number in near:
            self._ask(family, cells.world, direction, number, far, ports)

    def _ask(
        self,
        family: Family,
        world: ClusterWorld,
        direction: Direction,
        near: int,
        far: FrozenBitMap,
        ports: PortSet,
    ) -> None:
        """Mark the rules of a class that decide over connections with others on some ports."""
        if near in family.partitions.outside:  # NP-1: nobody judges that end
            return
        policy = world.index.policies[near].of(direction)
        wanted = [rule for rule in _rules(policy) if _key(rule) in self._left]
        if not wanted:
            return
        fitting = FrozenBitMap.union(
            FrozenBitMap(), *(match.peers.among(far) for rule in wanted for match in rule.matches)
        )
        if near in fitting and is_one_pod(world.members[near]):
            fitting -= BitMap((near,))
        for remote in fitting:
            for step in port_steps(policy, remote, family.number, ports):
                self._left.difference_update(map(_key, step.rules()))


def _accepted(row: EntryRow, family: Family, world: ClusterWorld) -> FrozenBitMap:
    """The classes outside whose packets an entry lets in."""
    outside = family.partitions.outside
    if not row.entry.ranges:
        return FrozenBitMap(outside)
    accepted, classes = AddressSet.of(row.entry.ranges), world.index.classes
    return FrozenBitMap(n for n in outside if (classes[n].outside or AddressSet()) & accepted)


def _rules(policy: DirectionPolicy) -> Iterator[CompiledRule]:
    for tier in policy.tiers:
        yield from tier.rules


def _key(rule: CompiledRule) -> _Key:
    return rule.origin.policy, rule.origin.path
