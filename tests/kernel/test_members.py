"""Members as elements of messages: written and read, at every size around a message's limit."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import ip_address
from random import Random

import pytest

from podfence.errors import NftError
from podfence.kernel.netlink import MAX_ATTRIBUTE, attribute, nested
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.members import MemberList, member_lists, read_members
from podfence.nft.difference import diff
from podfence.nft.objects import MemberSet, Table
from podfence.nft.ruleset import Ruleset
from podfence.sets.members import Members
from tests.kernel.nft_namespace import NftNamespace

BASES = {4: int(ip_address("10.0.0.0")), 6: int(ip_address("fd00:10:244::"))}
MOST = {4: 4095, 6: 2340}
"""Elements of the longest list that an attribute of 65,535 bytes holds."""
FAMILIES = pytest.mark.parametrize("family", [4, 6])


def drawn(family: int, count: int, seed: int = 0) -> Members:
    """Pods of many nodes, with gaps, and the first and the last address there is."""
    random = Random(seed)
    node = 8 if family == 4 else 64
    found = {0, (1 << (32 if family == 4 else 128)) - 1} if count > 1 else set()
    while len(found) < count:
        found.add(BASES[family] | random.randrange(900) << node | random.randrange(2, 250))
    return Members.of(family, found)


def bodies(lists: Sequence[MemberList]) -> list[bytes]:
    return [nested(nf.NFTA_SET_ELEM_LIST_ELEMENTS, each.data) for each in lists]


def sizes(family: int) -> list[int]:
    most = MOST[family]
    around = (most - 1, most, most + 1, 2 * most - 1, 2 * most, 2 * most + 1, 5 * most + 7)
    return [0, 1, 2, 3, *around]


@FAMILIES
def test_what_is_written_is_read(family: int) -> None:
    for size in sizes(family):
        wanted = drawn(family, size)
        lists = [*member_lists(wanted)]
        assert len(lists) == -(-size // MOST[family])
        assert read_members(family, bodies(lists)) == wanted
        assert all(len(body) <= MAX_ATTRIBUTE + 1 for body in bodies(lists))


@FAMILIES
def test_the_order_of_a_dump_means_nothing(family: int) -> None:
    """Kernels list elements by their hash, in messages of other sizes."""
    wanted = drawn(family, 1_000)
    packed = wanted.packed()
    width = len(packed) // 1_000
    each = [packed[at : at + width] for at in range(0, len(packed), width)]
    Random(1).shuffle(each)
    cuts = [each[:7], each[7:600], each[600:], each[:50]]
    lists = [MemberList(family, b"".join(cut)) for cut in cuts]
    assert read_members(family, bodies(lists)) == wanted


def element(address: int, *more: bytes, flags: int = nf.NFTA_SET_ELEM_KEY | 0x8000) -> bytes:
    key = attribute(flags, attribute(nf.NFTA_DATA_VALUE, struct.pack(">I", address)))
    return nested(nf.NFTA_LIST_ELEM, key, *more)


def body_of(*elements: bytes) -> bytes:
    return nested(nf.NFTA_SET_ELEM_LIST_ELEMENTS, *elements)


COMMENT = attribute(nf.NFTA_SET_ELEM_USERDATA, b"\0\2x\0")


@pytest.mark.parametrize(
    "elements",
    [
        pytest.param([element(5), element(9)], id="addresses alone"),
        pytest.param([element(5, flags=nf.NFTA_SET_ELEM_KEY), element(9)], id="other flags"),
        pytest.param([element(5, COMMENT), element(9, COMMENT)], id="more than an address"),
        pytest.param([element(5), element(9, COMMENT)], id="some with more"),
        pytest.param([element(5, COMMENT), element(9)], id="others with more"),
        pytest.param([element(5), element(9), b""], id="an empty list"),
    ],
)
def test_elements_that_others_wrote(elements: list[bytes]) -> None:
    apart = [body_of(each) for each in elements]
    for found in ([body_of(*elements)], apart):
        assert read_members(4, found) == Members.of(4, [5, 9])


def test_an_element_without_a_key_is_an_error() -> None:
    nothing = nested(nf.NFTA_LIST_ELEM, attribute(nf.NFTA_SET_ELEM_FLAGS, bytes(8)))
    with pytest.raises(NftError, match="an element without a key"):
        read_members(4, [body_of(nothing)])


@FAMILIES
def test_elements_are_named_by_their_index(family: int) -> None:
    first, second = BASES[family] | 1, BASES[family] | 2
    (found,) = member_lists(Members.of(family, [second, first]))
    length = len(found.data) // 2
    names = [found.name_at(at) for at in (0, length - 1, length, 2 * length - 1, 2 * length, -1)]
    one, other = (str(ip_address(address)) for address in (first, second))
    assert names == [one, one, other, other, "", ""]


# --- in the kernel -----------------------------------------------------------------------------


def ruleset(**sets: Members) -> Ruleset:
    return Ruleset.of(
        Table("podfence"), [MemberSet(name, members) for name, members in sets.items()]
    )


@pytest.mark.kernel
@FAMILIES
def test_the_kernel_holds_what_was_written(space: NftNamespace, family: int) -> None:
    for size in sizes(family):
        wanted = ruleset(a=drawn(family, size), b=drawn(family, size // 2, seed=1))
        space.table.replace(wanted)
        assert space.table.list() == wanted


@pytest.mark.kernel
@FAMILIES
def test_the_kernel_follows_differences(space: NftNamespace, family: int) -> None:
    """Members come and go by one, by a message full, and all at once."""
    most = MOST[family]
    current = ruleset(a=Members(family))
    space.table.replace(current)
    for size in (1, 0, 2, most, most + 1, 3 * most, most, 3 * most + 1, 5, 0):
        wanted = ruleset(a=drawn(family, size, seed=size))
        space.table.run(diff(current, wanted))
        assert space.table.list() == wanted
        current = wanted


@pytest.mark.kernel
def test_nft_lists_the_same_addresses(space: NftNamespace) -> None:
    space.table.replace(
        ruleset(a=Members.of(4, [BASES[4] | 1]), b=Members.of(6, [BASES[6] | 0x1_0002]))
    )
    listing = space.listing()
    assert "elements = { 10.0.0.1 }" in listing
    assert "elements = { fd00:10:244::1:2 }" in listing
