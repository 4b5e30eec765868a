"""Which addresses an interface of a lab can have, and which one represents a set of them. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import chain

from podfence.sets import AddressSet
from podfence.sets.addresses import IPAddress

_UNUSABLE = AddressSet.of(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",  # holds the gateway that every pod of the lab uses
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "::/64",  # unspecified, loopback, IPv4-mapped
        "fe80::/10",
        "ff00::/8",
    )
)
_PREFERRED = tuple(
    ip_address(text)
    for text in ("203.0.113.10", "198.51.100.10", "192.0.2.10", "2001:db8::10", "2001:db8:1::10")
)
"""Addresses reserved for documentation: a reader sees that they belong to no one."""


def is_usable(address: IPAddress) -> bool:
    """Whether an interface can carry the address and packets to it are routed."""
    return address not in _UNUSABLE


def representative(
    addresses: AddressSet, family: int, taken: Container[IPAddress] = ()
) -> IPAddress | None:
    """One usable address of a family that is not ``taken``; None when there is none.

    Documentation addresses come first, the ends of a range last, because they may be network or
    broadcast addresses.
    """
    usable = addresses - _UNUSABLE
    preferred = (a for a in _PREFERRED if a.version == family and a in usable)
    others = _inside_first(usable, family)
    return next((a for a in chain(preferred, others) if a not in taken), None)


def _inside_first(addresses: AddressSet, family: int) -> Iterator[IPAddress]:
    make = IPv4Address if family == 4 else IPv6Address
    for low, high in addresses.family(family):
        yield from map(make, range(low + 1, high))
    for low, high in addresses.family(family):
        yield make(low)
        yield make(high)
