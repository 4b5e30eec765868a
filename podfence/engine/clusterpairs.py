"""ClusterPairs: all pairs of a cluster in one family, followed from state to state.

Rule: equal to ``all_pairs`` of the same index (a law that tests hold it to). Rows are made again
for destinations whose own policies have changed; of all other rows only the sources are put
elsewhere whose policies have changed, where that changes what they may send. A row that stays is
the same value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from pyroaring import BitMap, FrozenBitMap

from podfence.engine.allpairs import AllPairs, Egress, Reachability
from podfence.engine.partition import Blocks, KeptPartitions, Partitions, add_to
from podfence.engine.porttable import EVERYTHING_ID, NOTHING_ID, PortTable
from podfence.policy.flow import Direction
from podfence.policy.index import DirectionPolicy, PolicyIndex
from podfence.sets import PortSet

if TYPE_CHECKING:
    from podfence.live.clusterindex import Affected

_SPARE = 4
"""Partitions of policies that nobody has any more go when there are so many for each class."""


class ClusterPairs:
    """All pairs of one state. ``changed``: destinations whose row is not that of the state before,
    or that had none."""

    def __init__(
        self,
        index: PolicyIndex,
        partitions: _FollowedPartitions,
        egress: Egress,
        rows: dict[int, Blocks],
        changed: FrozenBitMap,
    ) -> None:
        self._index = index
        self._partitions = partitions
        self._egress = egress
        self._rows = rows
        self.changed = changed

    @classmethod
    def of(cls, index: PolicyIndex, family: int) -> ClusterPairs:
        """All pairs, worked out from nothing."""
        partitions = _FollowedPartitions(index, family, PortTable())
        egress = Egress.of(index, partitions.pods)
        rows = dict(AllPairs(index, partitions, egress).rows(partitions.everyone))
        return cls(index, partitions, egress, rows, partitions.everyone)

    @cached_property
    def reachability(self) -> Reachability:
        """The pairs as ``all_pairs`` gives them; port sets are written out when a row is read."""
        partitions = self._partitions
        rows = _RowsByPorts(self._rows, partitions.table)
        return Reachability(partitions.family, partitions.everyone, rows)

    @property
    def partitions(self) -> Partitions:
        """What each direction permits, with the table that numbers the ports."""
        return self._partitions

    def prepare(self) -> None:
        """Work out now what the first step would have to wait for."""
        for policy, _ in self._egress.judged.values():
            self._partitions.reach(policy)

    def row(self, destination: int) -> Blocks:
        """The sources of a destination, by number of the ports."""
        return self._rows[destination]

    def after(self, index: PolicyIndex, affected: Affected) -> ClusterPairs:
        """The pairs of the state that an event led to."""
        patch = _Patch(self._index, self._partitions, self._egress, self._rows, index, affected)
        return patch.run()


class _RowsByPorts(Mapping[int, Mapping[PortSet, BitMap]]):
    """Rows by number of ports as rows by ports."""

    def __init__(self, rows: Mapping[int, Blocks], table: PortTable) -> None:
        self._blocks = rows
        self._table = table

    def __getitem__(self, destination: int) -> Mapping[PortSet, BitMap]:
        return {self._table.sets[n]: who for n, who in self._blocks[destination].items()}

    def __iter__(self) -> Iterator[int]:
        return iter(self._blocks)

    def __len__(self) -> int:
        return len(self._blocks)


class _FollowedPartitions(KeptPartitions):
    """Partitions that are worked out once, and followed from state to state."""

    def after(self, index: PolicyIndex, touched: FrozenBitMap) -> _FollowedPartitions:
        """Those of the next state, of which nothing is worked out yet."""
        new = _FollowedPartitions(index, self.family, self.table, touched)
        new.pods |= self.pods - touched
        new.outside |= self.outside - touched
        new.everyone = FrozenBitMap(new.pods | new.outside)
        new._reaches = {n: found for n, found in self._reaches.items() if n in self.kept}
        return new


class _Patch:
    """One step."""

    def __init__(
        self,
        before: PolicyIndex,
        known: _FollowedPartitions,
        egress: Egress,
        rows: Mapping[int, Blocks],
        index: PolicyIndex,
        affected: Affected,
    ) -> None:
        self._before = before
        self._known = known
        self._old_rows = rows
        self._index = index
        self._affected = affected
        self._table = known.table
        self._partitions = known.after(index, affected.classes)
        pairs = zip(before.policies, index.policies, strict=False)
        others = BitMap(n for n, (old, new) in enumerate(pairs) if old is not new)
        self._others = FrozenBitMap(others | affected.classes)
        """Classes whose policies are others, if only by their number."""
        pods = FrozenBitMap(self._others & self._partitions.pods)
        self._egress = egress.after(before, index, self._others, pods)
        self._partitions.kept.update(self._carried())

    def run(self) -> ClusterPairs:
        partitions, affected = self._partitions, self._affected
        everyone = partitions.everyone
        rows = dict(self._old_rows)
        for number in affected.classes:
            rows.pop(number, None)
        fresh = (self._moved(Direction.INGRESS) | affected.classes) & everyone
        changed = BitMap(fresh)
        if fresh:
            found = AllPairs(self._index, partitions, self._egress)
            rows.update(found.rows(FrozenBitMap(fresh)))
        sources = self._moved(Direction.EGRESS) | affected.classes
        for destination, added in self._sent(sources, everyone - fresh):
            blocks = _moved(rows[destination], sources, added)
            if blocks != rows[destination]:
                rows[destination] = blocks
                changed.add(destination)
        return ClusterPairs(self._index, partitions, self._egress, rows, FrozenBitMap(changed))

    # -- what is known of before

    def _carried(self) -> dict[int, Blocks]:
        """The partitions of before that still hold: of policies that are the same, and, corrected
        by the classes that are others, of those that are the same but for these."""
        known, touched = self._known.kept, self._affected.classes
        policies: dict[int, tuple[DirectionPolicy, int]] = {}
        if touched:
            numbers: Iterable[int] = self._partitions.everyone - touched
        else:
            numbers = self._others
        for number in numbers:
            for direction in Direction:
                policy = self._index.policies[number].of(direction)
                old = self._before.policies[number].of(direction)
                if policy is old or number not in self._of(direction):
                    policies[policy.number] = policy, old.number
        if touched:
            fresh = Partitions(self._index, self._known.family, self._table, touched)
            return {
                number: _corrected(known[old], touched, fresh, policy)
                for number, (policy, old) in policies.items()
                if old in known
            }
        carried = {n: known[old] for n, (_, old) in policies.items() if old in known}
        every = known | carried
        if len(every) > _SPARE * len(self._index.policies):
            used = self._index.direction_policies
            every = {number: blocks for number, blocks in every.items() if number in used}
        return every

    def _of(self, direction: Direction) -> FrozenBitMap:
        return self._affected.ingress if direction is Direction.INGRESS else self._affected.egress

    def _moved(self, direction: Direction) -> FrozenBitMap:
        """Classes whose own policies permit something else than before in one direction."""
        touched = self._affected.classes
        return FrozenBitMap(
            number
            for number in self._of(direction) - touched
            if self._partitions.of(self._index.policies[number].of(direction))
            != self._partition_before(number, direction)
        )

    def _partition_before(self, number: int, direction: Direction) -> Blocks:
        return self._known.of(self._before.policies[number].of(direction))

    # -- columns

    def _sent(
        self, sources: FrozenBitMap, destinations: FrozenBitMap
    ) -> Iterator[tuple[int, list[tuple[int, BitMap | FrozenBitMap]]]]:
        """What each destination now gets from the sources, where that may be something else than
        before."""
        if not sources:
            return
        destinations &= self._reached(sources)
        groups = self._groups(sources & self._partitions.pods)
        outside = sources & self._partitions.outside
        for ends, admitted in self._receivers(destinations):
            added: dict[int, list[tuple[int, BitMap | FrozenBitMap]]] = {
                number: [] for number in ends
            }
            for in_ports, who in admitted:
                for members, blocks in groups:
                    if both := members & who:
                        for out_ports, to in blocks.items():
                            ports = self._table.intersection(in_ports, out_ports)
                            if ports != NOTHING_ID:
                                for number in to & ends:
                                    added[number].append((ports, both))
                if strangers := outside & who:
                    for number in ends:
                        added[number].append((in_ports, strangers))
            yield from added.items()

    def _reached(self, sources: FrozenBitMap) -> FrozenBitMap:
        """Destinations to which one of the sources may send something else than before."""
        everyone = self._partitions.everyone
        if not sources.isdisjoint(self._affected.classes):
            return everyone
        found = BitMap()
        for numbers in {self._pair(number) for number in sources}:
            old, new = (self._known.kept[numbers[0]], self._partitions.kept[numbers[1]])
            same = BitMap().union(*(old[p] & new[p] for p in old.keys() & new.keys()))
            said = BitMap().union(*old.values(), *new.values())
            found |= said - same
        return everyone & found

    def _pair(self, source: int) -> tuple[int, int]:
        """The egress policies of a class, before and now."""
        policies = (self._before.policies[source].egress, self._index.policies[source].egress)
        self._known.of(policies[0])
        self._partitions.of(policies[1])
        return policies[0].number, policies[1].number

    def _groups(self, sources: FrozenBitMap) -> list[tuple[BitMap, Blocks]]:
        """Sources of the same egress policy, with what it permits."""
        found: dict[int, tuple[BitMap, Blocks]] = {}
        for number in sources:
            policy = self._index.policies[number].egress
            if policy.number not in found:
                found[policy.number] = BitMap(), self._partitions.of(policy)
            found[policy.number][0].add(number)
        return list(found.values())

    def _receivers(
        self, destinations: FrozenBitMap
    ) -> Iterator[tuple[FrozenBitMap, list[tuple[int, BitMap]]]]:
        """Destinations of the same ingress policy, with whom it admits. Nobody judges what comes in
        outside, and only pods send there."""
        outside = destinations & self._partitions.outside
        if outside:
            yield FrozenBitMap(outside), [(EVERYTHING_ID, self._partitions.pods)]
        found: dict[int, tuple[DirectionPolicy, BitMap]] = {}
        for number in destinations - outside:
            policy = self._index.policies[number].ingress
            known = found.get(policy.number)
            if known is None:
                known = found[policy.number] = policy, BitMap()
            known[1].add(number)
        for policy, ends in found.values():
            yield FrozenBitMap(ends), list(self._partitions.of(policy).items())


def _corrected(
    blocks: Blocks, touched: FrozenBitMap, fresh: Partitions, policy: DirectionPolicy
) -> Blocks:
    """A partition with the touched classes where they belong now."""
    result = _without(blocks, touched)
    for ports, who in fresh.of(policy).items():
        add_to(result, ports, who)
    return result


def _moved(
    row: Blocks, sources: FrozenBitMap, added: Iterable[tuple[int, BitMap | FrozenBitMap]]
) -> Blocks:
    """A row with some sources where they belong now. It shares all other blocks with the row: of
    the many blocks of a row few hold one of the sources."""
    result = dict(row)
    for ports, who in row.items():
        if who.intersect(sources):
            if rest := who - sources:
                result[ports] = rest
            else:
                del result[ports]
    for ports, members in added:
        result[ports] = BitMap(members) | result[ports] if ports in result else BitMap(members)
    return result


def _without(blocks: Blocks, members: FrozenBitMap) -> Blocks:
    """Without these members, and so that other blocks may be changed in place."""
    found = ((ports, who - members) for ports, who in blocks.items())
    return {ports: who for ports, who in found if who}
