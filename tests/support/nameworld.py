"""A node with pods, a resolver and an outside, for names: an agent without an API server.

Rule: everything lives in namespaces of its own, held by descriptors. What enforces and what reads
answers are the agent's own threads; what the API would tell is told by hand.
"""

from __future__ import annotations

import io
import os
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.rdatatype
import dns.rrset

from podfence.agent.enforcer import Enforcer
from podfence.agent.inbox import Inbox
from podfence.agent.keptfiles import NameFile
from podfence.agent.log import EventLog
from podfence.agent.names import Names
from podfence.agent.resolvers import Resolvers
from podfence.agent.table import KernelTable
from podfence.agent.wanted import DesiredState
from podfence.kernel import netns
from podfence.kernel.rtnetlink import (
    Rtnetlink,
    VethEnd,
    default_route,
    host_address,
    host_route,
    link_up,
    neighbour,
    veth,
)
from podfence.model.cluster import ClusterObject
from podfence.model.facts import Put
from podfence.nft.lowering.lower import LocalNode
from podfence.policy.domains import At
from podfence.sets.addresses import IPAddress
from podfence.testing.builders import cluster_peer, cluster_policy, cluster_rule, namespace, pod
from podfence.testing.facts import facts_of

NODE = "n1"
WEB = ("10.7.0.2", "fd00:7::2")
OTHER = ("10.7.0.3", "fd00:7::3")
RESOLVER = ("10.7.0.53", "fd00:7::53")
OUTSIDE = tuple(f"192.0.2.{n}" for n in range(1, 9)) + tuple(f"2001:db8::{n}" for n in range(1, 9))
ENOUGH = float(os.environ.get("PODFENCE_PATIENCE", "60"))
_GATEWAYS = {4: ip_address("169.254.1.1"), 6: ip_address("fe80::1")}
_GATEWAY_MAC = bytes.fromhex("eeeeeeeeeeee")
_LOOPBACK, _UPLINK = 1, 2
_SYSCTLS = (
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
)
_UNTRACKED = """add table ip raw
add chain ip raw in {{ type filter hook prerouting priority -300; }}
add chain ip raw out {{ type filter hook output priority -300; }}
add rule ip raw in ip daddr {0} meta l4proto {{ tcp, udp }} th dport 53 notrack
add rule ip raw out ip saddr {0} meta l4proto {{ tcp, udp }} th sport 53 notrack"""
Record = tuple[str, int, str, str]
"""Owner, seconds, type, value."""


class Spot:
    """A namespace with some addresses."""

    def __init__(self, namespace: int, addresses: Iterable[str]) -> None:
        self.namespace = namespace
        self.addresses: list[IPAddress] = [ip_address(text) for text in addresses]

    def address(self, family: int) -> str:
        return str(next(each for each in self.addresses if each.version == family))

    def socket(self, kind: socket.SocketKind, address: str, port: int = 0) -> socket.socket:
        with netns.inside(self.namespace):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            opened = socket.socket(family, kind)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        opened.settimeout(ENOUGH)
        return opened


class PodSpot(Spot):
    """One that hangs on the node by one link."""

    def __init__(self, node: int, number: int, addresses: Iterable[str]) -> None:
        super().__init__(netns.create(), addresses)
        self.index = 100 + number
        mac = bytes((2, 2)) + number.to_bytes(4, "big")
        with netns.inside(node), Rtnetlink() as links:
            here = VethEnd(f"p{number}", self.index, _GATEWAY_MAC)
            made = [veth(here, VethEnd("eth0", _UPLINK, mac), self.namespace)]
            for each in self.addresses:
                made += [host_route(each, self.index), neighbour(each, mac, self.index)]
            links.apply(made, of="node")
        with netns.inside(self.namespace), Rtnetlink() as links:
            made = [link_up(_LOOPBACK), link_up(_UPLINK)]
            made += [host_address(each, _UPLINK) for each in self.addresses]
            for family in {each.version for each in self.addresses}:
                gateway = _GATEWAYS[family]
                made += [neighbour(gateway, _GATEWAY_MAC, _UPLINK), default_route(gateway, _UPLINK)]
            links.apply(made, of="position")

    def inject(self, data: bytes) -> None:
        """Send a packet as it is out of here, whoever it says that it is from."""
        with netns.inside(self.namespace):
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        with raw:
            raw.sendto(data, ("eth0", 0x800, 0, 0, _GATEWAY_MAC))


class Server:
    """A resolver that says what ``records`` has for a name, all of it, in one answer."""

    def __init__(self, spot: Spot) -> None:
        self.records: Mapping[str, list[Record]] = {}
        self.asked = 0
        for address in spot.addresses:
            datagrams = spot.socket(socket.SOCK_DGRAM, str(address), 53)
            datagrams.settimeout(None)
            threading.Thread(target=self._udp, args=(datagrams,), daemon=True).start()
            listening = spot.socket(socket.SOCK_STREAM, str(address), 53)
            listening.settimeout(None)
            listening.listen(16)
            threading.Thread(target=self._tcp, args=(listening,), daemon=True).start()

    def answer(self, data: bytes) -> bytes:
        asked = dns.message.from_wire(data)
        self.asked += 1
        made = dns.message.make_response(asked)
        question = asked.question[0]
        for owner, seconds, kind, value in self.records.get(question.name.to_text(True), ()):
            if kind in ("CNAME", dns.rdatatype.to_text(question.rdtype)):
                made.answer.append(dns.rrset.from_text(f"{owner}.", seconds, "IN", kind, value))
        return made.to_wire(max_size=65535)

    def _udp(self, opened: socket.socket) -> None:
        while True:
            data, sender = opened.recvfrom(65535)
            opened.sendto(self.answer(data), sender)

    def _tcp(self, opened: socket.socket) -> None:
        while True:
            client, _ = opened.accept()
            with client, suppress(OSError):
                data = client.recv(65535)
                said = self.answer(data[2:])
                client.sendall(struct.pack(">H", len(said)) + said)


class NameWorld:
    """One node and its agent. ``policy``: names that pods may connect to, at any port, beside the
    resolver; everything else outside is closed."""

    def __init__(self, folder: Path, outside: Iterable[str] = OUTSIDE) -> None:
        self.folder = folder
        self.node = netns.create()
        with netns.inside(self.node):
            for sysctl in _SYSCTLS:
                netns.write_sysctl(*sysctl)
            with Rtnetlink() as links:
                links.apply([link_up(_LOOPBACK)], of="node")
        self.web = PodSpot(self.node, 1, WEB)
        self.other = PodSpot(self.node, 2, OTHER)
        self.resolver: Spot = PodSpot(self.node, 3, RESOLVER)
        self.outside = PodSpot(self.node, 4, outside)
        self.server = Server(self.resolver)
        self.given: frozenset[At] = frozenset()
        self.agent = Threads(self)

    def close(self) -> None:
        self.agent.stop()
        spots = (self.web, self.other, self.resolver, self.outside)
        for opened in {self.node, *(spot.namespace for spot in spots)}:
            os.close(opened)

    def restart(self) -> None:
        """The agent ends, and another one begins; what is in the kernel stays."""
        things = self.agent.things
        self.agent.stop()
        self.agent = Threads(self)
        self.agent.start(things)

    def caches(self, address: str) -> None:
        """The node has a resolver of its own, whose packets have no connection (NodeLocal DNSCache
        wants it so). Before the first policy."""
        with netns.inside(self.node):
            with Rtnetlink() as links:
                links.apply([host_address(ip_address(address), _LOOPBACK)], of="node")
            subprocess.run(["nft", _UNTRACKED.format(address)], check=True)
        self.resolver = Spot(self.node, [address])
        self.server = Server(self.resolver)
        self.given = frozenset([(4, int(ip_address(address)))])
        self.agent.stop()
        self.agent = Threads(self)

    def allow(
        self, *names: str, denied: str = "203.0.113.0/24", resolvers: str = "198.18.0.0/32"
    ) -> None:
        """The policies of the node, and whom they are about. ``denied``: whatever names say.
        ``resolvers``: networks that are open beside the pods."""
        rules = [
            cluster_rule("Accept", cluster_peer(domain_names=names[at : at + 25]))
            for at in range(0, len(names), 25)
        ]
        pods: list[ClusterObject] = [
            namespace("shop"),
            namespace("kube-system"),
            pod("shop/web", {"app": "web"}, addresses=WEB, node=NODE),
            pod("shop/other", {"app": "web"}, addresses=OTHER, node=NODE),
            pod("kube-system/dns", {"k8s-app": "kube-dns"}, addresses=RESOLVER, node=NODE),
        ]
        policies = [
            cluster_policy(
                f"names{part}",
                priority=part + 1,
                pods={"app": "web"},
                egress=rules[part * 24 : part * 24 + 24],
            )
            for part in range(len(rules) // 24 + 1)
        ]
        closed = cluster_policy(
            "closed",
            priority=900,
            pods={"app": "web"},
            egress=[
                cluster_rule("Accept", cluster_peer(pods={}), cluster_peer(networks=[resolvers])),
                cluster_rule("Deny", cluster_peer(networks=["0.0.0.0/0", "::/0"])),
            ],
        )
        deny = cluster_rule("Deny", cluster_peer(networks=[denied]))
        first = cluster_policy("first", pods={"app": "web"}, egress=[deny])
        things: list[ClusterObject] = [*pods, first, *policies, closed]
        if self.agent.things:
            self.agent.tell(things)
        else:
            self.agent.start(things)

    # -- what a pod does

    def ask(
        self,
        name: str,
        kind: str = "A",
        family: int = 4,
        number: int = 7,
        tcp: bool = False,
    ) -> None:
        """Ask the resolver, and wait for its answer."""
        data = dns.message.make_query(name, kind, id=number).to_wire()
        kind_of_socket = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        with self.web.socket(kind_of_socket, self.web.address(family)) as asking:
            asking.connect((self.resolver.address(family), 53))
            asking.send(struct.pack(">H", len(data)) + data if tcp else data)
            assert asking.recv(65535)

    def passes(self, address: str, patience: float = 0.3, by: PodSpot | None = None) -> bool:
        """Whether the first packet of a new connection of a pod arrives."""
        pod = by or self.web
        family = 6 if ":" in address else 4
        with (
            pod.socket(socket.SOCK_DGRAM, pod.address(family)) as one,
            self.outside.socket(socket.SOCK_DGRAM, address, 443) as other,
            selectors.DefaultSelector() as ready,
        ):
            one.sendto(b"x", (address, 443))
            ready.register(other, selectors.EVENT_READ)
            return bool(ready.select(patience))

    def becomes(self, expected: bool, address: str) -> None:
        """Wait until new connections pass, or do so no more."""
        self.until(lambda: self.passes(address) is expected, f"{address} {expected}")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + ENOUGH
        while not holds():
            assert time.monotonic() < end, (what, self.agent.names.counts(), self.agent.text())
            time.sleep(0.02)


class Threads:
    """What of an agent enforces and reads."""

    def __init__(self, world: NameWorld) -> None:
        self._world = world
        self._out = io.StringIO()
        log = EventLog(self._out)
        node = LocalNode(NODE)
        self.inbox = Inbox(NODE, [("Pod", "")])
        self.resolvers = Resolvers(self.inbox, lambda: world.given)
        self.names = Names(
            self.inbox.tell,
            lambda: self.resolvers.addresses,
            node.log_group + 1,
            NameFile(world.folder, 0),
            log,
            world.node,
        )
        self.table = KernelTable(node.mark_mask, None, world.node)
        self.enforcer = Enforcer(node, self.table, self.inbox, log, time.monotonic)
        self.stopped = threading.Event()
        self.things: list[ClusterObject] = []
        self._threads: list[threading.Thread] = []

    def start(self, things: list[ClusterObject]) -> None:
        self.names.begin()
        self.tell(things)
        self.inbox._missing.clear()
        for run in (
            lambda: self.enforcer.run(self._between),
            lambda: self.names.run(self.stopped),
        ):
            self._threads.append(threading.Thread(target=run, daemon=True))
            self._threads[-1].start()
        listening = self._world.agent.names
        self._world.until(lambda: bool(listening._trusted), "listening")

    def tell(self, things: list[ClusterObject]) -> None:
        self.things = things
        self.resolvers.tell([(Put(facts_of(each)), "") for each in things], time.monotonic())

    def stop(self) -> None:
        self.stopped.set()
        self.inbox.end()
        for thread in self._threads:
            thread.join(ENOUGH)
        self.table.close()

    def text(self) -> str:
        return self._out.getvalue()

    def _between(self, wanted: DesiredState) -> None:
        if wanted.in_sync:
            self.names.want(wanted.names)


@contextmanager
def name_world(folder: Path, outside: Iterable[str] = OUTSIDE) -> Iterator[NameWorld]:
    """A world for the time of a ``with``. ``outside``: addresses that no policy allows."""
    made = NameWorld(folder, outside)
    try:
        yield made
    finally:
        made.close()
