"""Tests of test files judged by packets: the connections of a test, as a lab saw them.

Rule: packets alone decide. Probes without a control are left out first, so a denial counts only
where the target answered on the open network. A test without any probed connection is unproved,
which is not a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from podfence.engine.permitted import from_own_node
from podfence.lab.run import Progress, run_lab
from podfence.lab.testbed.agreement import Disagreement, ProvedTest, not_by_packets
from podfence.lab.testbed.probeplan import PartyKind, ProbeParty
from podfence.lab.testbed.report import LabReport, PacketCheck, PortSeen
from podfence.lab.testbed.scheduling import schedule
from podfence.lab.trial import LabOptions
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.questions.tests.askedports import asked_ports
from podfence.questions.tests.cells import Cell, Cells, TestInWorld
from podfence.questions.tests.edits import edited, prepared
from podfence.questions.tests.ends import Resolver
from podfence.questions.tests.form import Expect, PolicyTest, PolicyTests
from podfence.questions.tests.world import ClusterWorld


def prove(
    cluster: Cluster,
    names: DomainTable,
    file: PolicyTests,
    wanted: Callable[[PolicyTest], bool],
    options: LabOptions,
    progress: Progress,
) -> Iterator[ProvedTest]:
    """Try the tests of a document in labs: one for the cluster as it is, and one for each list of
    what-if edits. Raises LabError where a lab cannot be built."""
    whole = prepared(cluster, [file], file)
    labs: dict[str, tuple[ClusterWorld, LabReport]] = {}
    for test in filter(wanted, file.tests):
        reason = not_by_packets(test, "lab", "a lab")
        if reason:
            yield ProvedTest(test, "skipped", text=reason)
            continue
        given, misses = edited(whole, test.given)
        if misses:
            yield ProvedTest(test, "vacuous", misses=misses)
            continue
        lab = test.path if test.given else ""
        if lab not in labs:
            index = compile_cluster(schedule(given, options.nodes), names)
            world = ClusterWorld(index)
            limits = replace(options.limits, asked=asked_ports(file, Resolver(world)))
            report = run_lab(index, replace(options, limits=limits), progress=progress)
            labs[lab] = world, report
        world, report = labs[lab]
        before = ClusterWorld(compile_cluster(schedule(whole, options.nodes), names))
        same = before.pods == world.pods
        asked = TestInWorld(test, Resolver(before if same else world), world)
        if asked.misses and not test.allow_empty:
            yield ProvedTest(test, "vacuous", misses=asked.misses)
        else:
            yield _judged(asked, world, report)


def _judged(asked: TestInWorld, world: ClusterWorld, report: LabReport) -> ProvedTest:
    test = asked.test
    packets = denials = differ = 0
    odd: PacketCheck | None = None
    first: Disagreement | None = None
    wrong = 0
    some = False
    for source, target, port, must in _looked_at(asked, world, report):
        packets += 1
        denials += not must
        differ += not port.agrees
        if odd is None and not port.agrees:
            odd = _check_of(source, target, port, report)
        if test.expect is Expect.SOME:
            some = some or port.open
        elif port.open is not must:
            wrong += 1
            first = first or _disagreement(source, target, port, report)
    failed = wrong > 0 or (test.expect is Expect.SOME and not some)
    if not packets and asked.misses:  # allowEmpty
        return ProvedTest(test, "passed", text="matches nobody, which allowEmpty permits")
    if not packets:
        text = "none of its connections was probed, or none answered on the open network"
        return ProvedTest(test, "unproved", text=text)
    text = ""
    if test.expect_failure:
        text = "fails, as expected" if failed else "passes, though it is expected to fail"
        failed = not failed
    elif failed and not wrong:
        text = "none of its connections is open"
    status = "failed" if failed or differ else "passed"
    shown = first if failed and not test.expect_failure else None
    return ProvedTest(test, status, packets, denials, differ, odd, shown, wrong, text=text)


def _disagreement(
    source: ProbeParty, target: ProbeParty, port: PortSeen, report: LabReport
) -> Disagreement:
    ends = _name(source, report), _name(target, report)
    return Disagreement(*ends, port.family, port.protocol, port.port, port.open, port.agrees)


def _check_of(
    source: ProbeParty, target: ProbeParty, port: PortSeen, report: LabReport
) -> PacketCheck | None:
    """The packet of a port that was not as the engine says."""
    wanted = source, target, port.family, port.protocol, port.port
    for check in report.disagreements:
        sent = check.packet
        if (sent.source, sent.target, sent.family, sent.protocol, sent.port) == wanted:
            return check
    return None


def _name(party: ProbeParty, report: LabReport) -> str:
    if party.side is PartyKind.POD:
        return report.workloads.get(party.name, party.name)
    return f"node/{party.name}" if party.side is PartyKind.NODE else party.name


def _looked_at(
    asked: TestInWorld, world: ClusterWorld, report: LabReport
) -> Iterator[tuple[ProbeParty, ProbeParty, PortSeen, bool]]:
    """The probes of a test, each with whether it has to be open."""
    sides: dict[int, _FamilyCells] = {
        number: _FamilyCells(Cells(asked, world, family))
        for number, family in world.families.items()
    }
    for pair in report.pairs:
        # What is behind a Service is probed by itself, on the ports that policies see.
        if pair.target.name.startswith("service ") or pair.source == pair.target:
            continue
        if _is_own_node(world, pair.source, pair.target):
            continue
        for port in pair.ports:
            side = sides.get(port.family)
            if side is None:
                continue
            for cell in side.cells_of(pair.source, pair.target, port):
                if not cell.one:  # one of many ports is not shown by a single packet
                    yield pair.source, pair.target, port, cell.must


def _is_own_node(world: ClusterWorld, source: ProbeParty, target: ProbeParty) -> bool:
    if target.side is not PartyKind.POD or source.side is PartyKind.POD:
        return False
    endpoint = world.index.endpoints[target.name]
    return any(from_own_node(world.index, address, endpoint) for address in source.addresses)


class _FamilyCells:
    """The cells of one IP version by destination."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._by_destination: dict[int, list[Cell]] = {}
        for cell in cells.all():
            for destination in cell.destinations:
                self._by_destination.setdefault(destination, []).append(cell)
        self._known: dict[ProbeParty, int | None] = {}

    def cells_of(self, source: ProbeParty, target: ProbeParty, port: PortSeen) -> Iterator[Cell]:
        near, far = self._atom(source), self._atom(target)
        if near is None or far is None:
            return
        sets = self._cells.family.table.sets
        for cell in self._by_destination.get(far, ()):
            if near in cell.sources and (port.protocol, port.port) in sets[cell.ports]:
                yield cell

    def _atom(self, party: ProbeParty) -> int | None:
        if party not in self._known:
            self._known[party] = self._found(party)
        return self._known[party]

    def _found(self, party: ProbeParty) -> int | None:
        world, family = self._cells.world, self._cells.family.number
        if party.side is PartyKind.POD:
            pod = world.number_of.get(party.name)
            return None if pod is None else self._cells.atoms.of_pod(pod)
        for address in party.addresses:
            if address.version == family:
                return self._cells.atoms.of_address(address, world.index.class_of(address))
        return None
