"""Members: each operation is that of a set of integers, whatever prefixes have numbers."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.sets import members
from podfence.sets.members import Members, MutableMembers, PrefixNumbers

V6 = int(IPv6Address("fd00:10:244::"))
LINES = {
    4: st.one_of(st.integers(10 << 24, (10 << 24) + 40), st.sampled_from([0, 2**31, 2**32 - 1])),
    6: st.one_of(
        st.builds(lambda node, host: V6 | node << 64 | host, st.integers(0, 3), st.integers(0, 9)),
        st.builds(lambda n: V6 + 0xFFFC + n, st.integers(0, 9)),
        st.sampled_from([0, 0xFFFF, 0x10000, 2**64 - 1, 2**64, 2**127, 2**128 - 1]),
    ),
}
"""Addresses of which drawn sets have many in common, on both sides of every edge."""
FAMILIES = pytest.mark.parametrize("family", [4, 6])
NUMBERED = pytest.mark.parametrize(("family", "prefixes"), [(4, 0), (6, 0), (6, 2), (6, 1 << 16)])
"""How many prefixes get numbers: with few of them, most addresses are strays."""


@pytest.fixture(autouse=True)
def _numbers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    case = getattr(request.node, "callspec", None)
    prefixes = case.params.get("prefixes", 1 << 16) if case else 1 << 16
    monkeypatch.setattr(members, "_prefixes", PrefixNumbers(prefixes))


def drawn(data: st.DataObject, family: int) -> set[int]:
    return data.draw(st.sets(LINES[family], max_size=12))


OPERATIONS: list[Callable[[object, object], object]] = [
    lambda a, b: a | b,  # type: ignore[operator]
    lambda a, b: a & b,  # type: ignore[operator]
    lambda a, b: a - b,  # type: ignore[operator]
    lambda a, b: a ^ b,  # type: ignore[operator]
]


@NUMBERED
@given(data=st.data())
def test_operations_are_those_of_sets(family: int, prefixes: int, data: st.DataObject) -> None:
    one, other = drawn(data, family), drawn(data, family)
    a, b = Members.of(family, one), Members.of(family, other)
    for operation in OPERATIONS:
        found, wanted = operation(a, b), operation(one, other)
        assert isinstance(found, Members)
        assert isinstance(wanted, set)
        assert found == Members.of(family, wanted)
        assert (set(found), len(found), bool(found)) == (wanted, len(wanted), bool(wanted))
    assert Members.union(family, [a, b, a]) == a | b
    assert (a <= b, a.isdisjoint(b)) == (one <= other, one.isdisjoint(other))
    assert (a == b) is (one == other)
    assert all((address in a) is (address in one) for address in one | other)


@NUMBERED
@given(data=st.data())
def test_equal_members_are_equal_values(family: int, prefixes: int, data: st.DataObject) -> None:
    """Whatever order they came in, and however the value was made."""
    wanted = data.draw(st.lists(LINES[family], max_size=12))
    found = Members.of(family, wanted)
    again = Members.of(family, reversed(wanted)) | Members.of(family, wanted[:3])
    assert found == again
    assert hash(found) == hash(again)
    changing = MutableMembers(family)
    for address in wanted:
        changing.add(address)
    assert changing.frozen() == found
    halves = [MutableMembers(family, Members.of(family, part)) for part in (wanted[::2], wanted)]
    assert MutableMembers.union(family, halves) == found


@NUMBERED
@given(data=st.data())
def test_packed_and_back(family: int, prefixes: int, data: st.DataObject) -> None:
    wanted = drawn(data, family)
    found = Members.of(family, wanted)
    width = 4 if family == 4 else 16
    packed = found.packed()
    each = {int.from_bytes(packed[at : at + width], "big") for at in range(0, len(packed), width)}
    assert (each, len(packed)) == (wanted, width * len(wanted))
    assert Members.from_packed(family, packed) == found
    reordered = b"".join(a.to_bytes(width, "big") for a in sorted(wanted, reverse=True))
    assert Members.from_packed(family, reordered + packed) == found


@NUMBERED
@given(data=st.data())
def test_what_changes_in_place(family: int, prefixes: int, data: st.DataObject) -> None:
    wanted = drawn(data, family)
    changing = MutableMembers(family, Members.of(family, wanted))
    before = changing.frozen()
    kept = set(wanted)
    for _ in range(data.draw(st.integers(1, 5))):
        address, more = data.draw(LINES[family]), drawn(data, family)
        match data.draw(st.integers(0, 3)):
            case 0:
                changing.add(address)
                wanted.add(address)
            case 1:
                changing.discard(address)
                wanted.discard(address)
            case 2:
                changing.update(Members.of(family, more))
                wanted |= more
            case _:
                changing.difference_update(Members.of(family, more))
                wanted -= more
        assert (set(changing.frozen()), len(changing)) == (wanted, len(wanted))
        assert (address in changing) is (address in wanted)
    assert set(before) == kept  # a value that was taken out does not change any more


def test_addresses_as_people_write_them() -> None:
    v4 = Members.of(4, [int(IPv4Address("10.0.0.1"))])
    assert v4.packed() == bytes([10, 0, 0, 1])
    v6 = Members.of(6, [int(IPv6Address("fd00::1:2"))])
    assert v6.packed() == IPv6Address("fd00::1:2").packed


@pytest.mark.parametrize(("family", "size"), [(4, 3), (4, 5), (6, 4), (6, 15)])
def test_half_an_address_is_refused(family: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes are no IPv{family} addresses"):
        Members.from_packed(family, bytes(size))


def test_families_never_mix() -> None:
    one, other = Members.of(4, [1]), Members.of(6, [1])
    assert one != other
    for operation in OPERATIONS:
        with pytest.raises(ValueError, match="members of IPv4 and of IPv6 never mix"):
            operation(one, other)
    with pytest.raises(ValueError, match="never mix"):
        Members.union(4, [one, other])
    with pytest.raises(ValueError, match="never mix"):
        MutableMembers(4, other)


def test_a_prefix_without_a_number_never_gets_one() -> None:
    """Else an address could be in one value as a stray, and in an equal one as a number."""
    numbers = PrefixNumbers(2)
    assert [numbers.number(prefix) for prefix in (7, 8, 9, 7, 9)] == [0, 1, None, 0, None]
    assert [numbers.prefix(n) for n in (0, 1)] == [7, 8]
    assert (numbers.known(7), numbers.known(9)) == (0, None)


def test_pods_of_256_nodes_with_a_prefix_each_share_two_parts_of_a_bitmap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part of its own for each would be ten times as large as the addresses."""
    monkeypatch.setattr(members, "_prefixes", PrefixNumbers())
    block = int(IPv6Address("2001:db8:9::"))
    addresses = {block + (node << 64) + pod for node in range(256) for pod in (5, 0x105)}
    found = Members.of(6, addresses)
    assert found.numbers.get_statistics()["n_containers"] == 2
    assert set(found) == addresses


def test_asking_gives_no_number_away() -> None:
    assert V6 not in Members.of(6, [])
    MutableMembers(6).discard(V6)
    assert members._prefixes.known(V6 >> 16) is None


@FAMILIES
def test_a_copy_in_another_process_has_the_same_members(family: int) -> None:
    """There, prefixes have other numbers."""
    found = Members.of(family, [V6 >> 96, 5] if family == 4 else [V6, V6 + 1, 5])
    assert copy.deepcopy(found) == found
    program = (
        "import pickle, sys; from podfence.sets.members import Members; "
        "Members.of(6, [9 << 16, 8 << 16]); "
        "print(sorted(pickle.loads(sys.stdin.buffer.read())))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=pickle.dumps(found), capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == repr(sorted(found))


@FAMILIES
def test_memory_follows_members_and_not_objects(family: int) -> None:
    """As bytes of the serialised bitmap: 110 pods on each of 900 nodes, a third of them."""
    base = 10 << 24 if family == 4 else V6
    node = 8 if family == 4 else 64
    every = [base | n << node | host for n in range(900) for host in range(2, 112)]
    found = Members.of(family, every[::3])
    assert len(found.numbers.serialize()) < 4 * len(found)
    assert not found.strays
