"""Members -> elements of messages, and dumped elements -> members, by the column.

Rule: an element that is an address alone has a fixed size, and all of it but the address is the
same in every element. So lists are made of words of 4 bytes, a column at a time: no object is made
for an element on the way.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from functools import cache
from ipaddress import ip_address

from msgspec import Struct

from podfence.kernel.netlink import MAX_ATTRIBUTE, NLA_TYPE_MASK, attribute, nested, spans
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.decode_elements import read_items
from podfence.nft.objects import ADDRESS_TYPES
from podfence.sets.members import WIDTHS, Members

_HEADER = 4
"""Bytes of an attribute before its value."""
_LIST_LIMIT = MAX_ATTRIBUTE - _HEADER
_WORD = 4
_HEADERS = 3
"""Words before the address: the headers of the item, of its key and of the key's value."""

_WITHOUT_FLAGS = array("I", struct.pack("=HH", 0xFFFF, NLA_TYPE_MASK))[0]
"""Of the header of an attribute: its length and its type."""


class MemberList(Struct, frozen=True):
    """Elements of one message; ``addresses``: packed, in their order."""

    family: int
    addresses: bytes

    @property
    def data(self) -> bytes:
        """The attributes of the elements."""
        width = WIDTHS[self.family] // _WORD
        words = array("I", _model(self.family) * (len(self.addresses) // WIDTHS[self.family]))
        columns = array("I", self.addresses)
        for column in range(width):
            words[_HEADERS + column :: _HEADERS + width] = columns[column::width]
        return words.tobytes()

    def name_at(self, offset: int) -> str:
        """The element whose attributes hold a byte, counted from the first; ``""``: none."""
        width = WIDTHS[self.family]
        at = offset // len(_model(self.family)) * width
        found = self.addresses[at : at + width] if offset >= 0 else b""
        return str(ip_address(found)) if found else ""


def member_lists(members: Members) -> Iterator[MemberList]:
    """All members, each list below the 64 kB that an attribute may have."""
    width = WIDTHS[members.family]
    size = _LIST_LIMIT // len(_model(members.family)) * width
    packed = members.packed()
    for start in range(0, len(packed), size):
        yield MemberList(members.family, packed[start : start + size])


def read_members(family: int, bodies: Iterable[bytes]) -> Members:
    """The members in the messages of a set's dump, in any order. Raises NftError for a foreign
    element.

    Elements that hold more than an address (a counter, say) are read one by one.
    """
    packed: list[bytes] = []
    others: list[bytes] = []
    for body in bodies:
        for kind, start, end in spans(body, 0, len(body)):
            if kind == nf.NFTA_SET_ELEM_LIST_ELEMENTS:
                found = _addresses(family, body[start:end])
                if found is None:
                    others.append(body)
                else:
                    packed.append(found)
    members = Members.from_packed(family, b"".join(packed))
    if others:
        keys = (item.key[0] for item in read_items((ADDRESS_TYPES[family],), others))
        members |= Members.of(family, keys)
    return members


def _addresses(family: int, data: bytes) -> bytes | None:
    """The packed addresses of a list; None when the elements are not addresses alone."""
    width = WIDTHS[family] // _WORD
    stride = _HEADERS + width
    count, rest = divmod(len(data), _WORD * stride)
    if rest or not _begins_as_ours(family, data):
        return None
    words = array("I", data)
    for column in range(_HEADERS):
        if words[column::stride] != words[column : column + 1] * count:
            return None
    packed = array("I", bytes(count * WIDTHS[family]))
    for column in range(width):
        packed[column::width] = words[_HEADERS + column :: stride]
    return packed.tobytes()


def _begins_as_ours(family: int, data: bytes) -> bool:
    """Whether the first element, if any, has the headers that ours have; their flags may differ."""
    size = _WORD * _HEADERS
    headers = zip(array("I", _model(family)[:size]), array("I", data[:size]), strict=False)
    return all((ours ^ theirs) & _WITHOUT_FLAGS == 0 for ours, theirs in headers)


@cache
def _model(family: int) -> bytes:
    """The element that is the address 0."""
    value = attribute(nf.NFTA_DATA_VALUE, bytes(WIDTHS[family]))
    return nested(nf.NFTA_LIST_ELEM, nested(nf.NFTA_SET_ELEM_KEY, value))
