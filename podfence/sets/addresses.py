"""Sets of IP addresses, both families side by side.

Rule: families never mix (NP-25); an IPv4-mapped IPv6 address is an IPv6 address;
``unmapped`` is for those who read text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
)

from msgspec import Struct

from podfence.sets.intervals import IntervalSet

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
V4_MAX = 2**32 - 1
V6_MAX = 2**128 - 1
_BITS = {4: 32, 6: 128}


def unmapped(address: IPAddress) -> IPAddress:
    """IPv4 that is written as IPv6 (``::ffff:10.0.0.1``) as IPv4, as Go reads addresses (NP-29)."""
    return (address.version == 6 and address.ipv4_mapped) or address


def _span(network: IPNetwork) -> tuple[int, int]:
    return int(network.network_address), int(network.broadcast_address)


class AddressSet(Struct, frozen=True):
    """An immutable set of addresses; ``v4`` and ``v6`` hold them as integers. :meth:`of` checks
    what it is given."""

    v4: IntervalSet = IntervalSet()
    v6: IntervalSet = IntervalSet()

    def __post_init__(self) -> None:
        """Raises ValueError for integers that are no addresses of the IP version."""
        for members, last in ((self.v4, V4_MAX), (self.v6, V6_MAX)):
            spans = members.intervals
            if spans and (spans[0][0] < 0 or spans[-1][1] > last):
                raise ValueError(f"no addresses: {spans[0][0]} to {spans[-1][1]}")

    @classmethod
    def of(cls, items: Iterable[IPNetwork | IPAddress]) -> AddressSet:
        """The union of networks and single addresses."""
        spans: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for item in items:
            if isinstance(item, IPv4Network | IPv6Network):
                spans[item.version].append(_span(item))
            else:
                spans[item.version].append((int(item), int(item)))
        return cls(IntervalSet.of(*spans[4]), IntervalSet.of(*spans[6]))

    @classmethod
    def union(cls, sets: Iterable[AddressSet]) -> AddressSet:
        """The union of many sets, in one pass over all of their intervals."""
        spans: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for addresses in sets:
            spans[4] += addresses.v4
            spans[6] += addresses.v6
        return cls(IntervalSet.of(*spans[4]), IntervalSet.of(*spans[6]))

    def family(self, version: int) -> IntervalSet:
        """The members of IP version 4 or 6, as integers."""
        return self.v4 if version == 4 else self.v6

    def __contains__(self, address: IPAddress) -> bool:
        return int(address) in self.family(address.version)

    def __bool__(self) -> bool:
        return bool(self.v4) or bool(self.v6)

    def __or__(self, other: AddressSet) -> AddressSet:
        return AddressSet(self.v4 | other.v4, self.v6 | other.v6)

    def __and__(self, other: AddressSet) -> AddressSet:
        return AddressSet(self.v4 & other.v4, self.v6 & other.v6)

    def __sub__(self, other: AddressSet) -> AddressSet:
        return AddressSet(self.v4 - other.v4, self.v6 - other.v6)

    def __le__(self, other: AddressSet) -> bool:
        """Subset."""
        return self.v4 <= other.v4 and self.v6 <= other.v6

    def prefixes(self, version: int) -> Iterator[tuple[int, int]]:
        """The fewest networks that cover exactly one family, as (first address, prefix length)."""
        bits = _BITS[version]
        for low, high in self.family(version):
            while low <= high:
                aligned = (low & -low).bit_length() - 1 if low else bits
                host = min(aligned, (high - low + 1).bit_length() - 1)
                yield low, bits - host
                low += 1 << host

    def networks(self) -> Iterator[IPNetwork]:
        """The fewest networks that cover exactly this set, IPv4 first."""
        yield from map(IPv4Network, self.prefixes(4))
        yield from map(IPv6Network, self.prefixes(6))

    def __str__(self) -> str:
        return ", ".join(str(network) for network in self.networks()) or "none"


EVERY_ADDRESS = AddressSet(IntervalSet.of((0, V4_MAX)), IntervalSet.of((0, V6_MAX)))

EVERY_ADDRESS_OF = {
    4: AddressSet(v4=EVERY_ADDRESS.v4),
    6: AddressSet(v6=EVERY_ADDRESS.v6),
}
"""By IP version."""
