"""Dumped elements -> keys, ranges and verdicts.

Rule: the inverse of the writing, and of what ``nft`` writes for the same elements: it also marks
the first address as an end when nothing starts there, which means nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import cache

from msgspec import Struct

from podfence.errors import NftError
from podfence.kernel.netlink import NLA_TYPE_MASK, spans
from podfence.kernel.nftables import nf_tables as nf
from podfence.nft.objects import SIZES, ChainVerdict, DataType, Key, KeyRange

_KINDS = {code: kind for kind, code in nf.VERDICTS.items()}
_NUMBER = struct.Struct(">I")
_CODE = struct.Struct(">i")


_NO_KEY = "an element of the table has a key of another length than podfence writes"


class KernelElement(Struct):
    """One element as the kernel keeps it; ``end``: it is the value after the last of a range."""

    key: Key = ()
    key_end: Key = ()
    end: bool = False
    verdict: ChainVerdict | None = None


def read_items(types: tuple[DataType, ...], bodies: Iterable[bytes]) -> Iterator[KernelElement]:
    """The elements in the messages of a set's dump. Raises NftError for a foreign one."""
    for body in bodies:
        for kind, start, end in spans(body, 0, len(body)):
            if kind == nf.NFTA_SET_ELEM_LIST_ELEMENTS:
                yield from _items(types, body, start, end)


def read_keys(types: tuple[DataType, ...], bodies: Iterable[bytes]) -> Iterator[Key]:
    """The elements of a set that holds keys and nothing else. Raises NftError for a foreign one.

    They are many, and alike: where their headers are all the same, they are read at once.
    """
    layout = _layout(types)
    for body in bodies:
        for kind, start, end in spans(body, 0, len(body)):
            if kind == nf.NFTA_SET_ELEM_LIST_ELEMENTS and not _alike(layout, body[start:end]):
                yield from (item.key for item in _items(types, body, start, end))
            elif kind == nf.NFTA_SET_ELEM_LIST_ELEMENTS:
                found = (entry[_HEADERS:] for entry in layout.iter_unpack(body[start:end]))
                yield from map(_numbers, found) if DataType.IPV6_ADDR in types else found


_HEADERS = 1
"""Parts of an entry before the key."""
_CODES = {1: "B", 2: "H", 4: "I", 16: "16s"}


@cache
def _layout(types: tuple[DataType, ...]) -> struct.Struct:
    """An element that is a key alone: the headers of item, key and value, and the fields."""
    sizes = [SIZES[kind] for kind in types]
    return struct.Struct(">12s" + "".join(f"{_CODES[n]}{nf.padded(n) - n}x" for n in sizes))


def _alike(layout: struct.Struct, data: bytes) -> bool:
    """Whether all elements are keys alone: they begin as one that the layout fits begins."""
    if not data or len(data) % layout.size:
        return False
    lengths_and_kinds = struct.unpack_from("=6H", data)
    item, key, value = (kind & NLA_TYPE_MASK for kind in lengths_and_kinds[1::2])
    if (item, key, value) != (nf.NFTA_LIST_ELEM, nf.NFTA_SET_ELEM_KEY, nf.NFTA_DATA_VALUE):
        return False
    whole, held, _ = lengths_and_kinds[::2]
    return (whole, held) == (layout.size, layout.size - 4) and all(
        data[at : at + 12] == data[:12] for at in range(0, len(data), layout.size)
    )


def _numbers(key: tuple[int | bytes, ...]) -> Key:
    return tuple(v if isinstance(v, int) else int.from_bytes(v, "big") for v in key)


def _items(
    types: tuple[DataType, ...], body: bytes, start: int, end: int
) -> Iterator[KernelElement]:
    for _, first, last in spans(body, start, end):
        yield _item(types, body, first, last)


def _item(types: tuple[DataType, ...], body: bytes, start: int, end: int) -> KernelElement:
    item = KernelElement()
    for kind, first, last in spans(body, start, end):
        if kind == nf.NFTA_SET_ELEM_KEY:
            item.key = _key(types, _inner(body, first, last, nf.NFTA_DATA_VALUE))
        elif kind == nf.NFTA_SET_ELEM_KEY_END:
            item.key_end = _key(types, _inner(body, first, last, nf.NFTA_DATA_VALUE))
        elif kind == nf.NFTA_SET_ELEM_FLAGS:
            if last - first < _NUMBER.size:
                raise NftError("an element of the table holds flags that podfence never writes")
            item.end = _NUMBER.unpack_from(body, first)[0] == nf.NFT_SET_ELEM_INTERVAL_END
        elif kind == nf.NFTA_SET_ELEM_DATA:
            item.verdict = read_verdict(_inner(body, first, last, nf.NFTA_DATA_VERDICT))
    if not item.key:
        raise NftError("the table holds an element without a key, which podfence never writes")
    return item


def _inner(body: bytes, start: int, end: int, wanted: int) -> bytes:
    for kind, first, last in spans(body, start, end):
        if kind == wanted:
            return body[first:last]
    raise NftError("an element of the table holds data that podfence never writes")


def read_verdict(data: bytes) -> ChainVerdict:
    """The verdict in attributes. Raises NftError for one that podfence never writes."""
    code, chain = 0, ""
    for kind, start, end in spans(data, 0, len(data)):
        if kind == nf.NFTA_VERDICT_CODE:
            if end - start < _CODE.size:
                raise NftError("the table holds a verdict that podfence never writes")
            (code,) = _CODE.unpack_from(data, start)
        elif kind == nf.NFTA_VERDICT_CHAIN:
            chain = data[start:end].rstrip(b"\0").decode("utf-8", "replace")
    if code not in _KINDS:
        raise NftError(f"the table holds a verdict that podfence never writes ({code})")
    try:
        return ChainVerdict(_KINDS[code], chain)
    except ValueError as error:
        raise NftError(f"the table holds a verdict that podfence never writes: {error}") from error


def _key(types: tuple[DataType, ...], data: bytes) -> Key:
    if len(types) == 1:
        if len(data) != SIZES[types[0]]:
            raise NftError(_NO_KEY)
        return (int.from_bytes(data, "big"),)
    if len(data) != sum(nf.padded(SIZES[kind]) for kind in types):
        raise NftError(_NO_KEY)
    values, at = [], 0
    for kind in types:
        size = SIZES[kind]
        values.append(int.from_bytes(data[at : at + size], "big"))
        at += nf.padded(size)
    return tuple(values)


def ranges(types: tuple[DataType, ...], items: Iterable[KernelElement]) -> tuple[KeyRange, ...]:
    """The ranges that elements of an interval set make, in order."""
    if len(types) > 1:
        return tuple(sorted((item.key, item.key_end or item.key) for item in items))
    return tuple(_between_marks(types[0], items))


def _between_marks(kind: DataType, items: Iterable[KernelElement]) -> Iterator[KeyRange]:
    """Where one range ends and the next begins, the end is sorted before the start."""
    low: int | None = None
    for value, starts in sorted((item.key[0], not item.end) for item in items):
        if low is not None:
            yield (low,), (value - 1,)
        low = value if starts else None
    if low is not None:
        yield (low,), ((1 << 8 * SIZES[kind]) - 1,)
