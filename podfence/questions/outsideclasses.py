"""Outside classes that a map can merge: their rows to and from every pod of the map are equal.

Rule: exact. Classes are distinguished by the engine's results, not by their ipBlocks, so a list of
a thousand blocks with one verdict is one group. Both IP families may share a group: then every pod
of the map reaches, and is reached by, both of them on the same ports.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pyroaring import BitMap, FrozenBitMap

from podfence.engine.allpairs import Reachability
from podfence.policy.index import PolicyIndex


def equal_outside(
    index: PolicyIndex, maps: Sequence[Reachability], pods: FrozenBitMap
) -> tuple[tuple[int, ...], ...]:
    """The outside classes of ``maps`` (one for each family), grouped by equal rows.

    ``pods``: the pod classes whose rows count. Ordered by address, IPv4 first, whatever the numbers
    of the classes.
    """
    spoken = FrozenBitMap().union(*(m.speakers for m in maps))
    outside = FrozenBitMap(c.number for c in index.classes if c.outside is not None) & spoken
    lookup = index.outside_lookup.numbers
    ranked = [n for n in dict.fromkeys((*lookup[4], *lookup[6])) if n in outside]
    parts = _Partition(ranked)
    by_row: dict[frozenset[tuple[object, FrozenBitMap]], list[int]] = defaultdict(list)
    for number in outside:
        by_row[_received(maps, number, pods)].append(number)
    for numbers in by_row.values():
        parts.split(FrozenBitMap(numbers))
    for senders in set(_senders(index, maps, pods, outside)):
        parts.split(senders)
    return parts.parts()


def _received(
    maps: Sequence[Reachability], number: int, pods: FrozenBitMap
) -> frozenset[tuple[object, FrozenBitMap]]:
    """Which pods reach an outside class, by ports. It has addresses of one family only."""
    [row] = [m.rows[number] for m in maps if number in m.rows]
    found = ((ports, FrozenBitMap(who & pods)) for ports, who in row.items())
    return frozenset((ports, who) for ports, who in found if who)


def _senders(
    index: PolicyIndex, maps: Sequence[Reachability], pods: FrozenBitMap, outside: FrozenBitMap
) -> Iterator[FrozenBitMap]:
    """Sets of outside classes that reach some pod on the same ports.

    No policy judges the egress of an outside address (NP-1), so pods with one ingress policy and
    the same families have the same sets.
    """
    seen: set[tuple[int, ...]] = set()
    for pod in pods:
        speaking = [m for m in maps if pod in m.speakers]
        key = index.policies[pod].ingress.number, *(m.family for m in speaking)
        if key in seen:
            continue
        seen.add(key)
        by_ports: dict[object, BitMap] = defaultdict(BitMap)
        for m in speaking:
            for ports, who in m.rows[pod].items():
                by_ports[ports] |= who & outside
        yield from map(FrozenBitMap, by_ports.values())


class _Partition:
    """Numbers in parts, which are split until no set that was given cuts one."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = FrozenBitMap(numbers)
        self._part_of = dict.fromkeys(numbers, 0)
        self._sizes = [len(numbers)]

    def split(self, members: FrozenBitMap) -> None:
        """Part ``members`` from all others. A set and its complement split alike, so the smaller
        one is walked."""
        rest = self._numbers - members
        touched: dict[int, list[int]] = defaultdict(list)
        for number in min(members, rest, key=len):
            touched[self._part_of[number]].append(number)
        for part, found in touched.items():
            if len(found) < self._sizes[part]:
                self._part_of |= dict.fromkeys(found, len(self._sizes))
                self._sizes[part] -= len(found)
                self._sizes.append(len(found))

    def parts(self) -> tuple[tuple[int, ...], ...]:
        """All parts, in the order in which their first numbers were given."""
        found: dict[int, list[int]] = defaultdict(list)
        for number, part in self._part_of.items():
            found[part].append(number)
        return tuple(map(tuple, found.values()))
