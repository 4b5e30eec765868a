"""LabPlan -> network namespaces, veth pairs, addresses and routes.

Rule: runs in the lab process only, after it has left the host's network. The namespace it is in
then is the network beyond the nodes and holds the outside addresses; every node hangs on it by one
veth pair, every pod on its node by another::

    outside (home) ── n0:eth0 node ┬─ p100:eth0 pod
                                   └─ p101:eth0 pod

Addresses are /32 and /128 and every neighbour is permanent, so nothing is ever resolved or awaited.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

from podfence.edge import netns
from podfence.edge.netns import Sysctl
from podfence.edge.rtnetlink import (
    Request,
    Rtnetlink,
    VethEnd,
    default_route,
    host_address,
    host_route,
    link_up,
    neighbour,
    veth,
)
from podfence.lab.plan import LabNode, LabPlan, Party, Side
from podfence.model.objects import IPAddress

GATEWAY = {4: ip_address("169.254.1.1"), 6: ip_address("fe80::1")}
"""Next hop on every link, seen from either end; the link has two ends, so it is the other one."""
_GATEWAY_MAC = bytes.fromhex("eeeeeeeeeeee")
_LOOPBACK = 1
_UPLINK = 2
_FIRST_INDEX = 100
_NODE_MAC, _POD_MAC = 1, 2

_ROUTER = (
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
)
_ROUTER_V6 = (("net/ipv6/conf/all/forwarding", "1"),)
_HOST_V6 = (
    ("net/ipv6/conf/default/addr_gen_mode", "1"),  # no link-local address: nothing to detect
)
_ENABLE_V6 = (
    ("net/ipv6/conf/all/disable_ipv6", "0"),
    ("net/ipv6/conf/default/disable_ipv6", "0"),
)


@dataclass(slots=True)
class Topology:
    """Descriptors of the namespaces: ``home`` is the outside; ``nodes`` by name; ``of_party`` where
    each party of the plan lives, by its place."""

    home: int
    nodes: dict[str, int] = field(default_factory=dict)
    of_party: dict[int, int] = field(default_factory=dict)


def build(plan: LabPlan) -> Topology:
    """Build everything that the plan names. Raises LabError with the object that failed."""
    families = frozenset(a.version for party in plan.parties for a in party.addresses)
    topology = Topology(netns.current())
    settings = _settings(families)
    _apply_settings(settings.router)
    with Rtnetlink() as outside:
        outside.apply(_outside_requests(plan), of="the network outside")
        for number, node in enumerate(plan.nodes):
            _build_node(topology, plan, number, outside, settings)
            _place_parties(topology, plan, node)
    return topology


@dataclass(frozen=True, slots=True)
class _Settings:
    """What is set in a namespace before its first link exists."""

    host: tuple[Sysctl, ...]
    router: tuple[Sysctl, ...]


def _settings(families: Collection[int]) -> _Settings:
    """New namespaces are all alike, so the one that we are in tells whether IPv6 is off."""
    if 6 not in families:
        return _Settings((), _ROUTER)
    off = netns.read_sysctl("net/ipv6/conf/all/disable_ipv6") == "1"
    host = (*(_ENABLE_V6 if off else ()), *_HOST_V6)
    return _Settings(host, (*host, *_ROUTER, *_ROUTER_V6))


def _apply_settings(settings: Iterable[Sysctl]) -> None:
    for name, value in settings:
        netns.write_sysctl(name, value)


def _outside_requests(plan: LabPlan) -> Iterator[Request]:
    yield link_up(_LOOPBACK)
    for party in plan.parties:
        if party.side is Side.OUTSIDE:
            for address in party.addresses:
                yield host_address(address, _LOOPBACK)


def _place_parties(topology: Topology, plan: LabPlan, node: LabNode) -> None:
    for place, party in enumerate(plan.parties):
        if party.side is Side.OUTSIDE:
            topology.of_party[place] = topology.home
        elif party.side is Side.NODE and party.node == node.name:
            topology.of_party[place] = topology.nodes[node.name]


def _build_node(
    topology: Topology, plan: LabPlan, number: int, outside: Rtnetlink, settings: _Settings
) -> None:
    node = plan.nodes[number]
    families = sorted({a.version for party in plan.parties for a in party.addresses})
    namespace = topology.nodes[node.name] = netns.create()
    link = _Link(f"n{number}", _FIRST_INDEX + number, _mac(_NODE_MAC, number), node.addresses)
    with netns.inside(namespace):
        _apply_settings(settings.router)
        _attach(outside, link, namespace, families, f"node {node.name}")
        with Rtnetlink() as inner:
            for place, party in enumerate(plan.parties):
                if party.side is Side.POD and party.node == node.name:
                    topology.of_party[place] = _build_pod(place, party, inner, settings)
    outside.apply(_routes_behind(plan, node, link, families), of=f"node {node.name}")


def _build_pod(place: int, party: Party, node: Rtnetlink, settings: _Settings) -> int:
    namespace = netns.create()
    link = _Link(f"p{place}", _FIRST_INDEX + place, _mac(_POD_MAC, place), party.addresses)
    with netns.inside(namespace):
        _apply_settings(settings.host)
        _attach(node, link, namespace, party.families, f"pod {party.name}")
    return namespace


@dataclass(frozen=True, slots=True)
class _Link:
    """A veth pair between a network and a namespace that hangs on it."""

    name: str
    index: int
    mac: bytes
    addresses: tuple[IPAddress, ...]


def _attach(
    upper: Rtnetlink, link: _Link, namespace: int, families: Collection[int], of: str
) -> None:
    """Hang ``namespace``, in which the calling thread is, on the network of ``upper``."""
    upper.apply(_upper_requests(link, namespace), of=of)
    with Rtnetlink() as lower:
        lower.apply(_lower_requests(link, families), of=of)


def _upper_requests(link: _Link, namespace: int) -> Iterator[Request]:
    here = VethEnd(link.name, link.index, _GATEWAY_MAC)
    yield veth(here, VethEnd("eth0", _UPLINK, link.mac), namespace)
    for address in link.addresses:
        yield host_route(address, link.index)
        yield neighbour(address, link.mac, link.index)


def _lower_requests(link: _Link, families: Collection[int]) -> Iterator[Request]:
    yield link_up(_LOOPBACK)
    yield link_up(_UPLINK)
    for address in link.addresses:
        yield host_address(address, _UPLINK)
    for family in families:
        yield neighbour(GATEWAY[family], _GATEWAY_MAC, _UPLINK)
        yield default_route(GATEWAY[family], _UPLINK)


def _routes_behind(
    plan: LabPlan, node: LabNode, link: _Link, families: Collection[int]
) -> Iterator[Request]:
    """From the outside to the pods of a node, by the node."""
    for family in families:
        yield neighbour(GATEWAY[family], link.mac, link.index)
    for party in plan.parties:
        if party.side is Side.POD and party.node == node.name:
            for address in party.addresses:
                yield host_route(address, link.index, via=GATEWAY[address.version])


def _mac(kind: int, number: int) -> bytes:
    return bytes((0x02, kind)) + number.to_bytes(4, "big")
