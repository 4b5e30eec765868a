"""name_outside: short, and exact unless it says that it is not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.questions.phrases.outside import name_outside
from podfence.sets import AddressSet


def addresses(*networks: str) -> AddressSet:
    return AddressSet.of(map(ip_network, networks))


def meant(name: str) -> AddressSet:
    """Reads a name again, term by term: what is excepted, and what is added within it."""
    found = AddressSet()
    for term in name.split(", plus "):
        inside, _, holes = term.partition(" except ")
        found = (found - addresses(*filter(None, holes.split(", ")))) | (
            addresses(*inside.split(", ")) - addresses(*filter(None, holes.split(", ")))
        )
    return found


TORN = addresses("2001:db8::/32") - addresses("2001:db8:1::/48")


@pytest.mark.parametrize(
    ("outside", "name"),
    [
        (addresses("192.0.2.0/24"), "192.0.2.0/24"),
        (addresses("192.0.2.0/24", "198.51.100.7/32"), "192.0.2.0/24, 198.51.100.7/32"),
        (addresses("0.0.0.0/0") - addresses("10.0.0.0/8"), "0.0.0.0/0 except 10.0.0.0/8"),
        (TORN, "2001:db8::/32 except 2001:db8:1::/48"),
        (addresses("::/0") - TORN, "::/0 except 2001:db8::/32, plus 2001:db8:1::/48"),
        (
            addresses("10.0.0.0/8") - addresses("10.1.0.0/16") | addresses("10.1.2.0/24"),
            "10.0.0.0/8 except 10.1.0.0/16, plus 10.1.2.0/24",
        ),
        (
            addresses(*(f"10.{n}.{n}.0/24" for n in range(1, 90, 3))),
            "10.1.1.0/24, 10.4.4.0/24, 10.7.7.0/24 and 27 more",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_name(outside: AddressSet, name: str) -> None:
    assert name_outside(outside) == name


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 255), st.integers(0, 8)), max_size=6))
def test_a_name_that_is_not_cut_short_is_exact(steps: list[tuple[bool, int, int]]) -> None:
    outside = AddressSet()
    for add, number, bits in steps:
        block = AddressSet.of([ip_network((number << 24, bits), strict=False)])
        outside = outside | block if add else outside - block
    name = name_outside(outside) if outside else ""
    if name and "more" not in name:
        assert meant(name) == outside
