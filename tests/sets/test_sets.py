"""Laws of the set algebra: intervals, addresses, ports.

The three types promise the same operations, so each law is stated once and run on all of them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.sets import AddressSet, IntervalSet, PortSet
from podfence.sets.addresses import EVERY_ADDRESS
from podfence.sets.ports import EVERYTHING, NOTHING, OTHER, PROTOCOLS

SMALL = 24
"""Members come from a line this short, so that intervals touch, overlap and nest often."""
V4, V6 = int(IPv4Address("10.0.0.0")), int(IPv6Address("fd00::"))
PORT_EDGES = (0, 1, 79, 80, 81, 443, 65534, 65535)


def _intervals(base: int = 0) -> st.SearchStrategy[IntervalSet]:
    ends = st.integers(base, base + SMALL)
    return st.lists(st.tuples(ends, ends), max_size=5).map(lambda pairs: IntervalSet.of(*pairs))


ADDRESSES = st.builds(AddressSet, _intervals(V4), _intervals(V6))
PORT_PARTS = st.one_of(
    st.sampled_from((*PROTOCOLS, OTHER)).map(PortSet.protocol),
    st.builds(
        lambda protocol, ends: PortSet.port(protocol, min(ends), max(ends)),
        st.sampled_from(PROTOCOLS),
        st.tuples(st.sampled_from(PORT_EDGES), st.sampled_from(PORT_EDGES)),
    ),
)


def _union(parts: list[PortSet]) -> PortSet:
    result = NOTHING
    for part in parts:
        result |= part
    return result


PORTS = st.lists(PORT_PARTS, max_size=5).map(_union)


class Algebra:
    """One type: its strategy, its empty and full sets, and members that tell sets apart."""

    def __init__(
        self, sets: st.SearchStrategy[Any], nothing: Any, everything: Any, members: list[Any]
    ) -> None:
        self.sets = sets
        self.nothing = nothing
        self.everything = everything
        self.members = members

    def members_of(self, which: Any) -> set[Any]:
        return {member for member in self.members if member in which}


ALGEBRAS = {
    "intervals": Algebra(
        _intervals(), IntervalSet(), IntervalSet.of((0, SMALL)), list(range(SMALL + 1))
    ),
    "addresses": Algebra(
        ADDRESSES,
        AddressSet(),
        EVERY_ADDRESS,
        [IPv4Address(V4 + n) for n in range(-1, SMALL + 2)]
        + [IPv6Address(V6 + n) for n in range(-1, SMALL + 2)],
    ),
    "ports": Algebra(
        PORTS,
        NOTHING,
        EVERYTHING,
        [(name, port) for name in PROTOCOLS for port in (*PORT_EDGES, 2, 82, 442, 444)]
        + [(OTHER, 0)],
    ),
}
each_algebra = pytest.mark.parametrize("algebra", ALGEBRAS.values(), ids=ALGEBRAS.keys())


@each_algebra
@given(data=st.data())
def test_membership_agrees_with_the_operations(algebra: Algebra, data: st.DataObject) -> None:
    a, b = data.draw(algebra.sets), data.draw(algebra.sets)
    of = algebra.members_of
    assert of(a | b) == of(a) | of(b)
    assert of(a & b) == of(a) & of(b)
    assert of(a - b) == of(a) - of(b)
    assert (a <= b) is (a - b == algebra.nothing)
    if a <= b:
        assert of(a) <= of(b)


@each_algebra
@given(data=st.data())
def test_identity_and_idempotence(algebra: Algebra, data: st.DataObject) -> None:
    a = data.draw(algebra.sets)
    assert a | algebra.nothing == a == algebra.nothing | a
    assert a & algebra.everything == a == algebra.everything & a
    assert a & algebra.nothing == algebra.nothing == a - a == a - algebra.everything
    assert a | algebra.everything == algebra.everything
    assert a | a == a == a & a == a - algebra.nothing
    assert algebra.nothing <= a <= algebra.everything
    assert bool(a) is (a != algebra.nothing)


@each_algebra
@given(data=st.data())
def test_commutativity_and_associativity(algebra: Algebra, data: st.DataObject) -> None:
    a, b, c = (data.draw(algebra.sets) for _ in range(3))
    assert a | b == b | a
    assert a & b == b & a
    assert (a | b) | c == a | (b | c)
    assert (a & b) & c == a & (b & c)


@each_algebra
@given(data=st.data())
def test_distribution_and_de_morgan(algebra: Algebra, data: st.DataObject) -> None:
    a, b, c = (data.draw(algebra.sets) for _ in range(3))
    assert a & (b | c) == (a & b) | (a & c)
    assert a | (b & c) == (a | b) & (a | c)
    assert a - (b | c) == (a - b) & (a - c)
    assert a - (b & c) == (a - b) | (a - c)
    assert a - (a - b) == a & b


@each_algebra
@given(data=st.data())
def test_equal_members_are_equal_values_with_equal_hashes(
    algebra: Algebra, data: st.DataObject
) -> None:
    a, b = data.draw(algebra.sets), data.draw(algebra.sets)
    rebuilt = (a - b) | (a & b)
    assert rebuilt == a
    assert hash(rebuilt) == hash(a)
    assert ((a <= b) and (b <= a)) is (a == b)


@given(_intervals())
def test_intervals_are_sorted_disjoint_and_apart(intervals: IntervalSet) -> None:
    pairs = list(intervals)
    assert all(low <= high for low, high in pairs)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(pairs))
    assert intervals.size == sum(n in intervals for n in range(SMALL + 1))


@given(ADDRESSES)
def test_networks_cover_exactly_the_set(addresses: AddressSet) -> None:
    networks = list(addresses.networks())
    assert AddressSet.of(networks) == addresses
    assert all(not n.overlaps(m) for n in networks for m in networks if n != m and _same(n, m))
    assert str(addresses) == (", ".join(map(str, networks)) or "none")


@given(PORTS)
def test_ranges_and_words_say_the_whole_set(ports: PortSet) -> None:
    rebuilt = NOTHING
    for protocol, low, high in ports.ranges():
        is_other = protocol == OTHER
        rebuilt |= PortSet.protocol(OTHER) if is_other else PortSet.port(protocol, low, high)
    assert rebuilt == ports
    assert _read(str(ports)) == ports


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        (NOTHING, "none"),
        (EVERYTHING, "all"),
        (PortSet.protocol("UDP"), "UDP"),
        (PortSet.protocol(OTHER), "other"),
        (PortSet.port("TCP", 80) | PortSet.port("TCP", 443), "TCP/80,443"),
        (PortSet.port("SCTP", 1, 9) | PortSet.port("TCP", 80), "TCP/80 SCTP/1-9"),
        (PortSet.port("TCP", 65535) | PortSet.port("UDP", 0), "TCP/65535 UDP/0"),
    ],
)
def test_ports_as_words(ports: PortSet, words: str) -> None:
    assert str(ports) == words


def test_families_do_not_mix() -> None:
    """NP-25."""
    every_v4 = AddressSet.of([IPv4Network("0.0.0.0/0")])
    assert IPv6Address("::ffff:10.0.0.1") not in every_v4
    assert IPv6Address("::a00:1") not in every_v4


def _same(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return one.version == other.version


def _read(words: str) -> PortSet:
    if words == "all":
        return EVERYTHING
    result = NOTHING
    for word in words.split() if words != "none" else ():
        name, _, spans = word.partition("/")
        protocol = OTHER if name == "other" else name
        if not spans:
            result |= PortSet.protocol(protocol)
        for span in spans.split(",") if spans else ():
            low, _, high = span.partition("-")
            result |= PortSet.port(protocol, int(low), int(high or low))
    return result
