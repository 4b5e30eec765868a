"""A test as cells: these sources, this destination, these ports, and whether they must get through.

Rule: everything that a test can ask is a list of cells; the judge, coverage and the lab read the
same list. Sources and destinations are atoms, ports are numbers of the family's table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.porttable import EVERYTHING_ID, NOTHING_ID
from podfence.questions.plan.newcomers import NAME
from podfence.questions.tests.atoms import Atoms
from podfence.questions.tests.ends import (
    MISSPELT,
    NO_PORT,
    NOBODY,
    EndPart,
    ResolvedEnd,
    ResolvedTarget,
    Resolver,
    UnmatchedEnd,
    union,
)
from podfence.questions.tests.form import Expect, PolicyTest, PortSpec
from podfence.questions.tests.world import ClusterWorld, Family
from podfence.sets import PortSet


class Cell(Struct, frozen=True):
    """``must``: every source has to reach every destination on all ports, or with ``one`` on one of
    them; otherwise none on any. ``aim``: the number of the test's end to which the destinations
    belong."""

    sources: BitMap | FrozenBitMap
    destinations: BitMap | FrozenBitMap
    ports: int
    must: bool
    one: bool = False
    aim: int = 0


class _AimEntry(Struct, frozen=True):
    aims: tuple[ResolvedTarget, ...]
    optional: bool


class _Exception(Struct, frozen=True):
    sources: ResolvedEnd | None
    aims: tuple[ResolvedTarget, ...] | None
    ports: PortSpec


class TestInWorld:
    """One test, with its ends looked up in a world. ``misses``: why it may match nothing."""

    def __init__(self, test: PolicyTest, resolver: Resolver, world: ClusterWorld) -> None:
        self.test = test
        everybody = resolver.everybody()
        real = ResolvedEnd.of_pods(world.real)
        self.sources = self.aims = None
        if test.sources is not None:
            self.sources = resolver.sources(test.sources)
        elif test.group_by:
            self.sources = real
        if test.targets is not None:
            self.aims = resolver.aims(test.targets, test.ports)
        elif test.group_by:
            self.aims = (ResolvedTarget(real, test.ports),)
        self.everybody = everybody if test.only is not None else None
        self.entries = tuple(
            _AimEntry(
                resolver.aims(each.targets, each.ports),
                each.optional,
            )
            for each in test.only or ()
        )
        self.unless = tuple(
            _Exception(
                None if each.sources is None else resolver.sources(each.sources),
                None if each.targets is None else resolver.aims(each.targets, each.ports),
                each.ports,
            )
            for each in test.unless
        )
        self.groups = _groups(world, test.group_by) if test.group_by else None
        self.misses = tuple(self._missing(world))

    def sharing(self, world: ClusterWorld) -> str:
        """Why pods of its ends are in no pair: other pods have their addresses, too, and whose they
        are is not known (NP-60a). Nothing where there is none."""
        founds = [self.sources, *(aim.found for aim in self.aims or ())]
        pods = BitMap.union(BitMap(), *(found.pods for found in founds if found is not None))
        ends = [(world.pods[pod], world.endpoint(pod)) for pod in pods]
        names = [name for name, end in ends if end.doubtful and not end.addresses]
        if not names:
            return ""
        listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return f"no address of {listed} is surely its own: other pods have the same (NP-60a)"

    def _missing(self, world: ClusterWorld) -> Iterator[UnmatchedEnd]:
        """Ends that match nothing. An optional entry and an exception may."""
        if self.groups is not None and len(self.groups) < 2:
            label = self.test.group_by
            spaces = ", ".join(sorted(world.index.cluster.namespaces.keys() - {NAME}))
            value = next((value for value, _ in self.groups), None)
            all_of = "no namespace has the label" if value is None else "all have the same value of"
            yield UnmatchedEnd(NOBODY, f"{all_of} {label} (namespaces: {spaces})")
        founds = [] if self.sources is None else [self.sources]
        founds += [aim.found for aim in self.aims or ()]
        founds += [aim.found for entry in self.entries if not entry.optional for aim in entry.aims]
        for found in founds:
            yield from found.misses
        for entry in self.entries:
            for miss in (m for aim in entry.aims if entry.optional for m in aim.found.misses):
                if miss.is_near:
                    yield UnmatchedEnd(MISSPELT, miss.text)
        aims = [
            *(self.aims or ()),
            *(aim for e in self.entries if not e.optional for aim in e.aims),
        ]
        for aim in aims:
            yield from _undeclared(world, aim, self._destinations(world, aim))

    def _destinations(self, world: ClusterWorld, aim: ResolvedTarget) -> ResolvedEnd:
        """Where the ports of an aim are: an entry that is a source has the test's destinations."""
        of_test = self.aims is not None and not any(aim is each for each in self.aims)
        if of_test and self.test.only is not None:
            return union(each.found for each in self.aims or ())
        return aim.found

    def looks_at(self, pods: FrozenBitMap, *, outside: bool) -> bool:
        """Whether some of these pods, or ``outside`` addresses, are destinations of the test."""
        if self.aims is None:
            return True
        return any(
            aim.found.pods.intersect(pods) or (outside and bool(aim.found.addresses))
            for aim in self.aims
        )

    def ends(self, family: int) -> list[EndPart]:
        """Every end that cuts classes, in one IP version."""
        found = [self.sources, self.everybody]
        found += [aim.found for aim in self.aims or ()]
        for entry in self.entries:
            for aim in entry.aims:
                found += [aim.found, aim.found.everybody]
        for each in self.unless:
            found += [each.sources, *(aim.found for aim in each.aims or ())]
        if self.groups is not None:
            found += [ResolvedEnd.of_pods(pods) for _, pods in self.groups]
        return [each.part(family) for each in found if each is not None]


def _undeclared(
    world: ClusterWorld, aim: ResolvedTarget, where: ResolvedEnd
) -> Iterator[UnmatchedEnd]:
    """Port names that no destination declares."""
    if not aim.ports.names or where.is_nobody:
        return
    declared = {
        (port.name, port.protocol.value)
        for pod in where.pods
        for port in world.endpoint(pod).pod.ports
        if port.name
    }
    for name in aim.ports.names:
        if (name.name, name.protocol) not in declared:
            known = ", ".join(sorted(f"{n}/{p.lower()}" if p != "TCP" else n for n, p in declared))
            text = f"no destination declares the {name.protocol} port {name.name}"
            yield UnmatchedEnd(NO_PORT, f"{text}; there are {known or 'none'}")


def _groups(world: ClusterWorld, label: str) -> list[tuple[str | None, FrozenBitMap]]:
    """Existing pods by the value that their namespace has for a label."""
    found: dict[str | None, BitMap] = {}
    spaces = world.index.cluster.namespaces
    values = {name: dict(each.labels).get(label) for name, each in spaces.items()}
    for pod in world.real:
        value = values.get(world.pods[pod].partition("/")[0])
        found.setdefault(value, BitMap()).add(pod)
    return [(value, FrozenBitMap(pods)) for value, pods in found.items()]


class Cells:
    """The cells of a test in one world and one IP version."""

    def __init__(self, asked: TestInWorld, world: ClusterWorld, family: Family) -> None:
        self.asked = asked
        self.world = world
        self.family = family
        self.atoms = Atoms(world, asked.ends(family.number))
        self._groups = [self._of(ResolvedEnd.of_pods(pods)) for _, pods in asked.groups or ()]

    def _of(self, found: ResolvedEnd) -> FrozenBitMap:
        return self.atoms.of(found.part(self.family.number))

    def all(self) -> Iterator[Cell]:
        """Every cell; of a destination, the first ones are shown first."""
        speaking = self.atoms.lift(self.family.everyone)
        pods = self.atoms.lift(self.family.partitions.pods)
        for cell in self._only() if self.asked.test.only is not None else self._pairs():
            sources, destinations = cell.sources & speaking, cell.destinations & speaking
            # Nobody judges what outside addresses send one another.
            inside, outside = (sources, destinations & pods), (sources & pods, destinations - pods)
            for near, far in (inside, outside):
                if near and far and cell.ports != NOTHING_ID:
                    yield replace(cell, sources=near, destinations=far)

    def destinations(self) -> FrozenBitMap:
        """The classes of every destination."""
        asked = self.asked
        if asked.aims is not None:
            every = FrozenBitMap.union(FrozenBitMap(), *(self._of(a.found) for a in asked.aims))
            return self.atoms.bases(every)
        assert asked.everybody is not None
        return self.atoms.bases(self._of(asked.everybody))

    # -- pairs

    def _pairs(self) -> Iterator[Cell]:
        asked = self.asked
        assert asked.sources is not None
        assert asked.aims is not None
        must = asked.test.expect is not Expect.DENY
        sources = self._of(asked.sources)
        for number, aim in enumerate(asked.aims):
            for where, ports in self._by_ports(self._of(aim.found), [aim.ports, *self._excepted]):
                parts: _Parts = [(sources, where, ports[0])]
                for members in self._groups:
                    parts = _less(self.family, parts, members, members, ports[0])
                for part in self._left(parts, ports[1:]):
                    yield Cell(*part, must, aim=number)

    @property
    def _excepted(self) -> Iterator[PortSpec]:
        """The ports of the exceptions, in the order of ``_left``."""
        for each in self.asked.unless:
            yield from [each.ports] if each.aims is None else [aim.ports for aim in each.aims]

    def _left(self, parts: _Parts, ports: Sequence[int]) -> _Parts:
        """What the exceptions leave to be looked at."""
        numbers = iter(ports)
        for each in self.asked.unless:
            who = None if each.sources is None else self._of(each.sources)
            for found in [None] if each.aims is None else [aim.found for aim in each.aims]:
                where = None if found is None else self._of(found)
                parts = _less(self.family, parts, who, where, next(numbers))
        return parts

    # -- only

    @cached_property
    def _entries(self) -> list[tuple[FrozenBitMap, FrozenBitMap]]:
        """The ends of each entry that must be allowed, and those that may be."""
        return [
            (
                FrozenBitMap() if entry.optional else self._of(aim.found),
                self._of(aim.found.everybody),
            )
            for entry in self.asked.entries
            for aim in entry.aims
        ]

    def _only(self) -> Iterator[Cell]:
        asked = self.asked
        assert asked.everybody is not None
        everybody = self._of(asked.everybody)
        of_entries = [aim.ports for entry in asked.entries for aim in entry.aims]
        if asked.aims is not None:
            for number, aim in enumerate(asked.aims):
                for where, ports in self._by_ports(self._of(aim.found), [aim.ports, *of_entries]):
                    yield from self._only_from(number, everybody, where, ports)
            return
        assert asked.sources is not None
        sources = self._of(asked.sources)
        named = everybody.union(*(required for required, _ in self._entries))
        for where, ports in self._by_ports(named, [asked.test.ports, *of_entries]):
            yield from self._only_to(sources, where, everybody, ports)

    def _only_from(
        self, aim: int, everybody: FrozenBitMap, where: FrozenBitMap, ports: Sequence[int]
    ) -> Iterator[Cell]:
        parts: _Parts = [(everybody, where, ports[0])]
        for (required, covered), each in self._scoped(ports):
            if required:
                yield Cell(required, where, each, must=True, one=each == EVERYTHING_ID, aim=aim)
            parts = _less(self.family, parts, covered, None, each)
        for part in parts:
            yield Cell(*part, must=False, aim=aim)

    def _only_to(
        self,
        sources: FrozenBitMap,
        where: FrozenBitMap,
        everybody: FrozenBitMap,
        ports: Sequence[int],
    ) -> Iterator[Cell]:
        parts: _Parts = [(sources, where, ports[0])]
        for (required, covered), each in self._scoped(ports):
            if must := required & where:
                yield Cell(sources, must, each, must=True, one=each == EVERYTHING_ID)
            parts = _less(self.family, parts, None, covered, each)
        for who, left, number in parts:
            # Of pods to come that an entry describes, others of its words are not asked.
            yield Cell(who, left & everybody, number, must=False)

    def _scoped(
        self, ports: Sequence[int]
    ) -> Iterator[tuple[tuple[FrozenBitMap, FrozenBitMap], int]]:
        """The entries, each with its ports among those of the test, which come first. All ports, if
        none is named, need only one of them."""
        for entry, each in zip(self._entries, ports[1:], strict=True):
            yield entry, self.family.table.intersection(each, ports[0])

    # -- ports

    def _by_ports(
        self, destinations: FrozenBitMap, asked: Sequence[PortSpec]
    ) -> Iterable[tuple[FrozenBitMap, Sequence[int]]]:
        """Destinations for which all of these ports mean the same, and the ports' numbers."""
        table = self.family.table
        if not any(ports.names for ports in asked):
            return [(destinations, [table.number(ports.numbers) for ports in asked])]
        found: dict[tuple[int, ...], BitMap] = {}
        for destination in destinations:
            base = self.atoms.base(destination)
            numbers = tuple(table.number(self._resolved(ports, base)) for ports in asked)
            found.setdefault(numbers, BitMap()).add(destination)
        return [(FrozenBitMap(where), numbers) for numbers, where in found.items()]

    def _resolved(self, ports: PortSpec, number: int) -> PortSet:
        found = ports.numbers
        for name in ports.names:
            for port in self.world.index.classes[number].named_ports:
                if (port.name, port.protocol.value) == (name.name, name.protocol):
                    found |= PortSet.port(name.protocol, port.port)
        return found


_Parts = list[tuple[BitMap | FrozenBitMap, BitMap | FrozenBitMap, int]]
"""Sources, destinations, ports."""


def _less(
    family: Family,
    parts: _Parts,
    who: FrozenBitMap | None,
    where: FrozenBitMap | None,
    ports: int,
) -> _Parts:
    """Without these ports from some sources to some destinations. None: all of them."""
    cut: _Parts = []
    for sources, destinations, number in parts:
        near = sources if who is None else sources & who
        far = destinations if where is None else destinations & where
        if not near or not far:
            cut.append((sources, destinations, number))
            continue
        if rest := destinations - far:
            cut.append((sources, rest, number))
        left = family.table.difference(number, ports)
        if left != NOTHING_ID:
            cut.append((near, far, left))
        if rest := sources - near:
            cut.append((rest, far, number))
    return cut
