"""Blocks of addresses, and the segments that they cut the line of addresses into."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from podfence.admission.decode import decode
from podfence.errors import Source
from podfence.model.networkpolicy import IPBlock, NetworkPolicy
from podfence.policy.addressblocks import AddressClasses, by_family, ip_block, volatile
from podfence.sets import AddressSet


def block(cidr: str, *excepted: str) -> IPBlock:
    return IPBlock(ip_network(cidr), tuple(map(ip_network, excepted)))


TEN = block("10.0.0.0/8", "10.1.0.0/16")
HOST = block("10.2.3.4/32")
SIX = block("fd00::/16")
CLASSES = AddressClasses.of([TEN, HOST, SIX, TEN])


@pytest.mark.parametrize(
    ("address", "blocks"),
    [
        pytest.param("9.255.255.255", [], id="before the first"),
        pytest.param("10.0.0.0", [TEN], id="CNP-17 the first address"),
        pytest.param("10.0.255.255", [TEN], id="before the except"),
        pytest.param("10.1.0.0", [], id="NP-24 in the except"),
        pytest.param("10.2.0.0", [TEN], id="after the except"),
        pytest.param("10.2.3.4", [TEN, HOST], id="in both"),
        pytest.param("10.255.255.255", [TEN], id="the last address"),
        pytest.param("11.0.0.0", [], id="after the last"),
        pytest.param("fd00:ffff::", [SIX], id="of the other family"),
        pytest.param("::ffff:10.0.0.1", [], id="NP-25 an IPv4-mapped address is IPv6"),
    ],
)
def test_blocks_that_hold_an_address(address: str, blocks: list[IPBlock]) -> None:
    found = {CLASSES.blocks[number] for number in CLASSES.signature(ip_address(address))}
    assert found == set(map(ip_block, blocks))


def test_equal_blocks_are_one() -> None:
    assert len(CLASSES.blocks) == 3


def test_the_segments_are_the_whole_line() -> None:
    for family, last in ((4, 2**32 - 1), (6, 2**128 - 1)):
        sizes = (members.size for _, members in CLASSES.segments[family].by_signature(family))
        assert sum(sizes) == last + 1


def test_a_family_without_members_is_no_block_unless_it_may_get_some() -> None:
    one = [ip_address("10.0.0.1")]
    assert [b.family for b in by_family("networks", AddressSet.of(one))] == [4]
    assert [(b.family, b.volatile) for b in volatile("nodes", one)] == [(4, True), (6, True)]


def test_np_25_an_except_of_the_other_family_cuts_nothing() -> None:
    whole = block("10.0.0.0/8", "fd00::/16")
    assert ip_block(whole).addresses == ip_block(block("10.0.0.0/8")).addresses


@pytest.mark.parametrize(
    ("excepted", "left"),
    [
        ("::ffff:10.0.0.0/104", []),  # as wide as the block
        ("::ffff:10.0.0.0/105", ["10.128.0.0/9"]),
    ],
)
def test_np_24_an_except_that_a_server_takes_is_taken(excepted: str, left: list[str]) -> None:
    """The server compares lengths as they are written."""
    written = {"cidr": "10.0.0.0/8", "except": [excepted]}
    data = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": "a"},
        "spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": written}]}]},
    }
    [policy] = decode(data, Source("-", 1), strict_cidrs=False).objects
    assert isinstance(policy, NetworkPolicy)
    found = policy.ingress[0].peers[0].ip_block
    assert found is not None
    assert ip_block(found).addresses == AddressSet.of(map(ip_network, left))
