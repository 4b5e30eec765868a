"""PolicyIndex -> the port numbers at which verdicts can differ. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from podfence.model.networkpolicy import Protocol
from podfence.policy.index import PolicyIndex
from podfence.sets.ports import MAX_PORT, OTHER

_SCTP = Protocol.SCTP.value
_STRANGERS = range(7777, MAX_PORT + 1)
"""Where the port that nobody declares is looked for."""


@dataclass(frozen=True, slots=True)
class PortChoice:
    """``ports``: numbers probed by TCP and by UDP alike, so that a rule that forgets its protocol
    is found out. ``sctp``: numbers that would be probed by SCTP. ``notes``: what was left out."""

    ports: tuple[int, ...]
    sctp: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def choose_ports(index: PolicyIndex, limit: int) -> PortChoice:
    """One port that nobody names, the ends of every range of every rule, the declared container
    ports, the first ports beyond each range; in this order, at most ``limit``."""
    ranges = sorted(set(_ranges(index)))
    declared = {
        (port.protocol.value, port.port)
        for endpoint in index.endpoints.values()
        for port in endpoint.pod.ports
    }
    wanted = dict.fromkeys((_stranger(ranges, {number for _, number in declared}),))
    wanted.update(dict.fromkeys(p for name, *ends in ranges if name != _SCTP for p in ends))
    wanted.update(dict.fromkeys(p for name, p in sorted(declared) if name != _SCTP))
    wanted.update(dict.fromkeys(_beyond(ranges)))
    possible = [port for port in wanted if 0 < port <= MAX_PORT]
    note = f"{limit} of {len(possible)} port numbers are probed"
    notes = (note,) if len(possible) > limit else ()
    sctp = {p for name, *ends in ranges if name == _SCTP for p in ends}
    sctp |= {p for name, p in declared if name == _SCTP}
    return PortChoice(tuple(sorted(possible[:limit])), tuple(sorted(sctp)), notes)


def _ranges(index: PolicyIndex) -> Iterator[tuple[str, int, int]]:
    """Every range of ports that some rule names; whole protocols have no ends to look at."""
    for policy in index.direction_policies:
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


def _stranger(ranges: list[tuple[str, int, int]], declared: set[int]) -> int:
    """A port in no range and declared by no pod; where ranges leave none, one that ends none."""
    ends = declared | {port for _, *both in ranges for port in both}
    free = (p for p in _STRANGERS if p not in ends)
    fallback = next(free)
    for port in _STRANGERS:
        if port not in ends and not any(low <= port <= high for _, low, high in ranges):
            return port
    return fallback
