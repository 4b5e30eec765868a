"""The ends of a test -> the pods and addresses that they match in one cluster.

Rule: an end that matches nothing is reported with what was probably meant. Ends match existing
pods; pods to come are included where a test names them, and where ``only`` covers everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.errors import QuestionError, UnknownObject
from podfence.likeness import similar
from podfence.model.selectors import LabelSelector
from podfence.questions.entrynames import PREFIX
from podfence.questions.parties import PartyEnd
from podfence.questions.phrases.words import count
from podfence.questions.tests.form import (
    ALL_PORTS,
    AddressEnd,
    End,
    EntryEnd,
    NamedEnd,
    NewcomerEnd,
    PortSpec,
    SelectedEnd,
    TargetEnd,
    UnionEnd,
)
from podfence.sets import AddressSet, PortSet
from podfence.sets.addresses import EVERY_ADDRESS, IPAddress

if TYPE_CHECKING:
    from podfence.questions.tests.world import ClusterWorld

NOBODY, NOT_JUDGED, NO_PORT = "PF501", "PF502", "PF503"
NOTHING_LEFT, MISSPELT, WEAK, UNKNOWN_WAY = "PF504", "PF505", "PF506", "PF510"
TEST_CODES: Mapping[str, str] = {
    NOBODY: "an end of a test matches nobody",
    NOT_JUDGED: "a test looks at no pair that policies judge",
    NO_PORT: "a test asks for a port that no destination has",
    NOTHING_LEFT: "the exceptions of a test leave no pair",
    MISSPELT: "an optional entry of a test is probably misspelt",
    WEAK: "a test proves little",
    UNKNOWN_WAY: "a test is about an entry of which the answer is unknown",
}
"""Why a test may prove nothing, in one line each."""


EndPart = tuple[FrozenBitMap, AddressSet]
"""The pods and the addresses of an end in one IP version."""


class UnmatchedEnd(Struct, frozen=True):
    """An end, or a part of one, that matches nothing. ``code``: why."""

    code: str
    text: str
    is_near: bool = False
    """Somebody has a name or label that is spelt alike."""


_NO_PODS = FrozenBitMap()


class ResolvedEnd(Struct, frozen=True):
    """What an end matches. ``speaking``: its pods, in IPv4 and in IPv6: an address block matches a
    pod in one of them. ``coming``: pods to come that match, although it does not ask for them."""

    speaking: tuple[FrozenBitMap, FrozenBitMap] = (FrozenBitMap(), FrozenBitMap())
    addresses: AddressSet = AddressSet()
    coming: FrozenBitMap = FrozenBitMap()
    misses: tuple[UnmatchedEnd, ...] = ()

    @classmethod
    def of_pods(
        cls,
        pods: FrozenBitMap,
        addresses: AddressSet = AddressSet(),
        coming: FrozenBitMap = _NO_PODS,
    ) -> ResolvedEnd:
        """Pods in whatever they speak."""
        return cls((pods, pods), addresses, coming)

    @property
    def pods(self) -> FrozenBitMap:
        """All its pods."""
        return self.speaking[0] | self.speaking[1]

    def part(self, family: int) -> EndPart:
        """What it means in one IP version."""
        return self.speaking[family == 6], self.addresses

    @property
    def is_nobody(self) -> bool:
        """Whether it means no pod and no address."""
        return not self.pods and not self.addresses

    @property
    def everybody(self) -> ResolvedEnd:
        """With the pods to come that fit it."""
        four, six = self.speaking
        return ResolvedEnd((four | self.coming, six | self.coming), self.addresses)


class ResolvedTarget(Struct, frozen=True):
    """Ends with their ports."""

    found: ResolvedEnd
    ports: PortSpec


def _of_entry(text: str) -> ResolvedEnd:
    """An entry has no pods of its own: whose packets come through it, is a question of its own."""
    said = (
        f"{text}: an entry (Ingress, route ...) is only where connections come from: of can, why, "
        "find from, and of a test with expect; here name the pods of its controller"
    )
    return ResolvedEnd(misses=(UnmatchedEnd(NOT_JUDGED, said),))


def union(parts: Iterable[ResolvedEnd]) -> ResolvedEnd:
    """All of them."""
    each = tuple(parts)
    return ResolvedEnd(
        (
            FrozenBitMap.union(FrozenBitMap(), *(part.speaking[0] for part in each)),
            FrozenBitMap.union(FrozenBitMap(), *(part.speaking[1] for part in each)),
        ),
        AddressSet.union(part.addresses for part in each),
        FrozenBitMap.union(FrozenBitMap(), *(part.coming for part in each)),
        tuple(miss for part in each for miss in part.misses),
    )


class Resolver:
    """Looks ends up in one cluster; remembers what it found."""

    def __init__(self, world: ClusterWorld) -> None:
        self._world = world
        self._known: dict[End, ResolvedEnd] = {}

    def everybody(self) -> ResolvedEnd:
        """Every existing pod, the unlabelled ones to come, every address outside, every node."""
        world = self._world
        return ResolvedEnd.of_pods(world.real | world.strangers, EVERY_ADDRESS)

    def found(self, end: End) -> ResolvedEnd:
        """What an end means."""
        known = self._known.get(end)
        if known is None:
            known = self._known[end] = self._found(end)
        return known

    def sources(self, targets: Iterable[TargetEnd]) -> ResolvedEnd:
        """What ends without ports mean together."""
        return union(self.found(target.end) for target in targets)

    def aims(
        self, targets: Iterable[TargetEnd], ports: PortSpec = ALL_PORTS
    ) -> tuple[ResolvedTarget, ...]:
        """The matches of ends, each with its own ports or else the common ones."""
        return tuple(aim for each in targets for aim in self._aims(each, each.ports or ports))

    def _aims(self, target: TargetEnd, ports: PortSpec) -> Iterator[ResolvedTarget]:
        if isinstance(target.end, NamedEnd) and self.is_service(target.end):
            yield from self._behind(target.end, ports)
        else:
            yield ResolvedTarget(self.found(target.end), ports)

    def is_service(self, end: End) -> bool:
        """Whether an end is a Service. ``svc/web`` is none where workload ``web`` is in a namespace
        that is called ``svc``: only this word means it, and the Service has a longer one."""
        if not isinstance(end, NamedEnd) or not end.is_service:
            return False
        try:
            return not self._world.directory.has_pods(end.text)
        except QuestionError:  # several workloads are called so
            return False

    def _found(self, end: End) -> ResolvedEnd:
        match end:
            case NamedEnd():
                return self._named(end)
            case SelectedEnd():
                return self._selected(end)
            case AddressEnd():
                return self._addressed(end)
            case NewcomerEnd():
                return self._coming(end)
            case EntryEnd():
                return _of_entry(end.text)
            case UnionEnd():
                whole = union(map(self.found, end.ends))
                less = union(map(self.found, end.without))
                return ResolvedEnd(
                    (
                        whole.speaking[0] - less.speaking[0],
                        whole.speaking[1] - less.speaking[1],
                    ),
                    whole.addresses - less.addresses,
                    whole.coming - less.coming,
                    (*whole.misses, *less.misses),
                )

    # -- names

    def _named(self, end: NamedEnd) -> ResolvedEnd:
        if self.is_service(end):
            text = f"{end.text} is a Service; it can be where connections go, with a port"
            return ResolvedEnd(misses=(UnmatchedEnd(NO_PORT, text),))
        name = end.text if end.is_service else end.name
        try:
            return self._parties(self._world.directory.find(name, end.namespace).ends)
        except UnknownObject as error:
            if end.text.startswith(PREFIX):
                return _of_entry(end.text)
            is_near = "did you mean" in error.message
            return ResolvedEnd(misses=(UnmatchedEnd(NOBODY, error.message, is_near=is_near),))
        except QuestionError as error:
            return ResolvedEnd(misses=(UnmatchedEnd(NOT_JUDGED, error.message),))

    def _parties(self, ends: Iterable[PartyEnd]) -> ResolvedEnd:
        """A Service may lead to one of a pod's addresses alone."""
        four, six = BitMap(), BitMap()
        addresses: list[IPAddress] = []
        for each in ends:
            if each.endpoint is None:
                addresses += each.addresses
                continue
            pod = each.endpoint.pod
            number = self._world.number_of[f"{pod.namespace}/{pod.name}"]
            for family, pods in ((4, four), (6, six)):
                if not each.addresses or each.address(family) is not None:
                    pods.add(number)
        return ResolvedEnd((FrozenBitMap(four), FrozenBitMap(six)), AddressSet.of(addresses))

    def _behind(self, end: NamedEnd, ports: PortSpec) -> Iterator[ResolvedTarget]:
        """What is behind a Service, with the ports that its own are rewritten to."""
        if not self._world.services.has(end.name, end.namespace):
            text = f"no Service is called {end.name.replace('/service/', '/')}"
            yield ResolvedTarget(ResolvedEnd(misses=(UnmatchedEnd(NOBODY, text),)), ports)
            return
        asked: list[tuple[int | str, str]] = [(n.name, n.protocol) for n in ports.names]
        own = self._world.services.ports(end.name, end.namespace) if ports == ALL_PORTS else ()
        asked += [(port.port, port.protocol.value) for port in own]
        for protocol, low, high in () if own else ports.numbers.ranges():
            if low != high:
                text = f"{end.text} is a Service; ask for one of its ports, not for {ports.text}"
                yield ResolvedTarget(ResolvedEnd(misses=(UnmatchedEnd(NO_PORT, text),)), ports)
                return
            asked.append((low, protocol))
        for port, protocol in asked:
            try:
                behind = self._world.services.behind(end.name, end.namespace, port, protocol)
            except QuestionError as error:
                yield ResolvedTarget(
                    ResolvedEnd(misses=(UnmatchedEnd(NO_PORT, error.message),)), ports
                )
                continue
            assert behind is not None
            by_number: dict[int, list[PartyEnd]] = {}
            for each, number in behind.ways:
                by_number.setdefault(number, []).append(each)
            for number, ends in by_number.items():
                numbers = PortSet.port(protocol, number)
                yield ResolvedTarget(self._parties(ends), PortSpec(str(number), numbers))

    # -- labels

    def _selected(self, end: SelectedEnd) -> ResolvedEnd:
        spaces = self._spaces(end)
        real, coming = BitMap(), BitMap()
        for number in self._within(spaces):
            if end.pods.matches(self._labels[number]):
                (coming if number in self._world.newcomers else real).add(number)
        coming &= self._world.strangers
        if real:
            return ResolvedEnd.of_pods(FrozenBitMap(real), coming=FrozenBitMap(coming))
        text = self._nobody(end, spaces)
        miss = UnmatchedEnd(NOBODY, text, is_near="did you mean" in text)
        return ResolvedEnd(coming=FrozenBitMap(coming), misses=(miss,))

    def _spaces(self, end: SelectedEnd) -> list[str]:
        every = self._world.index.cluster.namespaces
        if end.namespace is not None:
            return [end.namespace] if end.namespace in every else []
        if end.namespaces.selects_everything:
            return list(every)
        return [n for n, each in every.items() if end.namespaces.matches(dict(each.labels))]

    def _within(self, spaces: Iterable[str]) -> Iterator[int]:
        for space in spaces:
            yield from self._by_namespace.get(space, ())

    @cached_property
    def _by_namespace(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, name in enumerate(self._world.pods):
            found.setdefault(name.partition("/")[0], []).append(number)
        return found

    @cached_property
    def _labels(self) -> list[dict[str, str]]:
        return [dict(self._world.endpoint(n).pod.labels) for n in range(len(self._world.pods))]

    def _nobody(self, end: SelectedEnd, spaces: list[str]) -> str:
        """Why nothing matches, and what was probably meant."""
        every = self._world.index.cluster.namespaces
        if not spaces and end.namespace is not None:
            close = similar(end.namespace, every)
            there = (
                f"did you mean {close[0]}?" if close else f"there are {', '.join(sorted(every))}"
            )
            return f"{end.text} matches nobody: there is no namespace {end.namespace}; {there}"
        if not spaces:
            hint = _near(
                end.namespaces, [dict(each.labels) for each in every.values()], "namespace"
            )
            return f"{end.text} matches nobody: no namespace has these labels{hint}"
        labels = [self._labels[n] for n in self._within(spaces) if n in self._world.real]
        if not labels:
            return f"{end.text} matches nobody: no pod is there"
        return f"{end.text} matches nobody{_near(end.pods, labels, 'pod')}"

    # -- addresses

    def _addressed(self, end: AddressEnd) -> ResolvedEnd:
        if end.is_outside:
            return ResolvedEnd(addresses=end.addresses - self._nodes)
        world = self._world
        pods = {4: BitMap(), 6: BitMap()}
        taken: list[IPAddress] = []
        for address, endpoint in world.index.by_address.items():
            if address in end.addresses:
                taken.append(address)
                name = f"{endpoint.pod.namespace}/{endpoint.pod.name}"
                pods[address.version].add(world.number_of[name])
        four, six = (FrozenBitMap(pods[family] & world.real) for family in (4, 6))
        shared = [address for address in world.index.contested if address in end.addresses]
        rest = end.addresses - AddressSet.of([*taken, *shared])
        if shared and not (rest or four or six):
            text = f"{end.text} is the address of several pods, and it is unclear whose (NP-60a)"
            return ResolvedEnd(misses=(UnmatchedEnd(NOT_JUDGED, text),))
        if rest and not (four or six) and (service := self._service_of(rest)):
            text = f"{end.text} is Service {service}, judged by what is behind it (NP-45); name it"
            return ResolvedEnd(misses=(UnmatchedEnd(NOT_JUDGED, text),))
        return ResolvedEnd((four, six), rest)

    def _service_of(self, addresses: AddressSet) -> str:
        """The Service that has all of some addresses; "" where none does."""
        for service in self._world.index.cluster.services:
            if not addresses - AddressSet.of(list(service.addresses)):
                return f"service/{service.ref}"
        return ""

    @cached_property
    def _nodes(self) -> AddressSet:
        return AddressSet.of(list(self._world.index.by_node_address))

    # -- newcomers

    def _coming(self, end: NewcomerEnd) -> ResolvedEnd:
        world = self._world
        numbers = FrozenBitMap(
            number
            for number in world.newcomers
            if (pod := world.endpoint(number).pod).labels == end.labels
            and end.namespace in (None, pod.namespace)
        )
        if numbers:
            return ResolvedEnd.of_pods(numbers)
        close = similar(end.namespace or "", world.index.cluster.namespaces)
        hint = f"; did you mean {close[0]}?" if close else ""
        return ResolvedEnd(
            misses=(UnmatchedEnd(NOBODY, f"there is no namespace {end.namespace}{hint}"),)
        )


def _near(selector: LabelSelector, labels: list[dict[str, str]], what: str) -> str:
    """An existing label that is spelt similarly to the given one."""
    for key, value in selector.match_labels:
        if any(each.get(key) == value for each in labels):
            continue
        values = {each[key] for each in labels if key in each}
        close = similar(value, sorted(values))
        if close:
            number = sum(each.get(key) == close[0] for each in labels)
            return f": {key}={value}; did you mean {key}={close[0]} ({count(number, what)})?"
        if not values:
            keys = similar(key, sorted({each for one in labels for each in one}))
            other = f"; did you mean {keys[0]}?" if keys else ""
            return f": no {what} has the label {key}{other}"
        return f": no {what} has {key}={value}; there are {', '.join(sorted(values)[:5])}"
    return ""
