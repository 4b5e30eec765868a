"""All pairs at once: who reaches whom, for whole bitmaps of classes.

Rule: work is done once for each pair of classes at most, never for each pair of pods. The result
agrees with ``connections`` for every pair (a law that tests hold it to).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.partition import Blocks, Partitions, add_to
from podfence.engine.porttable import EVERYTHING_ID, NOTHING_ID, PortTable
from podfence.policy.index import DirectionPolicy, PolicyIndex
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
    partitions = Partitions(index, family, PortTable.of(index))
    found = AllPairs(index, partitions, Egress.of(index, partitions.pods))
    everyone = partitions.everyone
    sets = partitions.table.sets
    rows = {
        destination: {sets[ports]: who for ports, who in blocks.items()}
        for destination, blocks in found.rows(everyone)
    }
    return Reachability(family, everyone, rows)


class Egress(Struct, frozen=True):
    """Sources by the egress policies that judge them. ``free``: none do. ``judged``: those of each
    egress policy, by its number."""

    free: FrozenBitMap
    judged: Mapping[int, tuple[DirectionPolicy, FrozenBitMap]]

    @classmethod
    def of(cls, index: PolicyIndex, pods: Iterable[int]) -> Egress:
        """Of these classes of pods."""
        free, judged = BitMap(), dict[int, tuple[DirectionPolicy, BitMap]]()
        for number in pods:
            policy = index.policies[number].egress
            if not policy.tiers:
                free.add(number)
            elif policy.number in judged:
                judged[policy.number][1].add(number)
            else:
                judged[policy.number] = policy, BitMap((number,))
        frozen = {n: (policy, FrozenBitMap(who)) for n, (policy, who) in judged.items()}
        return cls(FrozenBitMap(free), frozen)

    def after(
        self, before: PolicyIndex, index: PolicyIndex, moved: FrozenBitMap, pods: FrozenBitMap
    ) -> Egress:
        """The same of another index, which has other policies for the classes ``moved``, of which
        ``pods`` are pods now."""
        left = {before.policies[n].egress.number for n in moved if n < len(before.policies)}
        judged = dict(self.judged)
        for number in left & self.judged.keys():
            policy, who = judged.pop(number)
            if rest := who - moved:
                judged[number] = policy, rest
        come = Egress.of(index, pods)
        for number, (policy, who) in come.judged.items():
            judged[number] = policy, who | judged[number][1] if number in judged else who
        return Egress((self.free - moved) | come.free, judged)


class _Admitted(Struct, frozen=True):
    """Whom an ingress policy admits on which ports: ``sure``, those whose own egress is not judged;
    ``asked``, those whose own policies have a say too, ``all_asked`` together."""

    sure: Blocks
    asked: Blocks
    all_asked: FrozenBitMap


class AllPairs:
    """The tables of one run. A bitmap that is changed in place is held by one dictionary alone."""

    def __init__(self, index: PolicyIndex, partitions: Partitions, egress: Egress) -> None:
        self._index = index
        self._partitions = partitions
        self._table = partitions.table
        self._ingress: dict[int, _Admitted] = {}
        self._free, self._judged = egress.free, egress.judged

    def rows(self, destinations: FrozenBitMap) -> Iterator[tuple[int, Blocks]]:
        """These destinations, each with its sources by the number of the ports."""
        whole = destinations == self._partitions.everyone
        senders = _senders(self._egress() if whole else self._egress_to(destinations))
        for destination in destinations:
            yield destination, self._row(destination, senders.pop(destination, []))

    def _egress(self) -> list[_Sending]:
        """What the egress policies permit, each pair of ports and destinations once."""
        found: dict[tuple[int, FrozenBitMap], BitMap] = {}
        for policy, sources in self._judged.values():
            for ports, permitted in self._partitions.of(policy).items():
                add_to(found, (ports, FrozenBitMap(permitted)), sources)
        return [(ports, to, FrozenBitMap(sources)) for (ports, to), sources in found.items()]

    def _egress_to(self, among: FrozenBitMap) -> list[_Sending]:
        """The same to these destinations alone, and of those alone that they admit."""
        asked = self._asked(among)
        found: dict[tuple[int, FrozenBitMap], BitMap] = {}
        for policy, sources in self._judged.values():
            if not sources.intersect(asked) or not self._partitions.reach(policy).intersect(among):
                continue
            for ports, permitted in self._partitions.of(policy).items():
                if permitted.intersect(among):
                    add_to(found, (ports, FrozenBitMap(permitted & among)), sources)
        return [(ports, to, FrozenBitMap(sources)) for (ports, to), sources in found.items()]

    def _asked(self, destinations: FrozenBitMap) -> FrozenBitMap:
        """Whose own egress has a say about connections to these."""
        if destinations.intersect(self._partitions.outside):
            return self._partitions.everyone
        admitted = (self._admitted(each).all_asked for each in destinations)
        return FrozenBitMap.union(FrozenBitMap(), *admitted)

    def _row(self, destination: int, senders: Iterable[_Senders]) -> Blocks:
        if destination not in self._partitions.outside:
            return self._meet(self._admitted(destination), senders)
        blocks = {ports: BitMap(sources) for ports, sources in senders}
        if self._free:
            add_to(blocks, EVERYTHING_ID, self._free)
        return blocks

    def _admitted(self, destination: int) -> _Admitted:
        policy = self._index.policies[destination].ingress
        found = self._ingress.get(policy.number)
        if found is None:
            blocks, unjudged = self._partitions.of(policy), self._free | self._partitions.outside
            sure = {ports: both for ports, who in blocks.items() if (both := who & unjudged)}
            asked = {ports: rest for ports, who in blocks.items() if (rest := who - unjudged)}
            found = self._ingress[policy.number] = _Admitted(
                sure, asked, FrozenBitMap.union(FrozenBitMap(), *asked.values())
            )
        return found

    def _meet(self, admitted: _Admitted, senders: Iterable[_Senders]) -> Blocks:
        """What both ends permit."""
        result = {ports: BitMap(who) for ports, who in admitted.sure.items()}
        # Most pairs of blocks have nothing in common, so those that meet none are left out first.
        asking = [each for each in senders if each[1].intersect(admitted.all_asked)]
        senders_of_all = FrozenBitMap.union(FrozenBitMap(), *(sources for _, sources in asking))
        for in_ports, who in admitted.asked.items():
            if not who.intersect(senders_of_all):
                continue
            known = self._table.intersections(in_ports)
            for out_ports, sources in asking:
                if who.intersect(sources):
                    ports = known.get(out_ports)  # nearly always there: half a million times
                    if ports is None:
                        ports = self._table.intersection(in_ports, out_ports)
                    if ports != NOTHING_ID:
                        both, block = who & sources, result.get(ports)
                        if block is None:
                            result[ports] = both  # made here, so nobody else has it
                        else:
                            block |= both
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
