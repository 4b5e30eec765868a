"""The pods behind an entry, grouped where policies cannot tell them apart, with their port."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from msgspec import Struct

from podfence.model.entries import EntryPoint
from podfence.model.objects import Pod, Service
from podfence.policy.index import Endpoint
from podfence.sets import AddressSet, PortSet

_EXAMPLES: Final = tuple(
    map(ip_address, ("203.0.113.1", "198.51.100.1", "192.0.2.1", "2001:db8::1"))
)
"""Addresses that stand for anybody outside (RFC 5737, RFC 3849)."""


class EntryTarget(Struct, frozen=True):
    """Pods behind an entry that policies cannot tell apart, and their port."""

    name: str
    endpoint_class: int
    port: int
    wanted: PortSet
    pods: tuple[str, ...]
    families: tuple[int, ...]


def numbers_of(entry: EntryPoint, service: Service | None, pod: Pod) -> Iterable[int]:
    """The ports of a pod that an entry leads to."""
    if service is None or entry.is_target:
        return (entry.port,) if isinstance(entry.port, int) else ()
    ports = [
        port
        for port in service.ports
        if port.protocol is entry.protocol and entry.port in (None, port.port, port.name or None)
    ]
    return dict.fromkeys(number for port in ports if (number := port.on(pod)) is not None)


def shared_families(end: Endpoint, target: EntryTarget) -> tuple[int, ...]:
    """The IP versions that both speak."""
    own = {address.version for address in end.addresses}
    return tuple(family for family in target.families if family in own)


def example_of(addresses: AddressSet) -> str:
    """One of some addresses, to show what becomes of them; "" of none."""
    for each in _EXAMPLES:
        if each in addresses:
            return str(each)
    first = next(addresses.networks(), None)
    return "" if first is None else str(first.network_address)
