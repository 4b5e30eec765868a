"""A test as cells: these sources, this destination, these ports, and whether they must get through.

Rule: everything that a test can ask is a list of cells; the judge, coverage and the lab read the
same list. Sources and destinations are atoms, ports are numbers of the family's table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.porttable import EVERYTHING_ID, NOTHING_ID
from podfence.questions.plan.newcomers import NAME
from podfence.questions.tests.atoms import Atoms
from podfence.questions.tests.ends import (
    MISSPELT,
    NO_PORT,
    NOBODY,
    Aim,
    Miss,
    Part,
    ResolvedEnd,
    Resolver,
    union,
)
from podfence.questions.tests.form import Expect, PolicyTest, PortSpec
from podfence.questions.tests.world import Family, World
from podfence.sets import PortSet


class Cell(Struct, frozen=True):
    """``must``: every source has to reach the destination on all ports, or with ``one`` on one of
    them; else none on any."""

    sources: BitMap | FrozenBitMap
    destination: int
    ports: int
    must: bool
    one: bool = False


class _Entry(Struct, frozen=True):
    aims: tuple[Aim, ...]
    optional: bool


class _Exception(Struct, frozen=True):
    sources: ResolvedEnd | None
    aims: tuple[Aim, ...] | None
    ports: PortSpec


class TestInWorld:
    """One test, its ends looked up in a world. ``misses``: why it may look at nobody."""

    def __init__(self, test: PolicyTest, resolver: Resolver, world: World) -> None:
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
            self.aims = (Aim(real, test.ports),)
        self.everybody = everybody if test.only is not None else None
        self.entries = tuple(
            _Entry(
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

    def sharing(self, world: World) -> str:
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

    def _missing(self, world: World) -> Iterator[Miss]:
        """Ends that mean nobody. An optional entry and an exception may."""
        if self.groups is not None and len(self.groups) < 2:
            label = self.test.group_by
            spaces = ", ".join(sorted(world.index.cluster.namespaces.keys() - {NAME}))
            value = next((value for value, _ in self.groups), None)
            all_of = "no namespace has the label" if value is None else "all have the same value of"
            yield Miss(NOBODY, f"{all_of} {label} (namespaces: {spaces})")
        founds = [] if self.sources is None else [self.sources]
        founds += [aim.found for aim in self.aims or ()]
        founds += [aim.found for entry in self.entries if not entry.optional for aim in entry.aims]
        for found in founds:
            yield from found.misses
        for entry in self.entries:
            for miss in (m for aim in entry.aims if entry.optional for m in aim.found.misses):
                if miss.is_near:
                    yield Miss(MISSPELT, miss.text)
        aims = [
            *(self.aims or ()),
            *(aim for e in self.entries if not e.optional for aim in e.aims),
        ]
        for aim in aims:
            yield from _undeclared(world, aim, self._destinations(world, aim))

    def _destinations(self, world: World, aim: Aim) -> ResolvedEnd:
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

    def ends(self, family: int) -> list[Part]:
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


def _undeclared(world: World, aim: Aim, where: ResolvedEnd) -> Iterator[Miss]:
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
            yield Miss(NO_PORT, f"{text}; there are {known or 'none'}")


def _groups(world: World, label: str) -> list[tuple[str | None, FrozenBitMap]]:
    """The pods of today by the value that their namespace has for a label."""
    found: dict[str | None, BitMap] = {}
    spaces = world.index.cluster.namespaces
    values = {name: dict(each.labels).get(label) for name, each in spaces.items()}
    for pod in world.real:
        value = values.get(world.pods[pod].partition("/")[0])
        found.setdefault(value, BitMap()).add(pod)
    return [(value, FrozenBitMap(pods)) for value, pods in found.items()]


class Cells:
    """The cells of a test in one world and one IP version."""

    def __init__(self, asked: TestInWorld, world: World, family: Family) -> None:
        self.asked = asked
        self.world = world
        self.family = family
        self.atoms = Atoms(world, asked.ends(family.number))
        self._group_of = {
            atom: members
            for _, pods in asked.groups or ()
            for members in (self._of(ResolvedEnd.of_pods(pods)),)
            for atom in members
        }
        self._numbers: dict[tuple[PortSpec, int], int] = {}

    def _of(self, found: ResolvedEnd) -> FrozenBitMap:
        return self.atoms.of(found.part(self.family.number))

    def all(self) -> Iterator[Cell]:
        """Every cell."""
        family = self.family
        speaking = self.atoms.lift(family.everyone)
        found = self._only() if self.asked.test.only is not None else self._pairs()
        pods = self.atoms.lift(family.partitions.pods)
        for cell in found:
            sources = cell.sources & speaking
            if self.atoms.base(cell.destination) in family.partitions.outside:
                sources &= pods  # nobody judges what outside addresses send one another
            if sources and cell.ports != NOTHING_ID and cell.destination in speaking:
                yield Cell(sources, cell.destination, cell.ports, cell.must, cell.one)

    def destinations(self) -> FrozenBitMap:
        """The classes of every destination."""
        asked = self.asked
        if asked.aims is not None:
            return self.atoms.bases(n for aim in asked.aims for n in self._of(aim.found))
        assert asked.everybody is not None
        return self.atoms.bases(self._of(asked.everybody))

    # -- pairs

    def _pairs(self) -> Iterator[Cell]:
        asked = self.asked
        assert asked.sources is not None
        assert asked.aims is not None
        must = asked.test.expect is not Expect.DENY
        sources = self._of(asked.sources)
        for aim in asked.aims:
            for destination in self._of(aim.found):
                ports = self._ports(aim.ports, destination)
                senders = sources - self._group_of.get(destination, FrozenBitMap())
                for who, left in self._left(destination, senders, ports):
                    yield Cell(who, destination, left, must)

    def _left(
        self, destination: int, sources: FrozenBitMap, ports: int
    ) -> Iterable[tuple[BitMap | FrozenBitMap, int]]:
        """What the exceptions leave to be looked at."""
        parts: list[tuple[BitMap | FrozenBitMap, int]] = [(sources, ports)]
        for each in self.asked.unless:
            aims = each.aims
            if aims is None:
                numbers = [self._ports(each.ports, destination)]
            else:
                numbers = [
                    self._ports(aim.ports, destination)
                    for aim in aims
                    if destination in self._of(aim.found)
                ]
            who = sources if each.sources is None else self._of(each.sources)
            for number in numbers:
                parts = _less(self.family, parts, who, number)
        return parts

    # -- only

    @cached_property
    def _entries(self) -> list[tuple[FrozenBitMap, FrozenBitMap, PortSpec]]:
        """The ends of each entry that have to be allowed, those that may be, and their ports."""
        return [
            (
                FrozenBitMap() if entry.optional else self._of(aim.found),
                self._of(aim.found.everybody),
                aim.ports,
            )
            for entry in self.asked.entries
            for aim in entry.aims
        ]

    def _only(self) -> Iterator[Cell]:
        asked = self.asked
        assert asked.everybody is not None
        everybody = self._of(asked.everybody)
        if asked.aims is not None:
            for aim in asked.aims:
                for destination in self._of(aim.found):
                    yield from self._only_from(aim, destination, everybody)
        else:
            assert asked.sources is not None
            sources = self._of(asked.sources)
            named = everybody.union(*(required for required, _, _ in self._entries))
            for destination in named:
                yield from self._only_to(sources, destination, is_new=destination not in everybody)

    def _only_from(self, aim: Aim, destination: int, everybody: FrozenBitMap) -> Iterator[Cell]:
        scope = self._ports(aim.ports, destination)
        parts: list[tuple[BitMap | FrozenBitMap, int]] = [(everybody, scope)]
        for required, covered, asked in self._entries:
            ports = self.family.table.intersection(self._ports(asked, destination), scope)
            if required:
                one = ports == EVERYTHING_ID  # nobody named a port
                yield Cell(required, destination, ports, must=True, one=one)
            parts = _less(self.family, parts, covered, ports)
        for who, ports in parts:
            yield Cell(who, destination, ports, must=False)

    def _only_to(self, sources: FrozenBitMap, destination: int, *, is_new: bool) -> Iterator[Cell]:
        """``is_new``: a pod to come that an entry describes: others of its words are not asked."""
        left = self._ports(self.asked.test.ports, destination)
        scope = left
        for required, covered, asked in self._entries:
            if destination not in covered:
                continue
            ports = self.family.table.intersection(self._ports(asked, destination), scope)
            if destination in required:
                one = ports == EVERYTHING_ID
                yield Cell(sources, destination, ports, must=True, one=one)
            left = self.family.table.difference(left, ports)
        if not is_new:
            yield Cell(sources, destination, left, must=False)

    # -- ports

    def _ports(self, ports: PortSpec, destination: int) -> int:
        """The number of the ports of a destination."""
        base = self.atoms.base(destination)
        key = ports, base if ports.names else -1
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self.family.table.number(self._resolved(ports, base))
        return number

    def _resolved(self, ports: PortSpec, number: int) -> PortSet:
        found = ports.numbers
        for name in ports.names:
            for port in self.world.index.classes[number].named_ports:
                if (port.name, port.protocol.value) == (name.name, name.protocol):
                    found |= PortSet.port(name.protocol, port.port)
        return found


def _less(
    family: Family,
    parts: Sequence[tuple[BitMap | FrozenBitMap, int]],
    who: BitMap | FrozenBitMap,
    ports: int,
) -> list[tuple[BitMap | FrozenBitMap, int]]:
    """Without these ports for these sources."""
    cut: list[tuple[BitMap | FrozenBitMap, int]] = []
    for members, number in parts:
        inside = members & who
        if not inside:
            cut.append((members, number))
            continue
        left = family.table.difference(number, ports)
        if left != NOTHING_ID:
            cut.append((inside, left))
        if rest := members - who:
            cut.append((rest, number))
    return cut
