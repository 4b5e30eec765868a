"""The ports that one direction of a pod permits, for all remote classes at once.

Rule: agrees with ``allowed_ports`` for every remote class (a law that tests hold it to).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pyroaring import BitMap, FrozenBitMap

from podfence.engine.porttable import EVERYTHING_ID, NOTHING_ID, PortTable
from podfence.policy.flow import Action
from podfence.policy.index import CompiledRule, CompiledTier, DirectionPolicy, PolicyIndex

Blocks = dict[int, BitMap]
"""A partition of classes by the number of the port set that they may use."""
State = tuple[int, int, int]
"""What became of all ports so far: accepted for good, still undecided, passed by this tier."""
K = TypeVar("K")


class Partitions:
    """The partitions of one index in one ``family``. ``table`` numbers the port sets; ``pods`` and
    ``outside``: the classes that have an address of the family, ``everyone``: both. ``among``: of
    these classes alone."""

    def __init__(
        self,
        index: PolicyIndex,
        family: int,
        table: PortTable,
        among: Iterable[int] | None = None,
    ) -> None:
        self.table = table
        self.family = family
        self.pods, self.outside = speakers(index, family, among)
        self.everyone = FrozenBitMap(self.pods | self.outside)
        self._rules: dict[int, list[tuple[int, FrozenBitMap]]] = {}

    def of(self, policy: DirectionPolicy) -> Blocks:
        """Every remote class by what it may use; classes that may use nothing are left out."""
        if is_union(policy):
            return self._union(policy.tiers[0])
        return self._in_order(policy)

    def reach(self, policy: DirectionPolicy) -> FrozenBitMap:
        """Every remote class that may use something."""
        return FrozenBitMap.union(FrozenBitMap(), *self.of(policy).values())

    def _union(self, tier: CompiledTier) -> Blocks:
        """The partition where order is of no matter: accepts alone, and all else denied (NP-7)."""
        by_ports: dict[int, BitMap] = {}
        for rule in tier.rules:
            for ports, classes in self.matches(rule):
                add_to(by_ports, ports, classes)
        blocks: Blocks = {}
        for ports, who in by_ports.items():
            who &= self.everyone
            for known, members in list(blocks.items()):
                if not who:
                    break
                if members.intersect(who):  # seldom, and cheaper to ask than to make a bitmap
                    both = members & who
                    who -= both
                    members -= both
                    add_to(blocks, self.table.union(known, ports), both)
            if who:
                add_to(blocks, ports, who)
        return {ports: who for ports, who in blocks.items() if who}

    def matches(self, rule: CompiledRule) -> list[tuple[int, FrozenBitMap]]:
        """The matches of a rule in this family: number of the ports, classes."""
        found = self._rules.get(rule.number)
        if found is None:
            found = self._rules[rule.number] = [
                (self.table.number(match.ports), who)
                for match in rule.matches
                if match.peers.family in (None, self.family)
                and (who := match.peers.among(self.everyone))  # ports are slow to hash
            ]
        return found

    def _in_order(self, policy: DirectionPolicy) -> Blocks:
        """The partition by any tiers: the first rule that fits decides."""
        table = self.table
        blocks: dict[State, BitMap] = {
            (NOTHING_ID, EVERYTHING_ID, NOTHING_ID): BitMap(self.everyone)
        }
        for tier in policy.tiers:
            for rule in tier.rules:
                for ports, classes in self.matches(rule):
                    blocks = self._split(blocks, rule.action, ports, classes)
            left: dict[State, BitMap] = {}
            for (accepted, undecided, passed), who in blocks.items():
                rest = NOTHING_ID if tier.default is Action.DENY else undecided
                add_to(left, (accepted, table.union(passed, rest), NOTHING_ID), who)
            blocks = left
        result: Blocks = {}
        for (accepted, undecided, _), who in blocks.items():
            ports = table.union(accepted, undecided)
            if ports != NOTHING_ID:
                add_to(result, ports, who)
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
                add_to(result, state, who)
                continue
            add_to(result, self._apply(state, action, ports), inside)
            if len(inside) < len(who):
                add_to(result, state, who - inside)
        return result

    def _apply(self, state: State, action: Action, ports: int) -> State:
        accepted, undecided, passed = state
        table = self.table
        hit = table.intersection(undecided, ports)
        if hit == NOTHING_ID:
            return state
        return (
            table.union(accepted, hit) if action is Action.ACCEPT else accepted,
            table.difference(undecided, hit),
            table.union(passed, hit) if action is Action.PASS else passed,
        )


class KeptPartitions(Partitions):
    """Partitions that are worked out once."""

    def __init__(
        self,
        index: PolicyIndex,
        family: int,
        table: PortTable,
        among: Iterable[int] | None = None,
    ) -> None:
        super().__init__(index, family, table, among)
        self.kept: dict[int, Blocks] = {}
        self._reaches: dict[int, tuple[Blocks, FrozenBitMap]] = {}

    def of(self, policy: DirectionPolicy) -> Blocks:
        """Blocks are never changed in place."""
        found = self.kept.get(policy.number)
        if found is None:
            found = self.kept[policy.number] = super().of(policy)
        return found

    def reach(self, policy: DirectionPolicy) -> FrozenBitMap:
        """Worked out once for the same blocks."""
        blocks = self.of(policy)
        known = self._reaches.get(policy.number)
        if known is None or known[0] is not blocks:
            known = self._reaches[policy.number] = blocks, super().reach(policy)
        return known[1]


def is_union(policy: DirectionPolicy) -> bool:
    """Whether order is of no matter: rules only accept, so what one of them allows is allowed."""
    return len(policy.tiers) == 1 and not policy.tiers[0].ordered


def add_to(blocks: dict[K, BitMap], key: K, members: BitMap | FrozenBitMap) -> None:
    """Join ``members`` to a block; the block never shares its bitmap with them."""
    known = blocks.get(key)
    if known is None:
        blocks[key] = BitMap(members)
    else:
        known |= members


def speakers(
    index: PolicyIndex, family: int, among: Iterable[int] | None = None
) -> tuple[BitMap, BitMap]:
    """Classes with an address of the family: pods, outside. ``among``: of these alone."""
    pods, outside = BitMap(), BitMap()
    for c in index.classes if among is None else map(index.classes.__getitem__, among):
        if c.outside is not None:
            if c.outside.family(family):
                outside.add(c.number)
        elif any(a.version == family for a in index.members[c.number][0].addresses):
            pods.add(c.number)
    return pods, outside
