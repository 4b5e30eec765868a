"""PolicyIndex -> the port numbers at which verdicts can differ. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from podfence.model.networkpolicy import Protocol
from podfence.model.objects import ContainerPort
from podfence.policy.index import DirectionPolicy, Endpoint, EndpointPolicy, PolicyIndex
from podfence.sets import IntervalSet
from podfence.sets.ports import MAX_PORT, OTHER

_SCTP = Protocol.SCTP.value
_UNDECLARED = range(7777, MAX_PORT + 1)
"""The range in which a port that no rule and no container names is looked for."""


class PortChoice(Struct, frozen=True):
    """Which port numbers are probed."""

    ports: tuple[int, ...]
    """By TCP and by UDP alike, so that a rule that forgets its protocol is found out."""
    undeclared: int
    """The chosen port that no rule and no container names."""
    sctp: tuple[int, ...] = ()
    """By SCTP, where there is room for more."""
    notes: tuple[str, ...] = ()
    """What was left out, one sentence each."""
    asked: frozenset[int] = frozenset()
    """Ports that a question names by number."""


def choose_ports(
    index: PolicyIndex, limit: int, asked: Iterable[tuple[str, int]] = ()
) -> PortChoice:
    """At most ``limit`` ports, in this order: one that no rule and no container names, the ports of
    questions, the ends of every range of every rule, the declared container ports, the first ports
    beyond each range. ``asked``: protocols with ports."""
    asked = sorted(asked)
    ranges = sorted({r for policy in index.direction_policies.values() for r in _ranges(policy)})
    declared = sorted({d for endpoint in index.endpoints.values() for d in _declared(endpoint)})
    undeclared = _undeclared(ranges, {number for _, number in (*declared, *asked)})
    wanted = dict.fromkeys((undeclared,))
    wanted.update(dict.fromkeys(p for name, p in asked if name != _SCTP))
    wanted.update(dict.fromkeys(p for name, *ends in ranges if name != _SCTP for p in ends))
    wanted.update(dict.fromkeys(p for name, p in declared if name != _SCTP))
    wanted.update(dict.fromkeys(_beyond(ranges)))
    possible = [port for port in wanted if 0 < port <= MAX_PORT]
    note = f"{limit} of {len(possible)} port numbers are probed"
    sctp = {p for name, *ends in ranges if name == _SCTP for p in ends}
    sctp |= {p for name, p in (*declared, *asked) if name == _SCTP}
    return PortChoice(
        tuple(sorted(possible[:limit])),
        undeclared,
        tuple(sorted(sctp)),
        (note,) if len(possible) > limit else (),
        frozenset(p for name, p in asked if name != _SCTP),
    )


class RelevantPorts:
    """For each pair, the chosen ports at which its own verdicts can differ."""

    def __init__(self, index: PolicyIndex, choice: PortChoice) -> None:
        self._index = index
        self._direction_policies = index.direction_policies
        self._always = choice.asked | {choice.undeclared}
        self._chosen = frozenset(choice.ports)
        self._declared: dict[tuple[ContainerPort, ...], frozenset[int]] = {}
        self._ends: dict[int, frozenset[int]] = {}
        self._found: dict[tuple[int, int, frozenset[int]], tuple[int, ...]] = {}

    def between(self, source: Endpoint | None, target: Endpoint | None) -> tuple[int, ...]:
        """The undeclared port, the ports of questions, the target's own, and the ends of the ranges
        in the source's egress and the target's ingress rules. ``None``: that end is not a pod."""
        egress = -1 if source is None else self._policies(source).egress.number
        ingress = -1 if target is None else self._policies(target).ingress.number
        own = self._own(target)
        key = (egress, ingress, own)
        if key not in self._found:
            wanted = own | self._named(egress) | self._named(ingress) | self._always
            self._found[key] = tuple(sorted(wanted & self._chosen))
        return self._found[key]

    def _own(self, target: Endpoint | None) -> frozenset[int]:
        if target is None:
            return frozenset()
        ports = target.pod.ports
        if ports not in self._declared:
            self._declared[ports] = frozenset(port.port for port in ports)
        return self._declared[ports]

    def _policies(self, endpoint: Endpoint) -> EndpointPolicy:
        return self._index.policies[endpoint.endpoint_class]

    def _named(self, number: int) -> frozenset[int]:
        if number < 0:
            return frozenset()
        if number not in self._ends:
            ranges = sorted(set(_ranges(self._direction_policies[number])))
            ends = {port for _, *both in ranges for port in both}
            self._ends[number] = frozenset(ends.union(_beyond(ranges)))
        return self._ends[number]


def _declared(endpoint: Endpoint) -> Iterator[tuple[str, int]]:
    return ((port.protocol.value, port.port) for port in endpoint.pod.ports)


def _ranges(policy: DirectionPolicy) -> Iterator[tuple[str, int, int]]:
    """Every range of ports that some rule names; whole protocols have no ends to look at."""
    for tier in policy.tiers:
        for rule in tier.rules:
            for match in rule.matches:
                for name, low, high in match.ports.ranges():
                    if name != OTHER and (low, high) != (0, MAX_PORT):
                        yield name, low, high


def _beyond(ranges: list[tuple[str, int, int]]) -> Iterator[int]:
    """The ports next to true ranges, where an off-by-one would show."""
    for name, low, high in ranges:
        if low != high and name != _SCTP:
            yield low - 1
            yield high + 1


def _undeclared(ranges: list[tuple[str, int, int]], declared: set[int]) -> int:
    """A port in no range and declared by no pod; where ranges leave none, one that ends none."""
    ends = declared | {port for _, *both in ranges for port in both}
    covered = IntervalSet.of(*((low, high) for _, low, high in ranges))
    unnamed = [port for port in _UNDECLARED if port not in ends]
    outside = (port for port in unnamed if port not in covered)
    return next(outside, unnamed[0] if unnamed else MAX_PORT)
