"""What test files need, as connections of workloads: evidence that a person wrote down.

Rule: a connection is needed if a test fails without it. What a test needs and no rule can say, or
what it leaves open which of several is needed, is told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct
from pyroaring import FrozenBitMap

from podfence.engine.permitted import is_one_pod
from podfence.model.cluster import Cluster
from podfence.model.entries import EntryPath
from podfence.model.meta import ObjectRef
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.questions.entrynames import entry_name
from podfence.questions.entryrows import EntryRow
from podfence.questions.phrases.outside import name_outside
from podfence.questions.suggest.evidence import ObservedConnection
from podfence.questions.suggest.resolver import EndResolver, KnownEnd
from podfence.questions.tests.cells import Cells, TestInWorld
from podfence.questions.tests.edits import prepared
from podfence.questions.tests.ends import EndPart, Resolver
from podfence.questions.tests.form import Expect, PolicyTest, PolicyTests
from podfence.questions.tests.throughentries import FindEntries, rows_of
from podfence.questions.tests.world import ClusterWorld
from podfence.sets import AddressSet, PortSet
from podfence.sets.addresses import EVERY_ADDRESS, EVERY_ADDRESS_OF
from podfence.sets.ports import OTHER

MOST_PORTS: Final = 1024
"""Ports of a test at most; a rule with more of them is meant to name none."""
_Side = tuple[ObjectRef | None, ObjectRef | None, PortSet]


class UnmetNeed(Struct, frozen=True):
    """A test that needs something of which no rule is made, and why."""

    test: PolicyTest
    because: str


class PromisedConnections(Struct, frozen=True):
    """``connections``: what tests need. ``unsaid``: what else some need."""

    connections: tuple[ObservedConnection, ...] = ()
    unsaid: tuple[UnmetNeed, ...] = ()


class NeededTests(Struct, frozen=True):
    """The tests of some files, and what finds the entries of the input that they may be about."""

    files: tuple[PolicyTests, ...]
    entries: FindEntries


def promised(
    tests: NeededTests, cluster: Cluster, names: DomainTable, known: EndResolver
) -> PromisedConnections:
    """What tests need in a cluster. ``known``: its workloads."""
    found: dict[ObservedConnection, None] = {}
    unsaid: list[UnmetNeed] = []
    for file in tests.files:
        world = ClusterWorld(compile_cluster(prepared(cluster, tests.files, file), names))
        resolver = Resolver(world)
        for test in file.tests:
            because = _beside(test)
            if because is None:
                needs = _Needs(test, resolver, world, known, tests.entries)
                found |= dict.fromkeys(needs.connections())
                because = needs.unsaid
            if because:
                unsaid.append(UnmetNeed(test, because))
    return PromisedConnections(tuple(found), tuple(unsaid))


def _beside(test: PolicyTest) -> str | None:
    """Why a test is not looked at; "" where it needs no connection, None where it may."""
    if test.skip or test.expect_failure or test.isolated or test.expect is Expect.DENY:
        return ""
    if test.given:
        return "it supposes other objects than there are (given)"
    if test.expect is Expect.SOME:
        return "one connection of several is enough, and it does not say which (expect: some)"
    return None


class _Needs:
    """The connections of one test. ``unsaid``: why some are left out, "" where none is."""

    def __init__(
        self,
        test: PolicyTest,
        resolver: Resolver,
        world: ClusterWorld,
        known: EndResolver,
        entries: FindEntries,
    ) -> None:
        self.unsaid = ""
        self._test = test
        self._resolver = resolver
        self._entries = entries
        self._world = world
        self._names = known.names
        self._members = known.members

    def connections(self) -> Iterator[ObservedConnection]:
        """All of them. An end that means nobody needs nothing."""
        outside: dict[_Side, AddressSet] = defaultdict(AddressSet)
        pairs: dict[tuple[ObjectRef, ObjectRef, PortSet], None] = {}
        for from_part, to_part, ports in self._parts():
            for near in self._refs(from_part):
                for far in self._refs(to_part):
                    if near != far or not is_one_pod(self._members[near]):
                        pairs[near, far, ports] = None
                if to_part[1]:
                    outside[near, None, ports] |= to_part[1]
            if from_part[1]:
                for far in self._refs(to_part):
                    outside[None, far, ports] |= from_part[1]
        for sender, receiver, ports in pairs:
            named = self._names[sender], self._names[receiver]
            ends = KnownEnd(named[0], sender), KnownEnd(named[1], receiver)
            yield from self._each(*ends, ports)
        for (one, two, ports), addresses in outside.items():
            for each in EVERY_ADDRESS_OF.values():
                block = addresses & each
                if not block:
                    continue
                first = next(block.networks()).network_address
                other = KnownEnd(name_outside(block), address=first, block=block)
                source, to = self._end(one) or other, self._end(two) or other
                yield from self._each(source, to, ports)

    def _parts(self) -> Iterator[tuple[EndPart, EndPart, PortSet]]:
        """What has to get through."""
        return self._through_entries() if self._test.entries else self._between_ends()

    def _through_entries(self) -> Iterator[tuple[EndPart, EndPart, PortSet]]:
        rows, misses = rows_of(self._test, self._world, self._resolver, self._entries())
        if misses:
            self.unsaid = misses[0].text
        for row in rows:
            sources = self._sources(row)
            if not any(sources):
                who = f"it is unknown who comes through {entry_name(row.entry)}"
                self.unsaid = f"{who}{f': {row.because}' if row.because else ''}"
                continue
            protocol, _, port = row.port.partition("/")
            to = self._pods(row.pods), AddressSet()
            yield sources, to, PortSet.port(protocol, int(port))

    def _sources(self, row: EntryRow) -> EndPart:
        """Who comes through an entry, whatever policies say; nobody where that is unknown."""
        if row.entry.way is EntryPath.CONTROLLER:
            return self._pods(row.senders if row.controller else ()), AddressSet()
        accepted = AddressSet.of(row.entry.ranges) if row.entry.ranges else EVERY_ADDRESS
        pods = map(self._world.endpoint, self._pods(row.pods))
        versions = {address.version for pod in pods for address in pod.addresses}
        mine = AddressSet.union(EVERY_ADDRESS_OF[each] for each in versions)
        return FrozenBitMap(), accepted & mine

    def _pods(self, names: Iterable[str]) -> FrozenBitMap:
        return FrozenBitMap(self._world.number_of[name] for name in names)

    def _between_ends(self) -> Iterator[tuple[EndPart, EndPart, PortSet]]:
        """By the atoms of each IP version."""
        asked = TestInWorld(self._test, self._resolver, self._world)
        if asked.misses:
            self.unsaid = asked.misses[0].text
        for family in self._world.families.values():
            cells = Cells(asked, self._world, family)
            for cell in cells.all():
                if cell.one:
                    self.unsaid = "it needs one port of several, and does not say which"
                if not cell.must or cell.one:
                    continue
                ports = family.table.sets[cell.ports]
                for source in cell.sources:
                    for to in cell.destinations:
                        yield cells.atoms.members(source), cells.atoms.members(to), ports

    def _refs(self, part: EndPart) -> list[ObjectRef]:
        """The workloads of today."""
        pods = [self._world.endpoint(pod).pod for pod in part[0] - self._world.newcomers]
        if len(pods) < len(part[0]):
            self.unsaid = "a pod that does not exist yet has no workload that a policy could name"
        found = {pod.owner or pod.ref for pod in pods}
        return sorted(found & self._names.keys())

    def _end(self, ref: ObjectRef | None) -> KnownEnd | None:
        return None if ref is None else KnownEnd(self._names[ref], ref)

    def _each(self, source: KnownEnd, to: KnownEnd, ports: PortSet) -> Iterator[ObservedConnection]:
        numbers = list(_numbers(ports))
        if all(protocol == OTHER for protocol, _ in numbers):
            self.unsaid = "only a rule without ports allows ICMP, and it allows all ports too"
            return
        if len(numbers) > MOST_PORTS or any(protocol == OTHER for protocol, _ in numbers):
            self.unsaid = "it needs more ports than a rule can list; name those that are needed"
            return
        for protocol, port in numbers:
            yield ObservedConnection(source, to, protocol, port, promised=True)


def _numbers(ports: PortSet) -> Iterable[tuple[str, int]]:
    """At most one more than are wanted."""
    found: list[tuple[str, int]] = []
    for protocol, low, high in ports.ranges():
        room = MOST_PORTS + 1 - len(found)
        found += [(protocol, port) for port in range(low, min(high, low + room) + 1)]
    return found
