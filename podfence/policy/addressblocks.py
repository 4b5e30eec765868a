"""Sets of addresses that policies name -> the few kinds of addresses that they can tell apart.

Rule: addresses are cut at every boundary of every ipBlock; two addresses with the same *signature*
(the set of blocks that hold them) are the same to every policy (NP-24..NP-29). ``except`` is gone
after this.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import lru_cache

from msgspec import Struct, field
from pyroaring import BitMap, FrozenBitMap

from podfence.model.networkpolicy import IPBlock
from podfence.policy.index import AddressPeers
from podfence.sets import AddressSet, IntervalSet
from podfence.sets.addresses import V4_MAX, V6_MAX, IPAddress

Signature = FrozenBitMap
"""Numbers of the blocks that hold an address."""

_LAST = {4: V4_MAX, 6: V6_MAX}
_OTHER = {4: 6, 6: 4}


class Block(Struct, frozen=True):
    """Addresses of one family that a policy names; the fields are those of ``AddressPeers``."""

    key: str
    family: int
    addresses: AddressSet
    volatile: bool = False
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for addresses of another family, and for a family that is none."""
        if self.family not in _OTHER or self.addresses.family(_OTHER[self.family]):
            raise ValueError(f"family {self.family} has no such addresses")


@lru_cache(maxsize=1 << 14)
def ip_block(block: IPBlock) -> Block:
    """``cidr`` without ``except`` (NP-24); an except of the other family cuts nothing."""
    return Block(
        f"block {block.cidr} except {sorted(map(str, block.except_))}",
        block.cidr.version,
        AddressSet.of([block.cidr]) - AddressSet.of(block.except_),
    )


def by_family(key: str, addresses: AddressSet) -> Iterator[Block]:
    """A set of addresses of any family as blocks; a family without members is left out. Each
    has a key of its own, since equal keys mean equal peers."""
    if addresses.v4:
        yield Block(f"{key} of IPv4", 4, AddressSet(v4=addresses.v4))
    if addresses.v6:
        yield Block(f"{key} of IPv6", 6, AddressSet(v6=addresses.v6))


def volatile(
    key: str, addresses: Iterable[IPAddress], names: tuple[str, ...] = ()
) -> Iterator[Block]:
    """Single addresses that come and go under one key (domain names, nodes), as a block for either
    family. A family without members has its block, too: it may get some later."""
    found = AddressSet.of(addresses)
    yield Block(f"{key} of IPv4", 4, AddressSet(v4=found.v4), True, names)
    yield Block(f"{key} of IPv6", 6, AddressSet(v6=found.v6), True, names)


class Segments(Struct):
    """One family's address line, cut into segments of equal signature, from 0 to the last
    address."""

    starts: tuple[int, ...]
    signatures: tuple[Signature, ...]

    def signature(self, address: int) -> Signature:
        """Signature of one address, given as an integer."""
        return self.signatures[bisect_right(self.starts, address) - 1]

    def by_signature(self, family: int) -> Iterator[tuple[Signature, IntervalSet]]:
        """Each distinct signature with all its addresses."""
        ends = (*(start - 1 for start in self.starts[1:]), _LAST[family])
        spans: dict[Signature, list[tuple[int, int]]] = defaultdict(list)
        for start, end, signature in zip(self.starts, ends, self.signatures, strict=True):
            spans[signature].append((start, end))
        for signature, intervals in spans.items():
            yield signature, IntervalSet.of(*intervals)


def segments_of(family: int, sets: Iterable[tuple[int, IntervalSet]]) -> Segments:
    """One address line, cut at all boundaries. ``sets``: block number, its addresses in this
    family."""
    opens: dict[int, list[int]] = defaultdict(list)
    closes: dict[int, list[int]] = defaultdict(list)
    for number, intervals in sets:
        for low, high in intervals:
            opens[low].append(number)
            closes[high + 1].append(number)
    current = BitMap()
    starts: list[int] = []
    signatures: list[Signature] = []
    for at in sorted({0, *opens, *closes}):
        current -= BitMap(closes[at])
        current |= BitMap(opens[at])
        if at <= _LAST[family]:
            starts.append(at)
            signatures.append(FrozenBitMap(current))
    return Segments(tuple(starts), tuple(signatures))


class AddressClasses(Struct):
    """All blocks of a cluster, and which endpoint classes lie in each (filled while classes are
    made)."""

    blocks: tuple[Block, ...]
    ip_blocks: dict[IPBlock, Block]
    """Those of ``blocks`` that NetworkPolicies name, each read once."""
    segments: dict[int, Segments] = field(default_factory=dict)
    _numbers: dict[Block, int] = field(default_factory=dict)
    _classes: list[BitMap] = field(default_factory=list)

    @classmethod
    def of(cls, ip_blocks: Iterable[IPBlock], others: Iterable[Block] = ()) -> AddressClasses:
        """Cut the address lines at these blocks; duplicates are one."""
        read = {block: ip_block(block) for block in dict.fromkeys(ip_blocks)}
        result = cls(tuple(dict.fromkeys((*read.values(), *others))), read)
        for family in (4, 6):
            result.segments[family] = segments_of(
                family,
                ((n, b.addresses.family(family)) for n, b in enumerate(result.blocks)),
            )
        result._numbers = {block: n for n, block in enumerate(result.blocks)}
        result._classes = [BitMap() for _ in result.blocks]
        return result

    def signature(self, address: IPAddress) -> Signature:
        """The blocks that hold an address."""
        return self.segments[address.version].signature(int(address))

    def add(self, endpoint_class: int, signature: Signature) -> None:
        """Record that a class has addresses with this signature."""
        for number in signature:
            self._classes[number].add(endpoint_class)

    def ip_block_peers(self, block: IPBlock) -> AddressPeers:
        """The peers that an ipBlock means."""
        return self.peers(self.ip_blocks[block])

    def peers(self, block: Block) -> AddressPeers:
        """Every address of the block, those of pods included (NP-27)."""
        classes = FrozenBitMap(self._classes[self._numbers[block]])
        addresses = block.addresses.family(block.family)
        return AddressPeers(
            block.key, block.family, addresses, classes, block.volatile, block.names
        )
