"""Real packets through rulesets with audited policies, between three pods of one node.

Rule: run only by ``test_audit_packets`` through ``unshare``: the process's own network namespace is
the node. Each datagram has a source port of its own, so each is a connection. Prints what differs
from the naive judge, and how much was sent and reported.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from random import Random
from typing import Final

from msgspec.structs import replace

from podfence.drops.attempt import attempt_of
from podfence.kernel.nflog import LogListener
from podfence.kernel.nftables.counters import counted
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftcli import run_nft
from podfence.model.cluster import Cluster, ClusterObject
from podfence.nft.lowering.deny import AUDIT, denied_in
from podfence.nft.lowering.lower import TABLE, lower
from podfence.nft.render import render
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction, Flow
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    peer,
    pod,
    policy,
    rule,
)
from tests.nft.cases import NODE
from tests.nft.packet_world import Pod, ip
from tests.support.audits import enforced, with_audited

PORTS: Final = (5432, 80)
EACH: Final = 10
"""Connections of one kind in a round."""
APPS: Final = {"web": 1, "db": 2, "job": 4}
QUIET: Final = 0.25
"""Seconds after which no packet is on its way any more."""


def pods() -> Iterator[ClusterObject]:
    yield namespace("shop")
    for app, number in APPS.items():
        addresses = [f"10.1.0.{number}", f"fd00:1::{number}"]
        yield pod(f"shop/{app}", {"app": app}, addresses=addresses)


def random_policies(rng: Random) -> Iterator[ClusterObject]:
    """Some of which are audited."""
    apps = list(APPS)
    for number in range(rng.randint(1, 3)):
        directions = rng.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
        rules = [
            rule(
                *([peer(pods={"app": rng.choice(apps)})] if rng.random() < 0.8 else []),
                ports=rng.choice(([], [f"{rng.choice(PORTS)}/UDP"])),
            )
            for _ in range(rng.randint(0, 2))
        ]
        made = policy(
            f"shop/p{number}",
            {"app": rng.choice(apps)} if rng.random() < 0.8 else {},
            ingress=rules if "Ingress" in directions else [],
            egress=rules if "Egress" in directions else [],
            types=directions,
        )
        yield replace(made, audited=rng.random() < 0.6)
    for number in range(rng.randint(0, 2)):
        said = [
            cluster_rule(
                rng.choice(("Deny", "Deny", "Accept", "Pass")),
                cluster_peer(pods={"app": rng.choice(apps)}),
                protocols=rng.choice(([], [f"{rng.choice(PORTS)}/UDP"])),
            )
            for _ in range(rng.randint(1, 2))
        ]
        tier = rng.choice(("Admin", "Baseline"))
        is_ingress = rng.choice((True, False))
        wide = cluster_policy(
            f"c{number}",
            tier=tier,
            priority=number,
            pods={"app": rng.choice(apps)},
            ingress=said if is_ingress else (),
            egress=() if is_ingress else said,
        )
        yield replace(wide, audited=rng.random() < 0.6)


class Node:
    """The node, its pods, and a socket of each pod for each port and family."""

    def __init__(self) -> None:
        ip("link set lo up")
        for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as setting:
                setting.write("1")
        self.pods = {app: Pod(number) for app, number in APPS.items()}
        self.at = {
            (app, port, family): found.udp(port, family)
            for app, found in self.pods.items()
            for port in PORTS
            for family in (4, 6)
        }
        for opened in self.at.values():
            opened.setblocking(False)
        self.listener = LogListener(NODE.log_group)
        self.epoch = 0

    def load(self, cluster: Cluster) -> None:
        self.epoch += 1
        run_nft(render(lower(compile_cluster(cluster), replace(NODE, epoch=self.epoch))))

    def send(self, flows: Collection[Flow]) -> Counter[Flow]:
        """How many of each kind came out; ``EACH`` of every one are sent, kind by kind in turn."""
        for number in range(EACH):
            for flow in flows:
                self._send(flow, 20_000 + number)
        time.sleep(QUIET)
        came: Counter[Flow] = Counter()
        for (app, port, family), opened in self.at.items():
            target = self._address(app, family)
            with suppress(BlockingIOError):
                while True:
                    _, sender = opened.recvfrom(16)
                    came[Flow(ip_address(sender[0]), target, "UDP", port)] += 1
        return came

    def reported(self) -> dict[Direction, int]:
        """Packets that an audit counted, by direction."""
        found = dict.fromkeys(Direction, 0)
        with NftSocket(None) as opened:
            for chain, number in counted(opened, TABLE).items():
                said = denied_in(chain)
                if said is not None and said.reason == AUDIT and said.direction is not None:
                    found[said.direction] += number.packets
        return found

    def logged(self) -> set[tuple[Direction | None, Flow]]:
        """What the log tells of audits."""
        found = set()
        while copies := self.listener.wait(QUIET).packets:
            for copy in copies:
                said = attempt_of(copy.prefix, copy.family, copy.data)
                if said is not None and said.audit and said.port is not None:
                    kind = IPv4Address if copy.family == 4 else IPv6Address
                    ends = kind(said.source[1]), kind(said.destination[1])
                    found.add((said.direction, Flow(*ends, said.protocol, said.port)))
        return found

    def _send(self, flow: Flow, port: int) -> None:
        source = next(app for app in APPS if self._address(app, flow.source.version) == flow.source)
        opened = self.pods[source].udp(port, flow.source.version)
        opened.sendto(b"?", (str(flow.destination), flow.port))
        opened.close()

    def _address(self, app: str, family: int) -> IPv4Address | IPv6Address:
        found = self.pods[app]
        return ip_address(found.v4 if family == 4 else found.v6)


def kinds() -> list[Flow]:
    """Every pod to every other, on each port, in both families."""
    each = [(one, other) for one in APPS.values() for other in APPS.values() if one != other]
    return [
        Flow(ip_address(f"{start}{one}"), ip_address(f"{start}{other}"), "UDP", port)
        for start in ("10.1.0.", "fd00:1::")
        for one, other in each
        for port in PORTS
    ]


def main(arguments: Sequence[str]) -> None:
    rounds, flows, node, rng = int(arguments[0]), kinds(), Node(), Random(7)
    wrong: list[str] = []
    sent = told = dropped = 0
    for number in range(rounds):
        cluster = Cluster.of([*pods(), *random_policies(rng)])
        holds = {flow for flow in flows if enforced(cluster, flow).allowed}
        would = {flow: with_audited(cluster, flow) for flow in flows}
        drops = {
            (Direction.INGRESS if would[flow].egress_allowed else Direction.EGRESS, flow)
            for flow in holds
            if not would[flow].allowed
        }
        node.load(cluster)
        node.logged()
        came, counts, logged = node.send(flows), node.reported(), node.logged()
        if came != Counter(dict.fromkeys(holds, EACH)):
            wrong.append(f"round {number}: an audit changed what passes")
        if counts != {d: EACH * sum(one is d for one, _ in drops) for d in Direction}:
            wrong.append(f"round {number}: {counts} reported, {drops} expected")
        if logged != drops:
            wrong.append(f"round {number}: {logged ^ drops} logged or not")
        node.load(cluster.with_audited())
        left = node.send(flows)
        if {flow for _, flow in drops} != holds - left.keys():
            wrong.append(f"round {number}: enforced, others are dropped than was said")
        sent += EACH * len(flows)
        told += sum(counts.values())
        dropped += sum((came - left).values())
    print(json.dumps({"wrong": wrong, "sent": sent, "told": told, "dropped": dropped}))


if __name__ == "__main__":
    socket.setdefaulttimeout(5.0)
    main(sys.argv[1:])
