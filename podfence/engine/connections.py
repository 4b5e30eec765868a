"""connections(index, ...) -> PortSet: evaluate for all ports at once, and for all pairs at once.

Rule: agrees with ``evaluate`` on every port (a law that tests hold it to). Work is done once for each pair of
classes, never for each pair of pods, and for whole bitmaps of classes wherever that is possible.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from pyroaring import BitMap, FrozenBitMap

from podfence.policy.flow import Action, Direction
from podfence.policy.index import DirectionPolicy, Match, PolicyIndex, Tier
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING, NOTHING


@dataclass(frozen=True, slots=True)
class _State:
    """What became of all ports so far: accepted for good, still to be decided, passed by this tier."""

    accepted: PortSet = NOTHING
    open: PortSet = EVERYTHING
    passed: PortSet = NOTHING


K = TypeVar("K")
_START = _State()
Blocks = dict[PortSet, BitMap]
"""A partition of classes by what they may reach."""


def allowed_ports(policy: DirectionPolicy, remote_class: int, family: int) -> PortSet:
    """Everything that one direction permits to or from a remote class."""
    state = _START
    for tier in policy.tiers:
        for action, match in _matches(tier):
            if match.peers.holds(remote_class, family):
                state = _apply(state, action, match.ports)
        state = _leave(state, tier.default)
    return state.accepted | state.open


def connections(index: PolicyIndex, source: int, destination: int, family: int) -> PortSet:
    """Everything that passes from an endpoint of one class to *another* endpoint of a class.

    ``source``/``destination`` are class numbers; outside classes are not judged at their end (NP-1).
    Two facts about single addresses are not in it: a pod reaches itself (NP-54), and a pod's own node
    reaches the pod (NP-52).
    """
    return end_ports(index, source, Direction.EGRESS, destination, family) & end_ports(
        index, destination, Direction.INGRESS, source, family
    )


def end_ports(
    index: PolicyIndex, subject: int, direction: Direction, remote: int, family: int
) -> PortSet:
    """What one end permits: everything for an outside class."""
    if index.classes[subject].outside is not None:
        return EVERYTHING
    return allowed_ports(index.policies[subject].of(direction), remote, family)


def partition(policy: DirectionPolicy, family: int, everyone: FrozenBitMap) -> Blocks:
    """``allowed_ports`` for all remote classes of ``everyone`` at once, grouped by the answer."""
    blocks: dict[_State, BitMap] = {_START: BitMap(everyone)}
    for tier in policy.tiers:
        for action, match in _matches(tier):
            if match.peers.family in (None, family):
                classes = everyone if match.peers.everyone else match.peers.classes
                blocks = _split(blocks, action, match.ports, classes)
        left: dict[_State, BitMap] = {}
        for state, members in blocks.items():
            _join(left, _leave(state, tier.default), members)
        blocks = left
    result: Blocks = {}
    for state, members in blocks.items():
        _join(result, state.accepted | state.open, members)
    return result


def _split(
    blocks: dict[_State, BitMap], action: Action, ports: PortSet, classes: FrozenBitMap
) -> dict[_State, BitMap]:
    """Blocks after one match: those of its classes move on, the others stay."""
    result: dict[_State, BitMap] = {}
    for state, members in blocks.items():
        inside = members & classes
        if not inside:
            _join(result, state, members)
            continue
        _join(result, _apply(state, action, ports), inside)
        if len(inside) < len(members):
            _join(result, state, members - inside)
    return result


def _join(blocks: dict[K, BitMap], key: K, members: BitMap) -> None:
    known = blocks.get(key)
    blocks[key] = members if known is None else known | members


def _matches(tier: Tier) -> Iterator[tuple[Action, Match]]:
    for rule in tier.rules:
        for match in rule.matches:
            yield rule.action, match


@lru_cache(maxsize=1 << 16)
def _apply(state: _State, action: Action, ports: PortSet) -> _State:
    hit = state.open & ports
    if not hit:
        return state
    return _State(
        state.accepted | hit if action is Action.ACCEPT else state.accepted,
        state.open - hit,
        state.passed | hit if action is Action.PASS else state.passed,
    )


@lru_cache(maxsize=1 << 16)
def _leave(state: _State, default: Action) -> _State:
    """At the end of a tier: what no rule named gets the default, what was passed goes on."""
    undecided = NOTHING if default is Action.DENY else state.open
    return _State(state.accepted, state.passed | undecided, NOTHING)


@dataclass(frozen=True, slots=True)
class Reachability:
    """All pairs of classes in one family: for each destination class, which classes reach it on what.

    ``rows[destination]`` maps a non-empty PortSet to the bitmap of source classes; a source in no bitmap
    reaches nothing. Outside classes are sources and destinations too, but not of one another.
    """

    family: int
    rows: Mapping[int, Blocks]


def all_pairs(index: PolicyIndex, family: int) -> Reachability:
    """``connections`` of every pair in which at least one end is a pod."""
    pods, outside = _speakers(index, family)
    everyone = FrozenBitMap(pods | outside)
    by_destination, free = _egress_by_destination(index, family, pods, everyone)
    sources_of_all = free | outside
    ingress: dict[int, Blocks] = {}
    rows: dict[int, Blocks] = {}
    for destination in everyone:
        egress = by_destination.get(destination, {})
        if destination in outside:
            blocks = dict(egress)
            _join_nonempty(blocks, EVERYTHING, free)
            rows[destination] = blocks
            continue
        policy = index.policies[destination].ingress
        judged = ingress.get(policy.number)
        if judged is None:
            judged = ingress[policy.number] = partition(policy, family, everyone)
        rows[destination] = _meet(judged, egress, sources_of_all)
    return Reachability(family, rows)


def _speakers(index: PolicyIndex, family: int) -> tuple[BitMap, BitMap]:
    """Classes with an address of the family: pods, outside."""
    pods, outside = BitMap(), BitMap()
    for c in index.classes:
        if c.outside is not None:
            if c.outside.family(family):
                outside.add(c.number)
        elif any(a.version == family for a in index.members[c.number][0].addresses):
            pods.add(c.number)
    return pods, outside


def _egress_by_destination(
    index: PolicyIndex, family: int, pods: BitMap, everyone: FrozenBitMap
) -> tuple[dict[int, Blocks], BitMap]:
    """For each destination, the egress-isolated classes that may send to it; and the free classes."""
    senders: dict[int, BitMap] = defaultdict(BitMap)
    for source in pods:
        senders[index.policies[source].egress.number].add(source)
    free = BitMap()
    found: dict[int, Blocks] = defaultdict(dict)
    for number, sources in senders.items():
        policy = index.direction_policies[number]
        if not policy.tiers:
            free |= sources
            continue
        for ports, destinations in partition(policy, family, everyone).items():
            if ports:
                for destination in destinations:
                    _join(found[destination], ports, sources)
    return found, free


def _meet(ingress: Blocks, egress: Blocks, unjudged: BitMap) -> Blocks:
    """What both ends permit; ``unjudged`` sources may send everything."""
    result: Blocks = {}
    for in_ports, admitted in ingress.items():
        if not in_ports:
            continue
        _join_nonempty(result, in_ports, admitted & unjudged)
        for out_ports, senders in egress.items():
            ports = _both(in_ports, out_ports)
            if ports:
                _join_nonempty(result, ports, admitted & senders)
    return result


def _join_nonempty(blocks: Blocks, ports: PortSet, members: BitMap) -> None:
    if members:
        _join(blocks, ports, members)


@lru_cache(maxsize=1 << 16)
def _both(a: PortSet, b: PortSet) -> PortSet:
    return a & b
