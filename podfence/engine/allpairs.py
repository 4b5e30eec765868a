"""All pairs at once: who reaches whom, for whole bitmaps of classes.

Rule: work is done once for each pair of classes at most, never for each pair of pods. What comes
out agrees with ``connections`` for every pair (a law that tests hold it to).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from itertools import repeat

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.partition import Blocks, Partitions, add_to
from podfence.engine.porttable import EVERYTHING_ID, NOTHING_ID, PortTable
from podfence.policy.index import PolicyIndex
from podfence.sets import PortSet

_Sending = tuple[int, FrozenBitMap, FrozenBitMap]
"""Ports, destinations, sources: each of the sources may send to each of the destinations."""
_Senders = tuple[int, FrozenBitMap]
"""Ports, and the sources that may send to one destination on them."""


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
        self._partitions = Partitions(index, family, self._table)
        self._pods, self._outside = self._partitions.pods, self._partitions.outside
        self._everyone = self._partitions.everyone
        self._ingress: dict[int, _Admitted] = {}
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
            for ports, destinations in self._partitions.of(policy).items():
                add_to(found, (ports, FrozenBitMap(destinations)), sources)
        return [(ports, to, FrozenBitMap(sources)) for (ports, to), sources in found.items()]

    def _row(self, destination: int, senders: Iterable[_Senders]) -> Blocks:
        if destination not in self._outside:
            return self._meet(self._admitted(destination), senders)
        blocks = {ports: BitMap(sources) for ports, sources in senders}
        if self._free:
            add_to(blocks, EVERYTHING_ID, self._free)
        return blocks

    def _admitted(self, destination: int) -> _Admitted:
        policy = self._index.policies[destination].ingress
        found = self._ingress.get(policy.number)
        if found is None:
            blocks, unjudged = self._partitions.of(policy), self._free | self._outside
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
                        add_to(result, ports, who & sources)
        return result


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
