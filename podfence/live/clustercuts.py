"""What cuts classes, counted by use: keys of labels that selectors ask for, and address blocks.

Rule: a block keeps its number as long as a policy names it, so that signatures of addresses mean
the same before and after an event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import count
from types import MappingProxyType
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from podfence.model.networkpolicy import IPBlock
from podfence.policy.addressblocks import Block, Segments, Signature, ip_block, segments_of
from podfence.policy.classes import RelevantLabels
from podfence.sets import IntervalSet
from podfence.sets.addresses import IPAddress

K = TypeVar("K", str, Block)
FAMILIES = (4, 6)

read_ip_block = lru_cache(maxsize=1 << 14)(ip_block)
"""The block that an ipBlock means; large clusters name the same ones again and again."""


class NeededCuts(Struct, frozen=True):
    """The cuts that one policy, or several, need."""

    keys: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()


class Cuts(Struct, frozen=True, eq=False):
    """``keys`` and ``users``: how often each key and each block is needed. ``spans``: for each
    family and signature, all addresses that have it."""

    asked: RelevantLabels
    keys: Mapping[str, int]
    users: Mapping[Block, int]
    numbers: Mapping[Block, int]
    segments: Mapping[int, Segments]
    spans: Mapping[tuple[int, Signature], IntervalSet]

    @classmethod
    def none(cls) -> Cuts:
        """No policy wants anything: both address lines are whole."""
        nothing: Mapping[Block, int] = MappingProxyType({})
        return _cut(
            cls(RelevantLabels(()), MappingProxyType({}), nothing, nothing, {}, {}), nothing
        )

    def after(self, gone: Iterable[NeededCuts], wanted: Iterable[NeededCuts]) -> Cuts:
        """Some policies want something else now. What does not change is the very same value."""
        gone, wanted = tuple(gone), tuple(wanted)
        keys = _counted(self.keys, (w.keys for w in gone), (w.keys for w in wanted))
        users = _counted(self.users, (w.blocks for w in gone), (w.blocks for w in wanted))
        asked = self.asked if keys.keys() == self.asked.keys else RelevantLabels(keys)
        new = replace(self, asked=asked, keys=keys, users=users)
        return new if users.keys() == self.numbers.keys() else _cut(new, users)

    def signature(self, address: IPAddress) -> Signature:
        """The numbers of the blocks that hold an address."""
        return self.segments[address.version].signature(int(address))

    def block_of(self, block: IPBlock) -> Block:
        """What an ipBlock means."""
        return read_ip_block(block)


def _counted(
    old: Mapping[K, int], gone: Iterable[Iterable[K]], wanted: Iterable[Iterable[K]]
) -> Mapping[K, int]:
    more: Counter[K] = Counter()
    for each in wanted:
        more.update(each)
    for each in gone:
        more.subtract(each)
    new = dict(old)
    for key, change in more.items():
        if new.get(key, 0) + change:
            new[key] = new.get(key, 0) + change
        else:
            new.pop(key, None)
    return new


def _cut(cuts: Cuts, users: Mapping[Block, int]) -> Cuts:
    """Both address lines, cut again. Numbers of blocks that are gone stay free for now: a signature
    of before must not mean something else."""
    taken = set(cuts.numbers.values())
    free = (number for number in count() if number not in taken)
    numbers = {
        block: cuts.numbers[block] if block in cuts.numbers else next(free) for block in users
    }
    segments = {
        family: segments_of(
            family, ((n, block.addresses.family(family)) for block, n in numbers.items())
        )
        for family in FAMILIES
    }
    spans = {
        (family, signature): members
        for family, found in segments.items()
        for signature, members in found.by_signature(family)
    }
    return replace(cuts, numbers=numbers, segments=segments, spans=spans)
