"""A client pod, a node and a server pod: three network namespaces of their own per ruleset.

Rule: nothing outside is touched, and nothing waits: neighbours are permanent, IPv6 is off
where IPv4 is measured, and all is gone when the process ends. Every triple has the same addresses,
so that only rules differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from bench.packets.scenario import ENDS
from podfence.kernel import netns
from podfence.kernel.rtnetlink import (
    Rtnetlink,
    RtnetlinkRequest,
    VethEnd,
    default_route,
    host_address,
    host_route,
    link_up,
    neighbour,
    veth,
)
from podfence.sets.addresses import IPAddress

_GATEWAY = {4: ip_address("169.254.1.1"), 6: ip_address("fe80::1")}
_GATEWAY_MAC = bytes.fromhex("eeeeeeeeeeee")
_LOOPBACK, _UPLINK, _FIRST = 1, 2, 100
_QUIET = {
    4: (
        ("net/ipv6/conf/all/disable_ipv6", "1"),
        ("net/ipv6/conf/default/disable_ipv6", "1"),
    ),
    6: (("net/ipv6/conf/default/addr_gen_mode", "1"),),  # no address that nobody asked for
}
_ROUTER = {
    4: (
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
    ),
    6: (("net/ipv6/conf/all/forwarding", "1"),),
}
_POD = (("net/ipv4/tcp_syn_retries", "1"),)
"""A connection that is denied after all ends after three seconds, not after two minutes."""
_SHORT_MEMORY = (("net/netfilter/nf_conntrack_tcp_timeout_close", "1"),)
"""Closed connections leave the machine's one connection table before it fills."""


@dataclass(frozen=True)
class Triple:
    """Descriptors of the three namespaces."""

    client: int
    node: int
    server: int


def build(family: int) -> Triple:
    """A triple without rules, for one IP version. Raises LabError with the object that the kernel
    refused."""
    client, node, server = netns.create(), netns.create(), netns.create()
    with netns.inside(node), Rtnetlink() as upper:
        _set(*_QUIET[family], *_ROUTER[family])
        upper.apply([link_up(_LOOPBACK)])
        for slot, namespace in enumerate((client, server)):
            _attach(upper, slot, namespace, ENDS[family][slot])
    return Triple(client, node, server)


def keep_closed_connections_briefly() -> None:
    """For the namespace of a node, once its rules track connections."""
    _set(*_SHORT_MEMORY)


def _set(*settings: netns.Sysctl) -> None:
    for name, value in settings:
        if netns.read_sysctl(name) is not None:  # none without IPv6, or without tracking
            netns.write_sysctl(name, value)


def _attach(upper: Rtnetlink, slot: int, namespace: int, address: IPAddress) -> None:
    mac = bytes((2, 1, 0, 0, 0, slot))
    upper.apply(_upper(slot, namespace, address, mac))
    with netns.inside(namespace), Rtnetlink() as lower:
        _set(*_QUIET[address.version], *_POD)
        lower.apply(_lower(address))


def _upper(slot: int, namespace: int, address: IPAddress, mac: bytes) -> Iterable[RtnetlinkRequest]:
    here = VethEnd(f"p{slot}", _FIRST + slot, _GATEWAY_MAC)
    yield veth(here, VethEnd("eth0", _UPLINK, mac), namespace)
    yield host_route(address, here.index)
    yield neighbour(address, mac, here.index)


def _lower(address: IPAddress) -> Iterable[RtnetlinkRequest]:
    yield link_up(_LOOPBACK)
    yield link_up(_UPLINK)
    yield host_address(address, _UPLINK)
    gateway = _GATEWAY[address.version]
    yield neighbour(gateway, _GATEWAY_MAC, _UPLINK)
    yield default_route(gateway, _UPLINK)
