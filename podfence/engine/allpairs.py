"""All pairs at once: who reaches whom, for whole bitmaps of classes.

Rule: work is done once for each pair of classes at most, never for each pair of pods. What comes
out agrees with ``connections`` for every pair (a law that tests hold it to).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pyroaring import BitMap, FrozenBitMap

from podfence.engine.porttable import EVERYTHING_ID, NOTHING_ID, PortTable
from podfence.policy.flow import Action
from podfence.policy.index import DirectionPolicy, PolicyIndex
from podfence.sets import PortSet

Blocks = dict[int, BitMap]
"""A partition of classes by the number of the port set that they may use."""
State = tuple[int, int, int]
"""What became of all ports so far: accepted for good, still undecided, passed by this tier."""
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Reachability:
    """All pairs of classes in one family: for each destination class, who reaches it on what.

    ``rows[destination]`` maps a PortSet (never empty) to the bitmap of source classes; a source in
    no bitmap reaches nothing. Outside classes are sources and destinations too, but not of one
    another.
    """

    family: int
    rows: Mapping[int, Mapping[PortSet, BitMap]]


def all_pairs(index: PolicyIndex, family: int) -> Reachability:
    """``connections`` of every pair in which at least one end is a pod."""
    return _AllPairs(index, family).run()


class _AllPairs:
    """The tables of one run."""

    def __init__(self, index: PolicyIndex, family: int) -> None:
        self._index = index
        self._family = family
        self._table = PortTable()
        self._pods, self._outside = _speakers(index, family)
        self._everyone = FrozenBitMap(self._pods | self._outside)
        self._ingress: dict[int, Blocks] = {}

    def run(self) -> Reachability:
        egress, free = self._egress()
        unjudged = free | self._outside
        rows = {}
        for destination in self._everyone:
            senders = egress.get(destination, {})
            if destination in self._outside:
                blocks = dict(senders)
                if free:
                    _join(blocks, EVERYTHING_ID, free)
            else:
                blocks = self._meet(self._admitted(destination), senders, unjudged)
            rows[destination] = {self._table.sets[ports]: who for ports, who in blocks.items()}
        return Reachability(self._family, rows)

    def _admitted(self, destination: int) -> Blocks:
        policy = self._index.policies[destination].ingress
        found = self._ingress.get(policy.number)
        if found is None:
            found = self._ingress[policy.number] = self._partition(policy)
        return found

    def _egress(self) -> tuple[dict[int, Blocks], BitMap]:
        """For each destination the egress-isolated classes that may send to it, and the free
        classes."""
        senders: dict[int, BitMap] = defaultdict(BitMap)
        for source in self._pods:
            senders[self._index.policies[source].egress.number].add(source)
        free = BitMap()
        found: dict[int, Blocks] = defaultdict(dict)
        for number, sources in senders.items():
            policy = self._index.direction_policies[number]
            if not policy.tiers:
                free |= sources
                continue
            for ports, destinations in self._partition(policy).items():
                for destination in destinations:
                    _join(found[destination], ports, sources)
        return found, free

    def _meet(self, admitted: Blocks, senders: Blocks, unjudged: BitMap) -> Blocks:
        """What both ends permit; ``unjudged`` sources may send everything."""
        result: Blocks = {}
        for in_ports, who in admitted.items():
            both = who & unjudged
            if both:
                _join(result, in_ports, both)
            for out_ports, sources in senders.items():
                if who.intersect(sources):
                    ports = self._table.intersection(in_ports, out_ports)
                    if ports != NOTHING_ID:
                        _join(result, ports, who & sources)
        return result

    def _partition(self, policy: DirectionPolicy) -> Blocks:
        """Every remote class by what it may use; classes that may use nothing are left out."""
        table = self._table
        blocks: dict[State, BitMap] = {
            (NOTHING_ID, EVERYTHING_ID, NOTHING_ID): BitMap(self._everyone)
        }
        for tier in policy.tiers:
            for rule in tier.rules:
                for match in rule.matches:
                    peers = match.peers
                    if peers.family is None or peers.family == self._family:
                        classes = self._everyone if peers.everyone else peers.classes
                        ports = table.number(match.ports)
                        blocks = self._split(blocks, rule.action, ports, classes)
            left: dict[State, BitMap] = {}
            for (accepted, undecided, passed), who in blocks.items():
                rest = NOTHING_ID if tier.default is Action.DENY else undecided
                _join(left, (accepted, table.union(passed, rest), NOTHING_ID), who)
            blocks = left
        result: Blocks = {}
        for (accepted, undecided, _), who in blocks.items():
            ports = table.union(accepted, undecided)
            if ports != NOTHING_ID:
                _join(result, ports, who)
        return result

    def _split(
        self,
        blocks: dict[State, BitMap],
        action: Action,
        ports: int,
        classes: FrozenBitMap,
    ) -> dict[State, BitMap]:
        """Blocks after one match: those of its classes move on, the others stay."""
        result: dict[State, BitMap] = {}
        for state, who in blocks.items():
            inside = who & classes
            if not inside:
                _join(result, state, who)
                continue
            _join(result, self._apply(state, action, ports), inside)
            if len(inside) < len(who):
                _join(result, state, who - inside)
        return result

    def _apply(self, state: State, action: Action, ports: int) -> State:
        accepted, undecided, passed = state
        table = self._table
        hit = table.intersection(undecided, ports)
        if hit == NOTHING_ID:
            return state
        return (
            table.union(accepted, hit) if action is Action.ACCEPT else accepted,
            table.difference(undecided, hit),
            table.union(passed, hit) if action is Action.PASS else passed,
        )


def _join(blocks: dict[K, BitMap], key: K, members: BitMap) -> None:
    known = blocks.get(key)
    blocks[key] = members if known is None else known | members


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
