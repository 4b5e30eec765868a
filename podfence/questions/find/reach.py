"""Who of some ends reaches which others, on which ports, and by which rules.

Rule: exact. A row holds for each of its sources and each of its destinations; a pod and itself, and
a node and its own pods, are no rows (NP-54, NP-52). Ends are cut where they are, never rounded to
classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from msgspec import Struct

from podfence.engine.permitted import is_one_pod
from podfence.engine.porttable import NOTHING_ID
from podfence.errors import QuestionError, Source, UnknownObject
from podfence.model.selectors import LabelSelector
from podfence.policy.flow import Direction
from podfence.questions.find.deciding import FREE, DecidingRules, Via, deciding
from podfence.questions.phrases.outside import name_outside
from podfence.questions.phrases.words import some as some_of
from podfence.questions.tests.cells import Cells, TestInWorld
from podfence.questions.tests.ends import EndPart, Resolver
from podfence.questions.tests.form import (
    ALL_PORTS,
    AddressEnd,
    Expect,
    NewcomerEnd,
    PolicyTest,
    PortSpec,
    SelectedEnd,
    TargetEnd,
    UnionEnd,
)
from podfence.questions.tests.words import INTERNET
from podfence.questions.tests.world import ClusterWorld, Family
from podfence.sets import AddressSet, PortSet
from podfence.sets.addresses import EVERY_ADDRESS

OUTSIDE = AddressEnd("outside", EVERY_ADDRESS, is_outside=True)


_PODS = SelectedEnd("*", None, LabelSelector(), LabelSelector())


def everybody(world: ClusterWorld) -> UnionEnd:
    """Every pod, every address outside, every node, and the pods to come without labels."""
    nodes = AddressEnd("node/*", AddressSet.of(list(world.index.by_node_address)))
    return UnionEnd("*", (_PODS, OUTSIDE, nodes, NewcomerEnd("*/+", None)))


class RowEnd(Struct, frozen=True):
    """The sources or the destinations of a row: pods (``namespace/name``), or outside addresses,
    including those that a pod has. ``names``: of workloads, or of the addresses. ``coming``: pods
    to come."""

    names: tuple[str, ...]
    pods: tuple[str, ...] = ()
    addresses: AddressSet = AddressSet()
    coming: bool = False


class ReachRow(Struct, frozen=True):
    """All of ``sources`` reach all of ``destinations`` on ``ports``. ``family``: 4 or 6 where it
    holds only over that IP version. ``by``: the rules that allow it at the end that was asked
    about; ``via``: at both ends, () where that was not asked for."""

    sources: RowEnd
    destinations: RowEnd
    ports: PortSet
    family: int | None
    by: DecidingRules
    via: Via = ()

    @property
    def is_to_come(self) -> bool:
        """Whether an end does not exist yet."""
        return self.sources.coming or self.destinations.coming


class Rest(Struct, frozen=True):
    """The ends without any connection: numbers of workloads and of pods to come, and these outside
    addresses. ``whole``: whether these are all that were asked for."""

    workloads: int
    coming: int
    outside: AddressSet = AddressSet()
    whole: bool = False


class ReachTable(Struct, frozen=True):
    """The rows of a question, existing pods first. ``rest``: of the end that was not named."""

    rows: tuple[ReachRow, ...]
    rest: Rest

    @property
    def today(self) -> tuple[ReachRow, ...]:
        """Without pods to come."""
        return tuple(row for row in self.rows if not row.is_to_come)


def reach(
    world: ClusterWorld,
    sources: Sequence[TargetEnd],
    targets: Sequence[TargetEnd],
    near: Direction,
    ports: PortSpec = ALL_PORTS,
    *,
    via: bool = False,
) -> ReachTable:
    """Every connection from ``sources`` to ``targets``. ``near`` INGRESS: the destinations were
    asked about, so the answer names their rules; EGRESS: those of the sources. ``via``: it names
    the rules of both ends, and a row then holds what the same rules of both allow.

    Raises UnknownObject for an end that matches nothing.
    """
    return _Reaching(world, sources, targets, near, ports, via=via).answer()


_IN = Direction.INGRESS
_ON_THE_WAY = (Direction.EGRESS, Direction.INGRESS)
_Key = tuple[EndPart, EndPart, PortSet]
"""Source, destination, ports."""
_Said = tuple[DecidingRules, Via]
"""What lets something through at the end that was asked about, and at both."""
_Joint = tuple[PortSet, int | None, _Said, tuple[bool, bool], tuple[EndPart, ...]]
"""What rows have in common, and their far ends."""


class _Reaching:
    def __init__(
        self,
        world: ClusterWorld,
        sources: Sequence[TargetEnd],
        targets: Sequence[TargetEnd],
        near: Direction,
        ports: PortSpec,
        *,
        via: bool,
    ) -> None:
        test = PolicyTest("", "", Source("", 0), tuple(sources), tuple(targets), ports, Expect.DENY)
        self._asked = TestInWorld(test, Resolver(world), world)
        if self._asked.misses:
            raise UnknownObject(self._asked.misses[0].text)
        self._world = world
        self._near = near
        self._via = via
        self._require_addresses()
        self._by: dict[tuple[int, int, int, PortSet], DecidingRules] = {}

    def _require_addresses(self) -> None:
        """No row speaks of a pod without an address of its own (NP-58, NP-60a): a silence that
        would read as a proof."""
        asked, world = self._asked, self._world
        for found in (asked.sources, *(aim.found for aim in asked.aims or ())):
            if found is None or found.addresses or not found.pods:
                continue
            if not any(world.endpoint(pod).addresses for pod in found.pods):
                names = some_of([world.pods[pod] for pod in found.pods], 3, ", ")
                raise QuestionError(
                    f"no address is surely that of {names}: it has none yet, or other pods have "
                    "the same (NP-60a); podfence can judges the pod by itself"
                )

    def answer(self) -> ReachTable:
        found: dict[_Key, dict[int, _Said]] = defaultdict(dict)
        for family in self._world.families.values():
            for key, by in self._of_family(family):
                found[key][family.number] = by
        rows = tuple(sorted(self._rows(found), key=_order))
        return ReachTable(rows, self._rest(rows))

    def _of_family(self, family: Family) -> Iterator[tuple[_Key, _Said]]:
        cells = Cells(self._asked, self._world, family)
        family.want(cells.destinations())
        atoms, table = cells.atoms, family.table
        for cell, destination in ((c, each) for c in cells.all() for each in c.destinations):
            to = atoms.members(destination)
            base = atoms.base(destination)
            for number, who in family.row(base).items():
                ports = table.intersection(number, cell.ports)
                if ports == NOTHING_ID:
                    continue
                for source in atoms.lift(who) & cell.sources:
                    by = self._said(family, atoms.base(source), base, table.sets[ports])
                    for near in self._by_time(atoms.members(source)):
                        for far in self._by_time(to):
                            yield (near, far, table.sets[ports]), by

    def _by_time(self, part: EndPart) -> tuple[EndPart, ...]:
        """Existing pods and pods to come, separately, although they may share a class."""
        pods, addresses = part
        coming = pods & self._world.newcomers
        if not coming or coming == pods:
            return (part,)
        return (pods - coming, addresses), (coming, addresses)

    def _said(self, family: Family, source: int, to: int, ports: PortSet) -> _Said:
        judged = [d for d in _ON_THE_WAY if self._is_judged(to if d is _IN else source)]
        if not judged:
            return FREE, ()
        near = self._near if self._near in judged else judged[0]
        by = self._deciding(near, family, source, to, ports)
        if not self._via:
            return by, ()
        return by, tuple((d, self._deciding(d, family, source, to, ports)) for d in judged)

    def _is_judged(self, number: int) -> bool:
        """Whether an end has policies of its own: addresses outside have none."""
        return self._world.index.classes[number].outside is None

    def _deciding(
        self, direction: Direction, family: Family, source: int, to: int, ports: PortSet
    ) -> DecidingRules:
        near, far = (to, source) if direction is _IN else (source, to)
        policy = self._world.index.policies[near].of(direction)
        if not policy.tiers:
            return FREE
        key = policy.number, far, family.number, ports
        if key not in self._by:
            self._by[key] = deciding(policy, far, family.number, ports)
        return self._by[key]

    # -- rows

    def _rows(self, found: dict[_Key, dict[int, _Said]]) -> Iterator[ReachRow]:
        """Parts with the same values are joined, first those at the far end."""
        single: dict[tuple[PortSet, int | None, _Said, bool, EndPart], list[EndPart]]
        single = defaultdict(list)
        for (source, to, ports), by in found.items():
            if source == to and is_one_pod(source[0]):
                continue
            family = self._family(source, to, by)
            said = _joined(by.values())
            near, far = (to, source) if self._near is Direction.INGRESS else (source, to)
            single[ports, family, said, self._is_coming(far), near].append(far)
        joined: dict[_Joint, list[EndPart]] = defaultdict(list)
        for (ports, family, said, coming, near), fars in single.items():
            both = coming, self._is_coming(near)
            joined[ports, family, said, both, tuple(fars)].append(near)
        for (ports, family, said, _, some), nears in joined.items():
            sides = self._side(nears), self._side(some)
            first, second = sides[::-1] if self._near is Direction.INGRESS else sides
            yield ReachRow(first, second, ports, family, *said)

    def _family(self, source: EndPart, to: EndPart, by: dict[int, _Said]) -> int | None:
        """The IP version of a row, where both ends speak the other too."""
        if len(by) > 1:
            return None
        (family,) = by
        other = 10 - family
        return family if self._speaks(source, other) and self._speaks(to, other) else None

    def _speaks(self, part: EndPart, family: int) -> bool:
        if part[1] and not part[0]:
            return False  # addresses are of one version, and the name says which
        return any(
            address.version == family
            for pod in part[0]
            for address in self._world.endpoint(pod).addresses
        )

    def _is_coming(self, part: EndPart) -> bool:
        return bool(part[0] & self._world.newcomers)

    def _side(self, parts: Iterable[EndPart]) -> RowEnd:
        pods = sorted({pod for part in parts for pod in part[0]})
        addresses = AddressSet.union(part[1] for part in parts if not part[0])
        names = tuple(self._names(pods))
        if addresses:
            whole = addresses == INTERNET
            names = (*names, "internet" if whole else f"outside {name_outside(addresses)}")
        coming = any(self._is_coming(part) for part in parts)
        return RowEnd(names, tuple(self._world.pods[pod] for pod in pods), addresses, coming)

    def _names(self, pods: Sequence[int]) -> Iterator[str]:
        """Workloads; where only some pods of a workload are meant, these pods are listed."""
        found: dict[str, list[int]] = defaultdict(list)
        for pod in pods:
            found[self._world.names[pod]].append(pod)
        for name, members in sorted(found.items()):
            if len(members) == self._sizes[name]:
                yield name
            else:
                shown = sorted(self._world.pods[pod].partition("/")[2] for pod in members)
                yield f"{name}[{','.join(shown)}]"

    @cached_property
    def _sizes(self) -> dict[str, int]:
        found: dict[str, int] = defaultdict(int)
        for pod, name in enumerate(self._world.names):
            found[name] += bool(self._world.endpoint(pod).addresses)
        return found

    # -- nobody else

    def _rest(self, rows: Iterable[ReachRow]) -> Rest:
        asked, world = self._asked, self._world
        assert asked.sources is not None
        assert asked.aims is not None
        far = [asked.sources] if self._near is Direction.INGRESS else [a.found for a in asked.aims]
        near = [a.found for a in asked.aims] if self._near is Direction.INGRESS else [asked.sources]
        seen: set[int] = set()
        met = AddressSet()
        for row in rows:
            side = row.sources if self._near is Direction.INGRESS else row.destinations
            seen.update(world.workloads[world.number_of[pod]] for pod in side.pods)
            met |= side.addresses
        own = {world.workloads[pod] for found in near for pod in found.pods}
        everyone = {pod for found in far for pod in found.pods if world.endpoint(pod).addresses}
        others = {p for p in everyone if world.workloads[p] not in seen | own}
        coming = {world.workloads[pod] for pod in others if pod in world.newcomers}
        judged = any(found.pods for found in near)  # addresses among one another are not
        asked_for = AddressSet.union(found.addresses for found in far if judged)
        left = asked_for - met
        numbers = {world.workloads[pod] for pod in others} - coming
        return Rest(len(numbers), len(coming), left, whole=left == asked_for)


def _order(row: ReachRow) -> tuple[object, ...]:
    """Existing pods, then addresses, then pods to come; by name."""
    return (
        row.is_to_come,
        bool(row.sources.addresses or row.destinations.addresses),
        row.destinations.names,
        row.sources.names,
        str(row.ports),
        row.family or 0,
    )


def _joined(said: Iterable[_Said]) -> _Said:
    """What both IP versions say."""
    (by, via), *others = said
    for more, ends in others:
        by = by.joined(more)
        via = tuple(
            (direction, one.joined(other))
            for (direction, one), (_, other) in zip(via, ends, strict=True)
        )
    return by, via
