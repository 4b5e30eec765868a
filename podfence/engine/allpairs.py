"""All pairs at once: who reaches whom, for whole bitmaps of classes.

Rule: work is done once for each pair of classes at most, never for each pair of pods. What comes
out agrees with ``connections`` for every pair (a law that tests hold it to).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from itertools import repeat
from typing import TypeVar

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.porttable import EVERYTHING_ID, NOTHING_ID, PortTable
from podfence.policy.flow import Action
from podfence.policy.index import CompiledRule, CompiledTier, DirectionPolicy, PolicyIndex
from podfence.sets import PortSet

Blocks = dict[int, BitMap]
"""A partition of classes by the number of the port set that they may use."""
_Sending = tuple[int, FrozenBitMap, FrozenBitMap]
"""Ports, destinations, sources: each of the sources may send to each of the destinations."""
_Senders = tuple[int, FrozenBitMap]
"""Ports, and the sources that may send to one destination on them."""
State = tuple[int, int, int]
"""What became of all ports so far: accepted for good, still undecided, passed by this tier."""
K = TypeVar("K")


class Reachability(Struct, frozen=True):
    """All pairs of classes in one family: for each destination class, who reaches it on what.

    ``rows[destination]`` maps a PortSet (never empty) to the bitmap of source classes; a source in
    no bitmap reaches nothing. Outside classes are sources and destinations too, but not of one
    another. ``speakers``: the classes that have an address of the family, each with a row.
    """

    family: int
    speakers: FrozenBitMap
    rows: Mapping[int, Mapping[PortSet, BitMap]]


def all_pairs(index: PolicyIndex, family: int) -> Reachability:
    """``connections`` of every pair in which at least one end is a pod."""
    return _AllPairs(index, family).run()


class _Admitted(Struct, frozen=True):
    """Whom an ingress policy admits on which ports: ``sure``, those whose own egress is not judged;
    ``asked``, those whose own policies have a say too."""

    sure: Blocks
    asked: Blocks


class _AllPairs:
    """The tables of one run. A bitmap that is changed in place is held by one dictionary alone."""

    def __init__(self, index: PolicyIndex, family: int) -> None:
        self._index = index
        self._family = family
        self._table = PortTable()
        self._pods, self._outside = _speakers(index, family)
        self._everyone = FrozenBitMap(self._pods | self._outside)
        self._ingress: dict[int, _Admitted] = {}
        self._rules: dict[int, list[tuple[int, FrozenBitMap]]] = {}
        self._free = BitMap(n for n in self._pods if not index.policies[n].egress.tiers)

    def run(self) -> Reachability:
        senders = _senders(self._egress())
        rows: dict[int, Mapping[PortSet, BitMap]] = {}
        for destination in self._everyone:
            blocks = self._row(destination, senders.pop(destination, []))
            rows[destination] = {self._table.sets[ports]: who for ports, who in blocks.items()}
        return Reachability(self._family, self._everyone, rows)

    def _egress(self) -> list[_Sending]:
        """What the egress policies permit, each pair of ports and destinations once."""
        judged: dict[int, BitMap] = defaultdict(BitMap)
        for source in self._pods - self._free:
            judged[self._index.policies[source].egress.number].add(source)
        found: dict[tuple[int, FrozenBitMap], BitMap] = {}
        for number, sources in judged.items():
            policy = self._index.direction_policies[number]
            for ports, destinations in self._partition(policy).items():
                _add(found, (ports, FrozenBitMap(destinations)), sources)
        return [(ports, to, FrozenBitMap(sources)) for (ports, to), sources in found.items()]

    def _row(self, destination: int, senders: Iterable[_Senders]) -> Blocks:
        if destination not in self._outside:
            return self._meet(self._admitted(destination), senders)
        blocks = {ports: BitMap(sources) for ports, sources in senders}
        if self._free:
            _add(blocks, EVERYTHING_ID, self._free)
        return blocks

    def _admitted(self, destination: int) -> _Admitted:
        policy = self._index.policies[destination].ingress
        found = self._ingress.get(policy.number)
        if found is None:
            blocks, unjudged = self._partition(policy), self._free | self._outside
            sure = {ports: both for ports, who in blocks.items() if (both := who & unjudged)}
            asked = {ports: rest for ports, who in blocks.items() if (rest := who - unjudged)}
            found = self._ingress[policy.number] = _Admitted(sure, asked)
        return found

    def _meet(self, admitted: _Admitted, senders: Iterable[_Senders]) -> Blocks:
        """What both ends permit."""
        result = {ports: BitMap(who) for ports, who in admitted.sure.items()}
        for in_ports, who in admitted.asked.items():
            for out_ports, sources in senders:
                if who.intersect(sources):
                    ports = self._table.intersection(in_ports, out_ports)
                    if ports != NOTHING_ID:
                        _add(result, ports, who & sources)
        return result

    def _partition(self, policy: DirectionPolicy) -> Blocks:
        """Every remote class by what it may use; classes that may use nothing are left out."""
        if len(policy.tiers) == 1 and not policy.tiers[0].ordered:
            return self._union(policy.tiers[0])
        return self._in_order(policy)

    def _union(self, tier: CompiledTier) -> Blocks:
        """The partition where order is of no matter: accepts alone, and all else denied (NP-7)."""
        by_ports: dict[int, BitMap] = {}
        for rule in tier.rules:
            for ports, classes in self._matches(rule):
                _add(by_ports, ports, classes)
        blocks: Blocks = {}
        for ports, who in by_ports.items():
            who &= self._everyone
            for known, members in list(blocks.items()):
                if not who:
                    break
                both = members & who
                if both:
                    who -= both
                    members -= both
                    _add(blocks, self._table.union(known, ports), both)
            if who:
                _add(blocks, ports, who)
        return {ports: who for ports, who in blocks.items() if who}

    def _matches(self, rule: CompiledRule) -> list[tuple[int, FrozenBitMap]]:
        """The matches of a rule in this family: number of the ports, classes."""
        found = self._rules.get(rule.number)
        if found is None:
            found = self._rules[rule.number] = [
                (self._table.number(match.ports), match.peers.among(self._everyone))
                for match in rule.matches
                if match.peers.family in (None, self._family)
            ]
        return found

    def _in_order(self, policy: DirectionPolicy) -> Blocks:
        """The partition by any tiers: the first rule that fits decides."""
        table = self._table
        blocks: dict[State, BitMap] = {
            (NOTHING_ID, EVERYTHING_ID, NOTHING_ID): BitMap(self._everyone)
        }
        for tier in policy.tiers:
            for rule in tier.rules:
                for ports, classes in self._matches(rule):
                    blocks = self._split(blocks, rule.action, ports, classes)
            left: dict[State, BitMap] = {}
            for (accepted, undecided, passed), who in blocks.items():
                rest = NOTHING_ID if tier.default is Action.DENY else undecided
                _add(left, (accepted, table.union(passed, rest), NOTHING_ID), who)
            blocks = left
        result: Blocks = {}
        for (accepted, undecided, _), who in blocks.items():
            ports = table.union(accepted, undecided)
            if ports != NOTHING_ID:
                _add(result, ports, who)
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
                _add(result, state, who)
                continue
            _add(result, self._apply(state, action, ports), inside)
            if len(inside) < len(who):
                _add(result, state, who - inside)
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


def _senders(egress: Iterable[_Sending]) -> dict[int, list[_Senders]]:
    """For each destination the egress-isolated classes that may send to it, by ports.

    Many destinations have the same senders on the same ports, so the sources are joined once for
    all destinations that the same sendings reach.
    """
    by_ports: dict[int, list[tuple[FrozenBitMap, FrozenBitMap]]] = defaultdict(list)
    for ports, permitted, sources in egress:
        by_ports[ports].append((permitted, sources))
    found: dict[int, list[_Senders]] = defaultdict(list)
    for ports, sendings in by_ports.items():
        reached_by: dict[int, list[int]] = defaultdict(list)
        for number, (permitted, _) in enumerate(sendings):
            # Millions of times on a large cluster, so the loop is left to map.
            _exhaust(map(list.append, map(reached_by.__getitem__, permitted), repeat(number)))
        joined: dict[tuple[int, ...], _Senders] = {}
        for destination, numbers in reached_by.items():
            key = tuple(numbers)
            if key not in joined:
                joined[key] = ports, FrozenBitMap.union(*(sendings[n][1] for n in numbers))
            found[destination].append(joined[key])
    return found


_exhaust = deque[None](maxlen=0).extend


def _add(blocks: dict[K, BitMap], key: K, members: BitMap | FrozenBitMap) -> None:
    """Join ``members`` to a block; the block never shares its bitmap with them."""
    known = blocks.get(key)
    if known is None:
        blocks[key] = BitMap(members)
    else:
        known |= members


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
