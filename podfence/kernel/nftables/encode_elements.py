"""Elements of sets and maps -> attributes, in lists that fit into one message.

Rule: nothing here knows of tables or messages. A range of a set with one field is two elements, its
first value and the one after its last; a range of several fields is one element with two keys.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from ipaddress import IPv4Address, IPv6Address
from itertools import starmap

from msgspec import Struct

from podfence.kernel.netlink import MAX_ATTRIBUTE, attribute, nested, text
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.members import MemberList, member_lists
from podfence.nft.objects import (
    SIZES,
    ChainVerdict,
    DataType,
    Key,
    KeyRange,
    MemberSet,
    RangeSet,
    Set,
    VerdictMap,
)
from podfence.nft.transaction import ElementHolder

Types = tuple[DataType, ...]
_LIST_LIMIT = MAX_ATTRIBUTE - 4
_END = attribute(nf.NFTA_SET_ELEM_FLAGS, struct.pack(">I", nf.NFT_SET_ELEM_INTERVAL_END))
_OPEN = attribute(nf.NFTA_SET_ELEM_USERDATA, nf.OPEN_INTERVAL)
_HEADER = 4
"""Bytes of an attribute before its value."""
_CODES = {1: "B", 2: "H", 4: "I"}


class ElementList(Struct, frozen=True):
    """Elements of one message: for each its attributes (two of them make a range) and its key."""

    types: Types
    encoded: tuple[bytes, ...]
    keys: tuple[Key | KeyRange, ...]

    @property
    def data(self) -> bytes:
        """The attributes of the elements."""
        return b"".join(self.encoded)

    def name_at(self, offset: int) -> str:
        """The element whose attributes hold a byte, counted from the first; ``""``: none."""
        for data, key in zip(self.encoded, self.keys, strict=True):
            if 0 <= offset < len(data):
                return key_text(self.types, key)
            offset -= len(data)
        return ""


def element_lists(
    item: ElementHolder, *, delete: bool = False
) -> Iterator[ElementList | MemberList]:
    """All elements of ``item``, each list below the 64 kB that an attribute may have.

    With ``delete`` as the kernel wants them to be deleted: without verdicts.
    """
    if isinstance(item, MemberSet):
        yield from member_lists(item.elements)
        return
    keys: tuple[Key | KeyRange, ...]
    if isinstance(item, RangeSet):
        make = _range if len(item.type) == 1 else _concatenated_range
        keys, encoded = item.elements, [make(item.type, low, high) for low, high in item.elements]
    elif isinstance(item, Set) or delete:
        keys, encoded = tuple(item.elements), _keys(item.type, item.elements)
    else:
        keys, encoded = tuple(item.elements), _with_verdicts(item)
    if encoded:
        size = _LIST_LIMIT // max(map(len, encoded))
        for start in range(0, len(encoded), size):
            end = start + size
            yield ElementList(item.type, tuple(encoded[start:end]), keys[start:end])


def _keys(types: Types, keys: Iterable[Key]) -> list[bytes]:
    """Elements that are keys alone: all the same but for the key."""
    start, filler = _around_key(types)
    return [start + key + filler for key in _packed(types, keys)]


@cache
def _around_key(types: Types) -> tuple[bytes, bytes]:
    """What stands before and after the key in an element that is nothing else."""
    nothing = (0,) * len(types)
    start = 3 * _HEADER  # of the item, the key and the value
    model = _item(_key(types, nothing))
    return model[:start], model[start + len(_packed(types, (nothing,))[0]) :]


def _with_verdicts(item: VerdictMap) -> list[bytes]:
    return [_item(_key(item.type, k), _verdict(v)) for k, v in item.elements.items()]


def _item(*attributes: bytes) -> bytes:
    return nested(nf.NFTA_LIST_ELEM, *attributes)


def _key(types: Types, key: Key, kind: int = nf.NFTA_SET_ELEM_KEY) -> bytes:
    return nested(kind, attribute(nf.NFTA_DATA_VALUE, _packed(types, (key,))[0]))


@lru_cache(maxsize=4096)
def _verdict(verdict: ChainVerdict) -> bytes:
    return nested(nf.NFTA_SET_ELEM_DATA, verdict_data(verdict))


def verdict_data(verdict: ChainVerdict) -> bytes:
    """A verdict as data of an element or of an immediate expression."""
    code = attribute(nf.NFTA_VERDICT_CODE, struct.pack(">i", nf.VERDICTS[verdict.kind]))
    chain = text(nf.NFTA_VERDICT_CHAIN, verdict.chain) if verdict.chain else b""
    return nested(nf.NFTA_DATA_VERDICT, code, chain)


def _range(types: Types, low: Key, high: Key) -> bytes:
    """The last value of the type has none after it; then the end is left open, and said so."""
    first = _key(types, low)
    if high[0] == (1 << 8 * SIZES[types[0]]) - 1:
        return _item(first, _OPEN)
    return _item(first) + _item(_END, _key(types, (high[0] + 1,)))


def _concatenated_range(types: Types, low: Key, high: Key) -> bytes:
    return _item(_key(types, low), _key(types, high, nf.NFTA_SET_ELEM_KEY_END))


def _packed(types: Types, keys: Iterable[Key]) -> list[bytes]:
    """Keys in network order; each field of a concatenation is filled up to 4 bytes."""
    layout = _layout(types)
    if layout is not None:
        return [*starmap(layout.pack, keys)]
    sizes = [SIZES[kind] for kind in types]
    if len(types) == 1:
        return [value.to_bytes(sizes[0], "big") for (value,) in keys]
    return [
        b"".join(
            value.to_bytes(size, "big") + bytes(nf.padded(size) - size)
            for value, size in zip(key, sizes, strict=True)
        )
        for key in keys
    ]


@cache
def _layout(types: Types) -> struct.Struct | None:
    """The key as a structure; None when a field is longer than the numbers of structures."""
    sizes = [SIZES[kind] for kind in types]
    if max(sizes) > max(_CODES):
        return None
    if len(sizes) == 1:
        return struct.Struct(f">{_CODES[sizes[0]]}")
    return struct.Struct(">" + "".join(f"{_CODES[n]}{nf.padded(n) - n}x" for n in sizes))


def key_text(types: Types, key: Key | KeyRange) -> str:
    """A key or a range for people: ``10.0.0.1 . 6 . 80``, ``10.0.0.0-10.0.0.255``."""
    low, high = key if isinstance(key[0], tuple) else (key, key)
    return " . ".join(map(_span_text, types, low, high))


def _span_text(kind: DataType, low: int, high: int) -> str:
    first, last = _value_text(kind, low), _value_text(kind, high)
    return first if low == high else f"{first}-{last}"


def _value_text(kind: DataType, value: int) -> str:
    if kind is DataType.IPV4_ADDR:
        return str(IPv4Address(value))
    return str(IPv6Address(value)) if kind is DataType.IPV6_ADDR else str(value)
