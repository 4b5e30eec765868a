"""Sets of single addresses of one IP version, as bitmaps: some bytes a member, no object for each.

Rule: a value says nothing of how it came to be; equal members are equal values, and no operation
walks members one by one where a bitmap can be asked.

An IPv4 address is its own number in the bitmap. IPv6 addresses are 128 bits long, but pods share
few prefixes (one a node, or a block of addresses): each prefix of 112 bits gets a number of 16 bits
when it is first met in this process, and that with the last 16 bits is the number of an address. It
stands between the two bytes of these: a bitmap has a part for all that share the upper 16 bits of
their numbers, so the pods of 256 nodes, each with a prefix of its own, are together in few of them.
Numbers of prefixes never change and never end; when all are given away, addresses of other prefixes
are kept as they are (strays).
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, groupby
from typing import Self, TypeVar

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

P = TypeVar("P")
WIDTHS = {4: 4, 6: 16}
"""Bytes of a packed address, by IP version."""
_HOST_BITS = 16
_PACKED_V6 = struct.Struct(">14sBB")
_NO_STRAYS: frozenset[int] = frozenset()


class PrefixNumbers:
    """Numbers for prefixes of 112 bits, given out in the order of first use, never taken back."""

    def __init__(self, limit: int = 1 << 16) -> None:
        """``limit``: how many prefixes get a number, at most 65,536."""
        self._limit = limit
        self._next = count()
        self._numbers: dict[int, int] = {}
        self._prefixes: dict[int, int] = {}

    def number(self, prefix: int) -> int | None:
        """The number of a prefix; None: all are given away, and this prefix has none, for ever."""
        found = self._numbers.get(prefix)
        if found is not None or len(self._prefixes) >= self._limit:
            return found
        # Two threads that meet a prefix at once take two numbers; the prefix keeps the first.
        number = next(self._next)
        if number >= self._limit:
            return self._numbers.get(prefix)
        self._prefixes[number] = prefix
        return self._numbers.setdefault(prefix, number)

    def known(self, prefix: int) -> int | None:
        """The number that a prefix has already."""
        return self._numbers.get(prefix)

    def prefix(self, number: int) -> int:
        """The prefix with a number that was given out."""
        return self._prefixes[number]


_prefixes = PrefixNumbers()


class Members(Struct, frozen=True):
    """An immutable set of addresses of one IP version. Made by :meth:`of`, :meth:`from_packed`,
    :meth:`union` and the operators of sets.

    Addresses are integers. Iteration has no order that means anything. Operations on members of
    two IP versions raise ValueError: families never mix (NP-25).
    """

    family: int
    """4 or 6."""
    numbers: FrozenBitMap = FrozenBitMap()
    strays: frozenset[int] = _NO_STRAYS
    """Addresses whose prefix has no number."""

    def __post_init__(self) -> None:
        """Raises ValueError for a family that is none."""
        if self.family not in WIDTHS:
            raise ValueError(f"no IP version: {self.family}")

    @classmethod
    def of(cls, family: int, addresses: Iterable[int]) -> Self:
        """The set of these addresses."""
        if family == 4:
            return cls(4, FrozenBitMap(array("I", addresses)))
        split = [(a >> _HOST_BITS, a >> 8 & 0xFF, a & 0xFF) for a in addresses]
        return cls(6, *_Bases(_itself).numbered(split))

    @classmethod
    def from_packed(cls, family: int, data: bytes) -> Self:
        """The set of addresses that stand one after the other in network order, 4 or 16 bytes
        each, in any order, repeated or not. Raises ValueError for half an address."""
        if len(data) % WIDTHS[family]:
            raise ValueError(f"{len(data)} bytes are no IPv{family} addresses")
        if family == 4:
            return cls(4, FrozenBitMap(_swapped(array("I", data))))
        bases = _Bases(_from_network)
        return cls(6, *bases.numbered([*_PACKED_V6.iter_unpack(data)]))

    @classmethod
    def union(cls, family: int, sets: Iterable[Members]) -> Self:
        """The union of many sets of one IP version."""
        every: list[Members] = [cls(family), *sets]
        for each in every:
            _check(each.family, family)
        strays = _NO_STRAYS.union(*(each.strays for each in every if each.strays))
        return cls(family, FrozenBitMap.union(*(each.numbers for each in every)), strays)

    def packed(self) -> bytes:
        """All addresses one after the other in network order, 4 or 16 bytes each."""
        numbers = self.numbers.to_array()
        if self.family == 4:
            return _swapped(numbers).tobytes()
        strays = b"".join(address.to_bytes(WIDTHS[6], "big") for address in self.strays)
        return _packed_v6(numbers) + strays

    def __len__(self) -> int:
        return len(self.numbers) + len(self.strays)

    def __bool__(self) -> bool:
        return bool(self.numbers) or bool(self.strays)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers) if self.family == 4 else self._iter_v6()

    def _iter_v6(self) -> Iterator[int]:
        for block, alike in groupby(self.numbers, key=_block):
            base = _prefixes.prefix(block & 0xFFFF) << _HOST_BITS | block >> 16 << 8
            yield from (base | each & 0xFF for each in alike)
        yield from self.strays

    def __contains__(self, address: int) -> bool:
        number = _number(self.family, address)
        return address in self.strays if number is None else number in self.numbers

    def __or__(self, other: Members) -> Members:
        _check(self.family, other.family)
        return Members(self.family, self.numbers | other.numbers, self.strays | other.strays)

    def __and__(self, other: Members) -> Members:
        _check(self.family, other.family)
        return Members(self.family, self.numbers & other.numbers, self.strays & other.strays)

    def __sub__(self, other: Members) -> Members:
        _check(self.family, other.family)
        return Members(self.family, self.numbers - other.numbers, self.strays - other.strays)

    def __xor__(self, other: Members) -> Members:
        _check(self.family, other.family)
        return Members(self.family, self.numbers ^ other.numbers, self.strays ^ other.strays)

    def __le__(self, other: Members) -> bool:
        """Subset."""
        _check(self.family, other.family)
        return self.numbers <= other.numbers and self.strays <= other.strays

    def isdisjoint(self, other: Members) -> bool:
        """Whether no address is in both."""
        _check(self.family, other.family)
        return self.numbers.isdisjoint(other.numbers) and self.strays.isdisjoint(other.strays)

    def __reduce__(self) -> tuple[object, ...]:
        """Another process gives prefixes other numbers."""
        return (Members.from_packed, (self.family, self.packed()))


class MutableMembers:
    """A set of addresses of one IP version that changes in place. Only its owner may hold it."""

    __slots__ = ("_numbers", "_strays", "family")

    def __init__(self, family: int, members: Members | None = None) -> None:
        """Starts with ``members``, of the same IP version."""
        self.family = family
        self._numbers = BitMap()
        self._strays: set[int] | frozenset[int] = _NO_STRAYS
        """A set of its own with the first of them: nearly nobody has any."""
        if members is not None:
            self.update(members)

    def add(self, address: int) -> None:
        """Put one address in, which may be there."""
        number = _number(self.family, address, new=True)
        if number is not None:
            self._numbers.add(number)
        elif isinstance(self._strays, set):
            self._strays.add(address)
        else:
            self._strays = {address}

    def discard(self, address: int) -> None:
        """Take one address out, which may not be there."""
        number = _number(self.family, address)
        if number is not None:
            self._numbers.discard(number)
        elif isinstance(self._strays, set):
            self._strays.discard(address)

    def update(self, members: Members) -> None:
        """Put these in."""
        _check(self.family, members.family)
        self._numbers |= members.numbers
        if members.strays:
            self._strays = {*self._strays, *members.strays}

    def difference_update(self, members: Members) -> None:
        """Take these out."""
        _check(self.family, members.family)
        self._numbers -= members.numbers
        if self._strays:
            self._strays = {*self._strays} - members.strays

    @staticmethod
    def union(family: int, sets: Iterable[MutableMembers]) -> Members:
        """The union of many sets of one IP version as they are now, without a copy of each."""
        every = [MutableMembers(family), *sets]
        strays = _NO_STRAYS.union(*(each._strays for each in every if each._strays))
        numbers = FrozenBitMap(BitMap.union(*(each._numbers for each in every)))
        return Members(family, numbers, strays)

    def frozen(self) -> Members:
        """What is in now, as a value."""
        strays = frozenset(self._strays) if self._strays else _NO_STRAYS
        return Members(self.family, FrozenBitMap(self._numbers), strays)

    def __len__(self) -> int:
        return len(self._numbers) + len(self._strays)

    def __contains__(self, address: int) -> bool:
        number = _number(self.family, address)
        return address in self._strays if number is None else number in self._numbers


# -- addresses and their numbers


def _check(family: int, other: int) -> None:
    if family != other:
        raise ValueError(f"members of IPv{family} and of IPv{other} never mix")


def _number(family: int, address: int, *, new: bool = False) -> int | None:
    """The number of an address in bitmaps; None: it can only be a stray. ``new``: its prefix may
    get one now."""
    if family == 4:
        return address
    prefix = address >> _HOST_BITS
    number = _prefixes.number(prefix) if new else _prefixes.known(prefix)
    if number is None:
        return None
    return (address & 0xFF00) << 16 | number << 8 | address & 0xFF


def _block(number: int) -> int:
    """All of a number but its last byte: the upper byte of the host, and the prefix."""
    return number >> 8


class _Bases(dict[P, int]):
    """Prefix, in whatever form it stands in a list of addresses -> its number, in place."""

    def __init__(self, read: Callable[[P], int]) -> None:
        super().__init__()
        self._read = read
        self._complete = True

    def __missing__(self, prefix: P) -> int:
        number = _prefixes.number(self._read(prefix))
        if number is None:
            self._complete = False
            return 0
        base = self[prefix] = number << 8
        return base

    def numbered(self, split: Sequence[tuple[P, int, int]]) -> tuple[FrozenBitMap, frozenset[int]]:
        """The numbers of IPv6 addresses, given as prefix and the two bytes of the host, and those
        that have none."""
        numbers = array("I", [high << 24 | self[prefix] | low for prefix, high, low in split])
        if self._complete:
            return FrozenBitMap(numbers), _NO_STRAYS
        known = ((high << 24 | self[p] | low) for p, high, low in split if p in self)
        strays = (
            self._read(prefix) << _HOST_BITS | high << 8 | low
            for prefix, high, low in split
            if prefix not in self
        )
        return FrozenBitMap(array("I", known)), frozenset(strays)


def _itself(prefix: int) -> int:
    return prefix


def _from_network(packed: bytes) -> int:
    return int.from_bytes(packed, "big")


def _packed_v6(numbers: array[int]) -> bytes:
    """Numbers -> packed addresses, byte by byte of the numbers: prefixes first, then all hosts."""
    data = _swapped(numbers).tobytes()
    prefixes = bytearray(len(data) // 2)
    prefixes[::2], prefixes[1::2] = data[1::4], data[2::4]
    of_each = _swapped(array("H", bytes(prefixes)))
    whole = {number: _prefix_bytes(number) for number in set(of_each)}
    packed = bytearray(b"".join(map(whole.__getitem__, of_each)))
    packed[14::16], packed[15::16] = data[::4], data[3::4]
    return bytes(packed)


def _prefix_bytes(number: int) -> bytes:
    """A packed address of a prefix, its last 16 bits 0."""
    return (_prefixes.prefix(number) << _HOST_BITS).to_bytes(WIDTHS[6], "big")


def _swapped(words: array[int]) -> array[int]:
    """The same words in network order, or back."""
    if sys.byteorder == "little":
        words.byteswap()
    return words
