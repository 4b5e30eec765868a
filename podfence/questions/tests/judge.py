"""One test in one world -> its result, with the smallest counterexample.

Rule: the engine answers for classes; a test fails by a pair that really exists. A pod and itself, a
node and its own pod, and two ends that no policy judges are not pairs (NP-54, NP-52, NP-1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct
from msgspec.structs import replace
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.partition import Blocks, add_to
from podfence.engine.permitted import from_own_node, is_itself
from podfence.engine.porttable import NOTHING_ID
from podfence.policy.flow import Action, Decision, Direction, Flow
from podfence.policy.index import NETWORK_POLICY_TIER, DirectionPolicy, Endpoint
from podfence.policy.origin import Origin
from podfence.questions.tests.cells import Cell, Cells, TestInWorld
from podfence.questions.tests.counting import PairCount
from podfence.questions.tests.ends import NOT_JUDGED, NOTHING_LEFT, Resolver, UnmatchedEnd
from podfence.questions.tests.form import Expect, PolicyTest
from podfence.questions.tests.world import ClusterWorld, Family
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import OTHER

_TRIED = 1024
"""Addresses tried, of an outside end, for one that no pod has."""


class ResultStatus(Enum):
    """What came of a test."""

    PASSED = "passed"
    FAILED = "failed"
    VACUOUS = "vacuous"
    SKIPPED = "skipped"
    UNDECIDED = "undecided"


class Witness(Struct, frozen=True):
    """One connection, and its verdict. ``source_pod``, ``destination_pod``: names of pods, "" for
    addresses. ``decisions``: by direction, those that a test asked about."""

    source: str
    destination: str
    source_address: IPAddress
    destination_address: IPAddress
    protocol: str
    port: int
    allowed: bool
    decisions: tuple[tuple[Direction, Decision], ...]
    source_pod: str = ""
    destination_pod: str = ""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """What decided: rules that allow, or policies that deny."""
        found = [d for _, d in self.decisions if d.allowed is self.allowed]
        return tuple(dict.fromkeys(origin for each in found for origin in each.origins))


class Result(Struct, frozen=True):
    """``pairs``: how many were judged; ``total``: how many of them are wrong. ``weak``: why the
    test proves little, "" if it does not."""

    test: PolicyTest
    status: ResultStatus
    pairs: int = 0
    witness: Witness | None = None
    total: int = 0
    misses: tuple[UnmatchedEnd, ...] = ()
    text: str = ""
    weak: str = ""
    unknown: str = ""
    """Of a test about an entry that is undecided: what is not known."""

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return self.status in (ResultStatus.PASSED, ResultStatus.SKIPPED)


def judge(test: PolicyTest, world: ClusterWorld, resolver: Resolver) -> Result:
    """Judge one test. Doubts of the cluster are not considered here."""
    return expected(_judge(test, world, resolver))


def expected(found: Result) -> Result:
    """A result, turned where its test is expected to fail."""
    test = found.test
    if not test.expect_failure or found.status not in (ResultStatus.PASSED, ResultStatus.FAILED):
        return found
    if found.status is ResultStatus.FAILED:
        return replace(found, status=ResultStatus.PASSED, witness=None, text="fails, as expected")
    text = f"passes, though it is expected to fail: {test.expect_failure}"
    return replace(found, status=ResultStatus.FAILED, text=text)


def _judge(test: PolicyTest, world: ClusterWorld, resolver: Resolver) -> Result:
    if test.isolated:
        return _isolated(test, world, resolver)
    return judge_asked(TestInWorld(test, resolver, world), world)


def judge_asked(asked: TestInWorld, world: ClusterWorld) -> Result:
    """The same for a test whose ends were looked up already, in a world of the same pods."""
    if asked.misses and not asked.test.allow_empty:
        return Result(asked.test, ResultStatus.VACUOUS, misses=asked.misses)
    return TestEvaluation(asked, world).result()


class TestEvaluation:
    """One test whose ends match something."""

    def __init__(self, asked: TestInWorld, world: ClusterWorld) -> None:
        self.asked = asked
        self.world = world
        self.cells = [Cells(asked, world, family) for family in world.families.values()]
        self._senders: dict[int, list[tuple[Blocks, BitMap]]] = {}

    def result(self) -> Result:
        """Judge it."""
        test = self.asked.test
        looked, wrong = PairCount(self.world), PairCount(self.world)
        first: _Wrong | None = None
        some = False
        for cells in self.cells:
            cells.family.want(cells.destinations())
            for number, cell in enumerate(cells.all()):
                looked.add(cells, cell.sources, cell.destinations)
                for destination, who, ports in self._wrong(cells, cell):
                    pair = self._pair(cells, who, destination)
                    if pair is None:
                        continue
                    wrong.add(cells, who, (destination,))
                    order = cells.family.number, cell.aim, destination, number
                    if first is None or order < first.order:
                        first = _Wrong(order, cells, pair, ports, allowed=not cell.must)
                if test.expect is Expect.SOME and not some:
                    some = self._some(cells, cell)
        pairs = looked.total()
        if not pairs or (first is None and not some and not self.has_pair()):
            return self._nobody(pairs)
        if first is not None and not some:
            return Result(test, ResultStatus.FAILED, pairs, self._witness(first), wrong.total())
        return Result(test, ResultStatus.PASSED, pairs, weak=self._weak())

    def _nobody(self, pairs: int) -> Result:
        """Nothing was looked at."""
        test = self.asked.test
        if test.allow_empty:
            return Result(test, ResultStatus.PASSED)
        shared = self.asked.sharing(self.world)
        if test.unless and not pairs and not shared:
            miss = UnmatchedEnd(NOTHING_LEFT, "unless removes every pair")
            return Result(test, ResultStatus.VACUOUS, misses=(miss,))
        text = shared or (
            "no pair can be judged: a pod and itself, a node and its own pod, ends that no policy "
            "judges or that share no IP version"
        )
        return Result(test, ResultStatus.VACUOUS, misses=(UnmatchedEnd(NOT_JUDGED, text),))

    # -- verdicts

    def row(self, cells: Cells, destination: int) -> Blocks:
        """The classes that reach a destination on which ports, or what one direction says of
        it."""
        base, family = cells.atoms.base(destination), cells.family
        by = self.asked.test.by
        if by is None:
            return family.row(base)
        if by is Direction.INGRESS:
            return family.permitted(base, by)
        return self._sent(family, base)

    def _sent(self, family: Family, destination: int) -> Blocks:
        """What the sources' own policies let through to a destination."""
        if family.number not in self._senders:
            groups: dict[int, tuple[Blocks, BitMap]] = {}
            for number in family.everyone:
                key = self.world.index.policies[number].egress.number
                key = -1 if number in family.partitions.outside else key
                if key not in groups:
                    groups[key] = family.permitted(number, Direction.EGRESS), BitMap()
                groups[key][1].add(number)
            self._senders[family.number] = list(groups.values())
        found: Blocks = {}
        for blocks, sources in self._senders[family.number]:
            for ports, who in blocks.items():
                if destination in who:
                    add_to(found, ports, sources)
        return found

    def _wrong(self, cells: Cells, cell: Cell) -> Iterator[tuple[int, BitMap | FrozenBitMap, int]]:
        """Destinations with sources and the ports that are not as they should be."""
        table, lift = cells.family.table, cells.atoms.lift
        classes = cells.atoms.bases(cell.sources)
        for destination in cell.destinations:
            rest = cell.sources
            for ports, who in self.row(cells, destination).items():
                if not who.intersect(classes):  # so it is nearly always
                    continue
                hit = lift(who) & cell.sources
                if cell.must:
                    rest = rest - hit
                    bad = NOTHING_ID if cell.one else table.difference(cell.ports, ports)
                else:
                    bad = table.intersection(cell.ports, ports)
                if bad != NOTHING_ID:
                    yield destination, hit, bad
            if cell.must and rest:
                yield destination, rest, cell.ports

    def _some(self, cells: Cells, cell: Cell) -> bool:
        """Whether a source reaches a destination on some of the ports."""
        table, lift = cells.family.table, cells.atoms.lift
        return any(
            self._pair(cells, lift(who) & cell.sources, destination)
            for destination in cell.destinations
            for ports, who in self.row(cells, destination).items()
            if table.intersection(ports, cell.ports) != NOTHING_ID
        )

    # -- pairs that are pairs

    def has_pair(self) -> bool:
        """Whether any pair that is looked at is one."""
        return any(
            self._pair(cells, cell.sources, destination)
            for cells in self.cells
            for cell in cells.all()
            for destination in cell.destinations
        )

    def _always_reaches(self, near: _WitnessEnd, far: Endpoint) -> bool:
        """NP-52, NP-54: whether no policy is asked."""
        index = self.world.index
        if near.pod:
            return is_itself((index.endpoints[near.pod],), (far,))
        return from_own_node(index, near.address, far)

    def _pair(
        self, cells: Cells, sources: BitMap | FrozenBitMap, destination: int
    ) -> tuple[_WitnessEnd, _WitnessEnd] | None:
        for source in sources:
            for near in self._witness_ends(cells, source):
                for far in self._witness_ends(cells, destination):
                    if far.pod and self._always_reaches(near, self.world.index.endpoints[far.pod]):
                        continue
                    return near, far
        return None

    def _witness_ends(self, cells: Cells, atom: int) -> Iterator[_WitnessEnd]:
        """The pods of an atom, or some of its addresses that no pod has."""
        pods, addresses = cells.atoms.members(atom)
        world, family = self.world, cells.family
        for pod in pods:
            endpoint = world.endpoint(pod)
            for address in endpoint.addresses:
                if address.version == family.number:
                    yield _WitnessEnd(world.names[pod], world.pods[pod], address)
        kind = IPv4Address if family.number == 4 else IPv6Address
        for low, high in addresses.family(family.number):
            for value in range(low, min(high, low + _TRIED) + 1):
                address = kind(value)
                if address not in world.index.by_address and address not in world.index.contested:
                    node = world.index.by_node_address.get(address)
                    yield _WitnessEnd(f"node/{node}" if node else str(address), "", address)

    def _witness(self, wrong: _Wrong) -> Witness:
        """One connection, with what decided over it."""
        near, far = wrong.pair
        port = self._port(wrong.cells, wrong.ports, wrong.order[2])
        verdict = self.world.judge.verdict(Flow(near.address, far.address, *port))
        decisions = ((Direction.EGRESS, verdict.egress), (Direction.INGRESS, verdict.ingress))
        by = self.asked.test.by
        kept = tuple(each for each in decisions if by in (None, each[0]))
        ends = near.name, far.name, near.address, far.address
        return Witness(*ends, *port, wrong.allowed, kept, near.pod, far.pod)

    def _port(self, cells: Cells, number: int, destination: int) -> tuple[str, int]:
        """The port to show: one that a pod declares, or else the first."""
        ports = cells.family.table.sets[number]
        pods, _ = cells.atoms.members(destination)
        for pod in pods[:1]:
            for each in self.world.endpoint(pod).pod.ports:
                if (each.protocol.value, each.port) in ports:
                    return each.protocol.value, each.port
        protocol, low, high = next(iter(ports.ranges()))
        return protocol, low if low or protocol == OTHER or not high else 1

    # -- weakness

    def _weak(self) -> str:
        """Why a test that passes proves little, "" where it does not (PF506)."""
        test = self.asked.test
        if test.only is not None or test.group_by or test.expect is Expect.SOME:
            return ""
        assert self.asked.sources is not None
        assert self.asked.aims is not None
        policies, pods = self.world.index.policies, self.world.class_of
        sources = {pods[p] for p in self.asked.sources.pods}
        targets = {pods[p] for aim in self.asked.aims for p in aim.found.pods}
        if test.expect is Expect.ALLOW:
            free = not any(policies[n].egress.tiers for n in sources) and not any(
                policies[n].ingress.tiers for n in targets
            )
            return "no policy decides this, so it would pass without any policy" if free else ""
        founds = (self.asked.sources, *(aim.found for aim in self.asked.aims))
        if test.given or any(found.pods & self.world.newcomers for found in founds):
            return ""  # that a pod to come, or one that changes, is closed is the promise itself
        if not self.asked.sources.addresses and not self._permit(sources, Direction.EGRESS):
            return "the source can reach nothing at all, so the denial proves little"
        outside = any(aim.found.addresses for aim in self.asked.aims)
        if not outside and not self._permit(targets, Direction.INGRESS):
            return "nobody can reach the target, so the denial proves little"
        return ""

    def _permit(self, classes: Iterable[int], direction: Direction) -> bool:
        """Whether the policies of any of these classes let anything through."""
        return any(
            number in family.everyone and family.permitted(number, direction)
            for number in classes
            for family in self.world.families.values()
        )


class _WitnessEnd(Struct, frozen=True):
    name: str
    pod: str
    address: IPAddress


class _Wrong(Struct, frozen=True):
    """A pair that is not as it should be on some ports. ``order``: IP version, number of the end,
    destination and number of the cell: of two pairs the one of a test that is shown comes first."""

    order: tuple[int, int, int, int]
    cells: Cells
    pair: tuple[_WitnessEnd, _WitnessEnd]
    ports: int
    allowed: bool


# -- isolation


def _isolated(test: PolicyTest, world: ClusterWorld, resolver: Resolver) -> Result:
    """Whether pods are isolated in a direction, apart from what rules allow."""
    if test.newcomers is not None:
        found = resolver.found(test.newcomers)
    else:
        found = resolver.sources(test.targets or ())
    if found.misses or not found.pods:
        misses = found.misses or (UnmatchedEnd(NOT_JUDGED, "no pod that policies could select"),)
        if test.allow_empty:
            return Result(test, ResultStatus.PASSED)
        return Result(test, ResultStatus.VACUOUS, misses=misses)
    wrong: dict[Direction, list[int]] = {}
    for direction in test.isolated:
        for pod in found.pods:
            policy = world.index.policies[world.class_of[pod]].of(direction)
            if not is_closed(policy, world, world.class_of[pod], direction):
                wrong.setdefault(direction, []).append(pod)
    pairs = len({world.workloads[pod] for pod in found.pods})
    if not wrong:
        return Result(test, ResultStatus.PASSED, pairs)
    said = [
        f"{world.names[pods[0]]} is not isolated for {direction.value}: no policy closes it"
        + (f" ({len(pods) - 1} more)" if len(pods) > 1 else "")
        for direction, pods in wrong.items()
    ]
    total = len({pod for pods in wrong.values() for pod in pods})
    return Result(test, ResultStatus.FAILED, pairs, total=total, text="; ".join(said))


def is_closed(
    policy: DirectionPolicy, world: ClusterWorld, number: int, direction: Direction
) -> bool:
    """Whether what no rule allows is denied: a NetworkPolicy isolates the pod, or other policies
    deny everything in this direction."""
    for tier in policy.in_force:
        if tier.name == NETWORK_POLICY_TIER and tier.default is Action.DENY:
            return True
    return bool(policy.tiers) and not any(
        number in family.everyone and family.permitted(number, direction)
        for family in world.families.values()
    )
