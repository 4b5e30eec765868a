"""Test files -> the connections that pods of the cluster are to try.

Rule: pure. A test is about what its cells say, as for every judge; what no pod can try (addresses
outside, nodes, pods to come, protocols without ports) is told, and never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from podfence.errors import QuestionError
from podfence.lab.testbed.agreement import not_by_packets
from podfence.lab.testbed.ports import RelevantPorts, choose_ports
from podfence.model.cluster import Cluster
from podfence.podprobe.attempts import (
    Asked,
    Dial,
    DialPlan,
    Listener,
    PlannedFile,
    PlannedTest,
    TestInFile,
)
from podfence.podprobe.cast import Cast
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.policy.index import Endpoint
from podfence.questions.phrases.words import listed
from podfence.questions.tests.askedports import asked_ports
from podfence.questions.tests.cells import Cells, TestInWorld
from podfence.questions.tests.edits import prepared
from podfence.questions.tests.ends import ResolvedEnd, Resolver
from podfence.questions.tests.form import (
    ALL_PORTS,
    Expect,
    NamedEnd,
    PolicyTest,
    PolicyTests,
    PortSpec,
    TargetEnd,
)
from podfence.questions.tests.world import ClusterWorld
from podfence.sets.addresses import IPAddress

ENVIRONMENT = "cluster"
_NO_EDITS = "a cluster is tried as it is, without edits; podfence test judges it"
"""This environment, as tests and options call it."""
PORTS = 32
"""The most ports of TCP that are tried from one pod to another."""


def plan_probes(
    cluster: Cluster,
    names: DomainTable,
    files: Sequence[PolicyTests],
    wanted: Callable[[PolicyTest], bool],
    pods: int,
) -> DialPlan:
    """The connections of the wanted tests, between at most so many pods."""
    found = [_FilePlanner(cluster, names, files, file, wanted) for file in files]
    cast = Cast(pods)
    for file in found:
        file.name_pods(cast)
    for file in found:
        file.fill(cast)
    planned = tuple(file.planned(cast) for file in found)
    return DialPlan(planned, frozenset(cast), len(cast.left_out))


class _FilePlanner:
    """One document in its world."""

    def __init__(
        self,
        cluster: Cluster,
        names: DomainTable,
        files: Sequence[PolicyTests],
        file: PolicyTests,
        wanted: Callable[[PolicyTest], bool],
    ) -> None:
        self._file = file
        self._world = ClusterWorld(compile_cluster(prepared(cluster, files, file), names))
        self._resolver = Resolver(self._world)
        self._asked_ports = asked_ports(file, self._resolver)
        choice = choose_ports(self._world.index, PORTS, self._asked_ports)
        self._relevant = RelevantPorts(self._world.index, choice)
        self._tests = [self._found(test) for test in file.tests if wanted(test)]

    def _found(self, test: PolicyTest) -> TestInFile:
        reason = not_by_packets(test, ENVIRONMENT, "a pod", _NO_EDITS)
        if reason:
            return TestInFile(test, skipped=reason)
        return TestInFile(test, TestInWorld(test, self._resolver, self._world))

    # -- pods

    def name_pods(self, cast: Cast) -> None:
        """Take the pods that tests name."""
        for each in self._tests:
            if each.found is None or each.found.groups is not None:
                continue
            sources, targets = _named(each.found)
            real = self._world.real
            for found in (*sources, *targets):
                cast.take(self._world, found.pods & real)
            for near in sources:
                for far in targets:
                    cast.take(self._world, near.pods & far.pods & real, 2)

    def fill(self, cast: Cast) -> None:
        """Take the pods that tests are about without naming them, those of the namespaces of named
        ones first."""
        world = self._world
        spaces = {name.partition("/")[0] for name in cast}
        for each in self._tests:
            if each.found is None:
                continue
            test = each.test
            if test.only is not None and test.targets is not None:
                for aim in each.found.aims or ():
                    cast.take(world, aim.found.pods & world.real, 2)
            if test.only is not None or each.found.groups is not None:
                here = [n for n in world.real if world.pods[n].partition("/")[0] in spaces]
                cast.take(world, here)
                cast.take(world, world.real)

    # -- connections

    def planned(self, cast: Cast) -> PlannedFile:
        """Every test with its connections among the pods that take part."""
        numbers = [self._world.number_of[name] for name in cast if name in self._world.number_of]
        tests = tuple(self._planned(each, numbers) for each in self._tests)
        return PlannedFile(self._file, self._world, tests)

    def _planned(self, each: TestInFile, pods: Sequence[int]) -> PlannedTest:
        test, found = each.test, each.found
        if found is None:
            return PlannedTest(test, skipped=each.skipped)
        if found.misses and not test.allow_empty:
            return PlannedTest(test, misses=found.misses)
        untried = tuple(_untried(found, self._world))
        asked = dict.fromkeys((*self._between_pods(found, pods), *self._services(test, pods)))
        skipped = ""
        if not asked and not self._has_pairs(found):
            about = listed(untried) or "a pod and itself"
            skipped = f"pods of the cluster cannot try it: it is about {about}"
        return PlannedTest(test, tuple(asked), skipped, untried=untried)

    def _has_pairs(self, found: TestInWorld) -> bool:
        """Whether a test is about two existing pods at all."""
        real = self._world.real
        if found.groups is not None:
            return True
        sources, targets = _named(found)
        if found.test.only is not None:
            (sources if found.test.targets is not None else targets).append(
                ResolvedEnd.of_pods(real)
            )
        return any(each.pods & real for each in sources) and any(
            each.pods & real for each in targets
        )

    def _between_pods(self, found: TestInWorld, pods: Sequence[int]) -> Iterator[Asked]:
        world = self._world
        for family in world.families.values():
            cells = Cells(found, world, family)
            atoms = {pod: cells.atoms.of_pod(pod) for pod in pods}
            addresses = {pod: _address(world.endpoint(pod), family.number) for pod in pods}
            for cell in cells.all():
                ports = family.table.sets[cell.ports]
                near = [pod for pod in pods if atoms[pod] in cell.sources and addresses[pod]]
                for far in pods:
                    address = addresses[far]
                    if address is None or atoms[far] not in cell.destinations:
                        continue
                    for source in (pod for pod in near if pod != far):
                        for port in self._ports(source, far):
                            if port in ports:
                                target = world.pods[far]
                                dial = Dial(world.pods[source], address, *port)
                                behind = (Listener(target, address, *port),)
                                unit = _unit(found, dial.source, target, must=cell.must)
                                yield Asked(dial, target, behind, cell.must, unit, cell.one)

    def _ports(self, source: int, target: int) -> Iterator[tuple[str, int]]:
        """What is tried from one pod to another: TCP on every port that a rule, a test or a
        container names, UDP where a container or a test says so."""
        near, far = self._world.endpoint(source), self._world.endpoint(target)
        datagrams = {each.port for each in far.pod.ports if each.protocol.value == "UDP"}
        datagrams |= {port for protocol, port in self._asked_ports if protocol == "UDP"}
        streams = {each.port for each in far.pod.ports if each.protocol.value == "TCP"}
        for port in self._relevant.between(near, far):
            if port in streams or port not in datagrams:
                yield "TCP", port
        for port in sorted(datagrams):
            yield "UDP", port

    # -- Services

    def _services(self, test: PolicyTest, pods: Sequence[int]) -> Iterator[Asked]:
        """The connections to Services that a test names, at their own addresses."""
        sources = self._resolver.sources(test.sources or ())
        near = [pod for pod in pods if pod in sources.pods]
        must = test.expect is not Expect.DENY
        if test.only is None:
            for target in test.targets or ():
                yield from self._service(target, target.ports or test.ports, near, must=must)
        elif test.sources is not None:
            for item in test.only:
                for target in () if item.optional else item.targets:
                    yield from self._service(target, target.ports or item.ports, near, must=True)

    def _service(
        self, target: TargetEnd, ports: PortSpec, near: Sequence[int], *, must: bool
    ) -> Iterator[Asked]:
        end, services = target.end, self._world.services
        if not isinstance(end, NamedEnd) or not self._resolver.is_service(end):
            return
        names = {(each.name, each.protocol) for each in ports.names}
        for port in services.ports(end.name, end.namespace):
            protocol = port.protocol.value
            is_asked = (port.name, protocol) in names or (protocol, port.port) in ports.numbers
            if protocol not in ("TCP", "UDP") or not (is_asked or ports == ALL_PORTS):
                continue
            try:
                found = services.behind(end.name, end.namespace, port.port, protocol)
            except QuestionError:  # nothing is behind this port, which the ends of the test say
                continue
            assert found is not None
            for address in found.service.cluster_ips:
                behind = tuple(
                    Listener(
                        f"{way.endpoint.pod.namespace}/{way.endpoint.pod.name}", at, protocol, n
                    )
                    for way, n in found.ways
                    if way.endpoint is not None and (at := way.address(address.version))
                )
                if len(behind) < len(found.ways):
                    continue  # something that is no pod may answer
                for source in near:
                    name = self._world.pods[source]
                    speaks = _address(self._world.endpoint(source), address.version)
                    if speaks and behind and all(each.pod != name for each in behind):
                        dial = Dial(name, address, protocol, port.port)
                        called = f"service {found.service.ref}"
                        yield Asked(dial, called, behind, must, f"{name} {called}")


def _unit(found: TestInWorld, source: str, target: str, *, must: bool) -> str:
    """What a connection proves a part of. Where ``only`` is about everybody else, a single denial
    shows that a named destination denies; a destination that is not named may answer nobody."""
    if found.groups is not None:
        return ""
    if must or found.test.only is None:
        return f"{source} {target}"
    return f"* {target}" if found.test.targets is not None else ""


def _address(endpoint: Endpoint, family: int) -> IPAddress | None:
    return next((a for a in endpoint.addresses if a.version == family), None)


def _named(found: TestInWorld) -> tuple[list[ResolvedEnd], list[ResolvedEnd]]:
    """The ends that a test names: where connections come from, and where they go."""
    sources = [] if found.sources is None else [found.sources]
    targets = [aim.found for aim in found.aims or ()]
    entries = [aim.found for entry in found.entries for aim in entry.aims]
    (targets if found.test.targets is None else sources).extend(entries)
    return sources, targets


def _untried(found: TestInWorld, world: ClusterWorld) -> Iterator[str]:
    """The ends of a test that are not existing pods."""
    sources, targets = _named(found)
    every = [*sources, *targets, *([] if found.everybody is None else [found.everybody])]
    if any(each.addresses for each in every):
        yield "addresses that no pod has"
    if any(each.pods & world.newcomers for each in every):
        yield "pods to come"
