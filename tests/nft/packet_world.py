"""A node with three pods in namespaces of their own, and real packets through its ruleset.

Rule: run only by ``test_packets`` through ``unshare``: the process's own network namespace is the
node. Prints what it observed as JSON; what should have been observed stands in the test.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from podfence.kernel.nftcli import run_nft
from podfence.model.cluster import ClusterObject
from podfence.nft.lowering.lower import lower
from podfence.nft.render import render
from podfence.testing.builders import cluster_policy, cluster_rule, peer, policy, rule
from tests.nft.cases import DENY_ALL, NODE, index_of
from tests.nft.packet_sockets import (
    Address,
    bound,
    connection,
    on_link,
    raw,
    say,
    send,
    tcp,
    there,
    there_and_back,
    unreachable,
)

T = TypeVar("T")
CLONE_NEWNET = 0x40000000
NAT = """
table inet other {
	chain pre {
		type nat hook prerouting priority -100;
		ip daddr 10.96.0.1 udp dport 80 dnat ip to 10.1.0.2:5432
		ip daddr 10.96.0.2 dnat ip to 10.1.0.1
	}
	chain post {
		type nat hook postrouting priority 100;
		ip saddr . ip daddr { 10.1.0.1 . 10.1.0.1 } masquerade
	}
	chain raw {
		type filter hook prerouting priority -300;
		udp dport 7777 notrack
		udp sport 7777 notrack
	}
	ct helper ftp {
		type "ftp" protocol tcp;
	}
	chain helpers {
		type filter hook prerouting priority -150;
		tcp dport 21 ct helper set "ftp"
	}
}
"""
FTP_ALONE = (
    policy("shop/ftp", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=["21/TCP"])]),
)
"""Who may open a control connection, and nothing besides."""
WEB_TO_DB = (
    DENY_ALL,
    policy(
        "shop/web-out", {"app": "web"}, egress=[rule(peer(pods={"app": "db"}))], types=["Egress"]
    ),
    policy(
        "shop/db-in", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=["5432/UDP"])]
    ),
)
WEB_OUT = policy("shop/web-out", {"app": "web"}, egress=[rule()], types=["Egress"])
WEB_TO_ALL = (
    policy("shop/from-web", {}, ingress=[rule(peer(pods={"app": "web"}))], types=["Ingress"]),
)


def tiers(admin: str = "", baseline: str = "") -> tuple[ClusterObject, ...]:
    """The ingress of every pod, by what each tier says."""
    said = {"Admin": admin, "Baseline": baseline}
    return tuple(
        cluster_policy(tier.lower(), tier=tier, ingress=[cluster_rule(action)])
        for tier, action in said.items()
        if action
    )


(ADMIN_DENIES,) = tiers("Deny")
(ADMIN_ACCEPTS,) = tiers("Accept")
LADDER: dict[str, tuple[ClusterObject, ...]] = {
    "Admin denies": tiers("Deny", "Accept"),
    "Admin accepts, isolated": (*tiers("Accept"), DENY_ALL, WEB_OUT),
    "Admin accepts, Baseline denies": tiers("Accept", "Deny"),
    "Admin passes": tiers("Pass"),
    "Admin passes, isolated": (*tiers("Pass", "Accept"), DENY_ALL, WEB_OUT),
    "Admin passes, allowed by isolation": (*tiers("Pass", "Deny"), *WEB_TO_ALL),
    "Admin passes, Baseline denies": tiers("Pass", "Deny"),
    "Baseline denies": tiers("", "Deny"),
    "Baseline passes": tiers("", "Pass"),
    "Baseline accepts": tiers("", "Accept"),
}
LED_BACK: dict[str, tuple[ClusterObject, ...]] = {
    "isolated": (DENY_ALL,),
    "Admin denies": (ADMIN_DENIES,),
    "Admin passes, isolated": (*tiers("Pass"), DENY_ALL),
    "Baseline denies": tiers("", "Deny"),
}


class Pod:
    """A namespace on a thread of its own; sockets made there stay there."""

    def __init__(self, number: int) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.v4, self.v6 = f"10.1.0.{number}", f"fd00:1::{number}"
        self.link = f"fe80::10{number}"
        fd = self._inside(_new_namespace)
        ip(f"link add v{number} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{fd}")
        ip(f"link set v{number} up")
        ip(f"addr add 169.254.1.1/32 dev v{number}")
        ip(f"addr add fe80::1/64 dev v{number} nodad")
        for command in (
            "link set lo up",
            "link set eth0 up",
            f"addr add {self.v4}/32 dev eth0",
            f"addr add {self.v6}/128 dev eth0 nodad",
            f"addr add {self.link}/64 dev eth0 nodad",
            "route add 169.254.1.1 dev eth0",
            "route add default via 169.254.1.1",
            "route add default via fe80::1 dev eth0",
        ):
            self._inside(partial(ip, command))
        ip(f"route add {self.v4} dev v{number}")
        ip(f"route add {self.v6} dev v{number}")

    def udp(self, port: int = 0, family: int = 4) -> socket.socket:
        """A socket bound to the pod's address."""
        return self._inside(lambda: bound(self.v4 if family == 4 else self.v6, port))

    def connects(self, target: Address) -> str:
        """What a TCP connection attempt comes to."""
        return self._inside(lambda: connection(target))

    def tcp(self, port: int = 0) -> socket.socket:
        """A TCP socket bound to the pod's address; with a port, one that listens."""
        return self._inside(lambda: tcp(self.v4, port))

    def on_link(self) -> socket.socket:
        """A UDP socket at the pod's link-local address."""
        return self._inside(lambda: on_link(self.link, "eth0"))

    def raw(self, family: int) -> socket.socket:
        """What sends and receives whole ICMP messages."""
        return self._inside(lambda: raw(family))

    def _inside(self, work: Callable[[], T]) -> T:
        return self._thread.submit(work).result()


def _new_namespace() -> int:
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


class World:
    """The node's side: rulesets under growing epochs, and what was seen."""

    def __init__(self) -> None:
        ip("link set lo up")
        ip("addr add 172.18.0.2/32 dev lo")
        ip("addr add fd18::2/128 dev lo nodad")
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as setting:
                setting.write("1")
        self.epoch = 0
        self.web, self.db, self.job, self.stranger = (Pod(number) for number in (1, 2, 4, 77))
        self.seen: dict[str, object] = {}
        run_nft(NAT)

    def load(self, *policies: ClusterObject) -> None:
        self.epoch += 1
        node = replace(NODE, epoch=self.epoch)
        run_nft(render(lower(index_of(*policies), node)))

    def revocation(self, family: int) -> None:
        web, db = self.web.udp(family=family), self.db.udp(family=family)
        self.load()
        self.seen[f"open v{family}"] = there_and_back(web, db)
        self.load(DENY_ALL)
        self.seen[f"revoked v{family}"] = there_and_back(web, db)
        self.load()
        self.seen[f"allowed again v{family}"] = [there(db, web), there(web, db)]

    def replies(self, family: int) -> None:
        self.load(*WEB_TO_DB)
        web, db = self.web.udp(family=family), self.db.udp(5432, family)
        other = self.db.udp(5433, family)
        self.seen[f"allowed one way v{family}"] = there_and_back(web, db)
        self.load(*WEB_TO_DB)
        self.seen[f"reply under a new epoch v{family}"] = [there(db, web), there(web, db)]
        self.seen[f"other port v{family}"] = there(web, other)
        self.seen[f"other direction v{family}"] = there(other, web)
        self.load()
        self.seen[f"other port, open v{family}"] = there(web, other)
        for used in (web, db, other):
            used.close()

    def own_node(self, address: str, family: int) -> None:
        self.load(DENY_ALL)
        web, node, other = self.web.udp(family=family), bound(address), bound(address)
        self.seen[f"node to pod and back v{family}"] = there_and_back(node, web)
        self.seen[f"pod to node v{family}"] = there(web, other)
        self.load()
        self.seen[f"pod to node, open v{family}"] = there(web, other)

    def link_local(self) -> None:
        """NP-53: every device has an address that no policy can name."""
        for name, policies in {"isolated": (DENY_ALL,), "open": ()}.items():
            self.load(*policies)
            with self.web.on_link() as pod, on_link("fe80::1", "v1") as node:
                begun = send(pod, node.getsockname(), node) is not None
            with self.web.on_link() as pod, on_link("fe80::1", "v1") as node:
                asked = send(node, pod.getsockname(), pod) is not None
                told = send(pod, node.getsockname(), node) is not None
            self.seen[f"pod to node by the link, {name}"] = [begun, asked, told]

    def strangers(self) -> None:
        job, stranger = self.job.udp(), self.stranger.udp()
        run_nft("delete table inet podfence\n")
        self.seen["stranger, no table"] = there_and_back(job, stranger)
        self.load()
        self.seen["stranger"] = there_and_back(job, stranger)

    def services(self) -> None:
        self.load(*WEB_TO_DB)
        web, db = self.web.udp(), self.db.udp(5432)
        self.seen["service"] = send(web, ("10.96.0.1", 80), db) is not None
        self.seen["service reply"] = there(db, web)
        client, server = self.web.udp(), self.web.udp(9)
        shown = send(client, ("10.96.0.2", 9), server)
        self.seen["hairpin"] = shown is not None
        self.seen["hairpin reply"] = shown is not None and send(server, shown, client) is not None

    def ladder(self, family: int) -> None:
        """CNP-1: every step of the way from Admin to the default, on sockets of its own."""
        for name, policies in LADDER.items():
            self.load(*policies)
            web, db = self.web.udp(family=family), self.db.udp(family=family)
            self.seen[f"{name} v{family}"] = there_and_back(web, db)
            web.close()
            db.close()

    def later_deny(self) -> None:
        web, db = self.web.udp(), self.db.udp()
        self.load(ADMIN_ACCEPTS)
        accepted = there_and_back(web, db)
        self.load(ADMIN_DENIES)
        self.seen["Admin accepts, then denies"] = [accepted, there_and_back(web, db)]
        self.load(*tiers("Accept", "Deny"))
        answered = [there(web, db)]
        self.load(*tiers("Accept", "Deny"))
        answered.append(there(db, web))
        self.seen["Admin accepts, reply under a new epoch"] = answered

    def led_back(self) -> None:
        """CNP-27: through a Service to itself, and to its own address."""
        for name, policies in LED_BACK.items():
            self.load(*policies)
            client, server = self.web.udp(), self.web.udp(9)
            self.seen[f"hairpin, {name}"] = send(client, ("10.96.0.2", 9), server) is not None
            self.seen[f"own address, {name}"] = there(client, server)
            client.close()
            server.close()

    def refused(self) -> None:
        """CNP-11: whether a denied TCP connection hears anything within a while."""
        self.load(ADMIN_DENIES)
        self.seen["Admin denies, TCP"] = self.web.connects((self.db.v4, 81))
        self.load()
        self.seen["Admin silent, TCP"] = self.web.connects((self.db.v4, 81))

    def untracked(self) -> None:
        web, db = self.web.udp(), self.db.udp(7777)
        self.load()
        self.seen["untracked, open"] = there_and_back(web, db)
        self.load(DENY_ALL)
        self.seen["untracked, isolated"] = there_and_back(web, db)

    def errors(self, family: int) -> None:
        """NP-39, NP-42: an ICMP error is as allowed as the connection that it is about."""
        web, db = self.web.udp(family=family), self.db.udp(5432, family)
        for name, policies in {
            "allowed": WEB_TO_DB,
            "kept": WEB_TO_DB,
            "revoked": (DENY_ALL,),
        }.items():
            self.load(*policies)
            passes = [there(web, db), there(db, web)]
            self.seen[f"error, {name} v{family}"] = [*passes, self._error(db, web, family)]
        web.close()
        db.close()

    def _error(self, sent: socket.socket, to: socket.socket, family: int) -> bool:
        """Whether an error of web about what db sent comes to db."""
        with self.web.raw(family) as source, self.db.raw(family) as at:
            source.sendto(unreachable(sent, to), (sent.getsockname()[0], 0))
            try:
                at.recv(256)
            except TimeoutError:
                return False
            return True

    def announced(self) -> None:
        """What a helper expects is a connection of its own: the kernel gives it the mark of the one
        that announced it."""
        for name, policies in {"isolated": FTP_ALONE, "open": ()}.items():
            self.load(*policies)
            with self.db.tcp(21) as listening, self.web.tcp() as client:
                client.connect((self.db.v4, 21))
                server = listening.accept()[0]
                say(server, client, b"220 here")
                say(client, server, b"PASV")
                say(server, client, b"227 Entering Passive Mode (10,1,0,2,19,137)")
                data = self.web.connects((self.db.v4, 5001))
                say(client, server, b"PORT 10,1,0,1,19,138")
                back = self.db.connects((self.web.v4, 5002))
                other = self.web.connects((self.db.v4, 5003))
                server.close()
            self.seen[f"announced by FTP, {name}"] = [data, back, other]


def main(arguments: Sequence[str]) -> None:
    assert list(arguments) == ["in-own-namespace"]
    world = World()
    for family, address in ((4, "172.18.0.2"), (6, "fd18::2")):
        world.revocation(family)
        world.replies(family)
        world.own_node(address, family)
        world.ladder(family)
        world.errors(family)
    world.link_local()
    world.strangers()
    world.later_deny()
    world.led_back()
    world.refused()
    world.services()
    world.untracked()
    world.announced()
    json.dump(world.seen, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
