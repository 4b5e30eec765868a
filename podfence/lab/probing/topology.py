"""Plans -> network namespaces, veth pairs, addresses and routes. Process: the lab process.

Rule: the process has left the host's network. The namespace it is in
then is the network beyond the nodes and holds the outside addresses; every node hangs on it by one
veth pair, every pod on its node by another::

    outside (home) ── n0:eth0 node ┬─ p100:eth0 pod
                                   └─ p101:eth0 pod

Addresses are /32 and /128 and every neighbour is permanent, so nothing is ever resolved or awaited.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from ipaddress import ip_address
from itertools import count

from msgspec import Struct

from podfence.errors import LabError
from podfence.kernel import netns
from podfence.kernel.netns import Sysctl
from podfence.kernel.rtnetlink import (
    Rtnetlink,
    RtnetlinkRequest,
    VethEnd,
    address_gone,
    default_route,
    host_address,
    host_route,
    link_gone,
    link_up,
    neighbour,
    route_gone,
    veth,
)
from podfence.lab.testbed.probeplan import LabNode, PartyKind, ProbeParty, ProbePlan
from podfence.sets.addresses import IPAddress

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


class _RunningPod(Struct, frozen=True):
    """A pod that is there. ``slot``: the number in the name of its interface on the node."""

    party: ProbeParty
    slot: int
    namespace: int


class Topology:
    """The namespaces of a lab, as descriptors, and the way from one plan to the next.

    ``home`` is the outside; ``nodes`` by name, the same for the whole life of a lab; ``of_party``:
    where each party of the plan lives, by its index. Raises LabError with the object that failed.
    """

    def __init__(self, plan: ProbePlan) -> None:
        """Nodes without pods. The calling thread is in the network that is to be the outside."""
        self.home = netns.current()
        self.nodes: dict[str, int] = {}
        self.of_party: dict[int, int] = {}
        self._links: dict[str, _Link] = {}
        self._pods: dict[str, _RunningPod] = {}
        self._outside: set[IPAddress] = set()
        self._settings = _settings()
        _apply_settings(self._settings.router)
        with Rtnetlink() as outside:
            outside.apply([link_up(_LOOPBACK)], of="the network outside")
            for number, node in enumerate(plan.nodes):
                self._add_node(number, node, outside)

    def grow(self, plan: ProbePlan) -> bool:
        """Make what is missing. What the plan has not stays, unless it is in the way. Returns
        whether a pod went, and its sockets with it."""
        wanted = {party.name: party for party in plan.parties if party.side is PartyKind.POD}
        addresses = {a for party in wanted.values() for a in party.addresses}
        in_the_way = [
            pod
            for pod in self._pods.values()
            if wanted.get(pod.party.name) != pod.party
            and (pod.party.name in wanted or addresses & set(pod.party.addresses))
        ]
        self._remove(in_the_way)
        self._set_outside((self._outside - addresses) | _outside_addresses(plan))
        new = [party for name, party in wanted.items() if name not in self._pods]
        for name, namespace in self.nodes.items():
            here = [party for party in new if party.node == name]
            if here:
                self._add_pods(name, namespace, here)
        return bool(in_the_way)

    def settle(self, plan: ProbePlan) -> None:
        """Become the plan: make what is missing, remove what it has not."""
        self.grow(plan)
        wanted = {party.name for party in plan.parties if party.side is PartyKind.POD}
        self._remove(pod for name, pod in self._pods.items() if name not in wanted)
        self._set_outside(_outside_addresses(plan))
        self.of_party = {at: self._namespace(party) for at, party in enumerate(plan.parties)}

    def namespace_of(self, name: str) -> int:
        """The descriptor of a pod's or node's namespace. Raises LabError when the lab has no pod or
        node of this name."""
        if name in self._pods:
            return self._pods[name].namespace
        if name in self.nodes:
            return self.nodes[name]
        raise LabError(f"the lab has no pod and no node named {name}")

    def _namespace(self, party: ProbeParty) -> int:
        return self.home if party.side is PartyKind.OUTSIDE else self.namespace_of(party.name)

    def _add_node(self, number: int, node: LabNode, outside: Rtnetlink) -> None:
        families = self._settings.families
        namespace = self.nodes[node.name] = netns.create()
        link = _Link(f"n{number}", _FIRST_INDEX + number, _mac(_NODE_MAC, number), node.addresses)
        self._links[node.name] = link
        with netns.inside(namespace):
            _apply_settings(self._settings.router)
            _attach(outside, link, namespace, families, f"node {node.name}")
        ways = (neighbour(GATEWAY[family], link.mac, link.index) for family in families)
        outside.apply(ways, of=f"node {node.name}")

    def _add_pods(self, node: str, namespace: int, parties: Iterable[ProbeParty]) -> None:
        link = self._links[node]
        with Rtnetlink() as outside:
            with netns.inside(namespace), Rtnetlink() as inner:
                for party in parties:
                    self._pods[party.name] = _build_pod(
                        self._free_slot(), party, inner, self._settings
                    )
            outside.apply(
                (
                    host_route(address, link.index, via=GATEWAY[address.version])
                    for party in parties
                    for address in party.addresses
                ),
                of=f"node {node}",
            )

    def _free_slot(self) -> int:
        taken = {pod.slot for pod in self._pods.values()}
        return next(slot for slot in count() if slot not in taken)

    def _remove(self, pods: Iterable[_RunningPod]) -> None:
        for pod in list(pods):
            of = f"pod {pod.party.name}"
            link = self._links[pod.party.node]
            with Rtnetlink() as outside:
                ways = ((a, link.index, GATEWAY[a.version]) for a in pod.party.addresses)
                outside.apply((route_gone(*way) for way in ways), of=of)
            with netns.inside(self.nodes[pod.party.node]), Rtnetlink() as node:
                node.apply([link_gone(_FIRST_INDEX + pod.slot)], of=of)
            os.close(pod.namespace)
            del self._pods[pod.party.name]

    def _set_outside(self, wanted: set[IPAddress]) -> None:
        with Rtnetlink() as outside:
            outside.apply(
                (
                    *(address_gone(a, _LOOPBACK) for a in sorted(self._outside - wanted, key=str)),
                    *(host_address(a, _LOOPBACK) for a in sorted(wanted - self._outside, key=str)),
                ),
                of="the network outside",
            )
        self._outside = wanted


def _outside_addresses(plan: ProbePlan) -> set[IPAddress]:
    return {a for party in plan.parties if party.side is PartyKind.OUTSIDE for a in party.addresses}


class _Settings(Struct, frozen=True):
    """What is set in a namespace before its first link exists. ``families``: IP versions that this
    machine has."""

    families: tuple[int, ...]
    host: tuple[Sysctl, ...]
    router: tuple[Sysctl, ...]


def _settings() -> _Settings:
    """All new namespaces are alike, so the current one tells whether IPv6 is off."""
    state = netns.read_sysctl("net/ipv6/conf/all/disable_ipv6")
    if state is None:
        return _Settings((4,), (), _ROUTER)
    host = (*(_ENABLE_V6 if state == "1" else ()), *_HOST_V6)
    return _Settings((4, 6), host, (*host, *_ROUTER, *_ROUTER_V6))


def _apply_settings(settings: Iterable[Sysctl]) -> None:
    for name, value in settings:
        netns.write_sysctl(name, value)


def _build_pod(slot: int, party: ProbeParty, node: Rtnetlink, settings: _Settings) -> _RunningPod:
    namespace = netns.create()
    link = _Link(f"p{slot}", _FIRST_INDEX + slot, _mac(_POD_MAC, slot), party.addresses)
    with netns.inside(namespace):
        _apply_settings(settings.host)
        _attach(node, link, namespace, party.families, f"pod {party.name}")
    return _RunningPod(party, slot, namespace)


class _Link(Struct, frozen=True):
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


def _upper_requests(link: _Link, namespace: int) -> Iterator[RtnetlinkRequest]:
    here = VethEnd(link.name, link.index, _GATEWAY_MAC)
    yield veth(here, VethEnd("eth0", _UPLINK, link.mac), namespace)
    for address in link.addresses:
        yield host_route(address, link.index)
        yield neighbour(address, link.mac, link.index)


def _lower_requests(link: _Link, families: Collection[int]) -> Iterator[RtnetlinkRequest]:
    yield link_up(_LOOPBACK)
    yield link_up(_UPLINK)
    for address in link.addresses:
        yield host_address(address, _UPLINK)
    for family in families:
        yield neighbour(GATEWAY[family], _GATEWAY_MAC, _UPLINK)
        yield default_route(GATEWAY[family], _UPLINK)


def _mac(kind: int, number: int) -> bytes:
    return bytes((0x02, kind)) + number.to_bytes(4, "big")
