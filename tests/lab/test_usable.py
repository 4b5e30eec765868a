"""Addresses that an interface of the lab can carry."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from podfence.lab.testbed.usable import is_usable, representative
from podfence.sets import AddressSet


def addresses(*texts: str) -> AddressSet:
    return AddressSet.of(ip_network(text) for text in texts)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "169.254.1.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "fe80::1",
        "ff02::1",
    ],
)
def test_addresses_that_no_lab_interface_can_carry(address: str) -> None:
    assert not is_usable(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.0.0.0", "10.0.0.1", "203.0.113.9", "fd00::1", "2001:db8::1"]
)
def test_usable_addresses(address: str) -> None:
    assert is_usable(ip_address(address))


@pytest.mark.parametrize(
    ("networks", "family", "expected"),
    [
        pytest.param(["0.0.0.0/0"], 4, "203.0.113.10", id="documentation-first"),
        pytest.param(["::/0"], 6, "2001:db8::10", id="documentation-first-v6"),
        pytest.param(["10.0.0.0/8"], 4, "10.0.0.1", id="not-the-network-address"),
        pytest.param(["10.0.0.0/31"], 4, "10.0.0.0", id="a-pair-has-no-inside"),
        pytest.param(["10.0.0.7/32", "10.1.0.0/30"], 4, "10.1.0.1", id="wider-range-preferred"),
        pytest.param(["10.0.0.7/32"], 4, "10.0.0.7", id="single"),
        pytest.param(["255.0.0.0/8", "127.0.0.0/8"], 4, None, id="nothing-usable"),
        pytest.param(["10.0.0.0/8"], 6, None, id="other-family"),
    ],
)
def test_representative(networks: list[str], family: int, expected: str | None) -> None:
    found = representative(addresses(*networks), family)
    assert found == (None if expected is None else ip_address(expected))


def test_representative_is_not_a_taken_address() -> None:
    taken = {ip_address("10.0.0.0"), ip_address("10.0.0.1")}
    assert representative(addresses("10.0.0.0/30"), 4, taken) == ip_address("10.0.0.2")


def test_no_representative_when_all_are_taken() -> None:
    taken = {ip_address("10.0.0.0"), ip_address("10.0.0.1")}
    assert representative(addresses("10.0.0.0/31"), 4, taken) is None
