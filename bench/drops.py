"""What drops cost: a flood of denied packets, with the agent's own reader; and the law at length.

    python -m bench.drops [--rate 10000] [--seconds 10] [--groups 20] [--kinds 2000]
    python -m bench.drops --law CLUSTERS

Rule: real packets in a network namespace that this makes for itself. Rules are those of ``lower``
for a node with 100 pods in ``--groups`` namespaces, all of them isolated, so that nothing is
allowed; the kernel's limit is one for each group. ``--kinds``: different destinations and ports. A
packet waits for nobody if ``send``, which does the kernel's work until the packet is dropped, takes
no longer while somebody reads the log. Exit 1: packets are missing from the counts.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

from podfence.agent.drops import Watcher
from podfence.agent.log import EventLog
from podfence.drops.attribution import Attribution
from podfence.kernel import netns
from podfence.kernel.nftables.counters import counted
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.kernel.rtnetlink import Rtnetlink, link_up
from podfence.lab.probing.forking import fork_with_pipe
from podfence.live.node import LiveIndex
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.facts import Put
from podfence.nft.lowering.assembly import Assembly
from podfence.nft.lowering.deny import denied_in
from podfence.nft.lowering.lower import TABLE, LocalNode, lower
from podfence.policy.compile import compile_cluster
from podfence.render.tables import table
from podfence.testing.builders import namespace, pod, policy
from podfence.testing.facts import facts_of
from tests.support.drop_worlds import compare

PODS = 100
_LOOPBACK = 1


def objects(groups: int) -> Iterator[ClusterObject]:
    """Pods with addresses of 127.1.0.0/24, so that the node itself can send in their name."""
    for number in range(groups):
        yield namespace(f"s{number}", {})
        yield policy(f"s{number}/closed", {}, types=["Ingress", "Egress"])
    for number in range(PODS):
        address = f"127.1.0.{number + 1}"
        yield pod(f"s{number % groups}/p{number}", {}, addresses=[address], node="n1")


class World:
    """The index, and its rules in a namespace, where they judge what the node itself sends."""

    def __init__(self, fd: int, groups: int) -> None:
        things = [*objects(groups)]
        node = LocalNode("n1")
        self.index = LiveIndex("n1")
        self.assembly = Assembly(node, self.index.selections)
        self.assembly.apply(self.index.apply([Put(facts_of(thing)) for thing in things]))
        self.socket = NftSocket(fd)
        ruleset = lower(compile_cluster(Cluster.of(things)), node)
        NetlinkNft(self.socket).replace(ruleset)
        with netns.inside(fd), Rtnetlink() as links:
            links.apply([link_up(_LOOPBACK)], of="the namespace")

    def denied(self) -> int:
        """Packets that the rules have counted."""
        found = counted(self.socket, TABLE)
        return sum(each.packets for chain, each in found.items() if denied_in(chain))


def flood(
    fd: int, rate: int, seconds: float, kinds: int, told: Connection, parent: int
) -> NoReturn:
    """Send as pods to one another, at a rate; tell how many, and the median and p99 of ``send``."""
    netns.die_with_parent(parent)
    with netns.inside(fd):
        senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(PODS)]
    for number, each in enumerate(senders):
        each.bind((f"127.1.0.{number + 1}", 0))
    took: list[float] = []
    begin = time.perf_counter()
    while (now := time.perf_counter() - begin) < seconds:
        while len(took) < now * rate:
            number = len(took) % kinds
            source = len(took) % PODS
            other = (source + 1 + number // 7 % (PODS - 1)) % PODS
            target = (f"127.1.0.{other + 1}", 1 + number % 60000)
            before = time.perf_counter()
            senders[source].sendto(b"x" * 100, target)
            took.append(time.perf_counter() - before)
        time.sleep(0.0005)
    took.sort()
    told.send((len(took), took[len(took) // 2], took[len(took) * 99 // 100]))
    os._exit(0)


def flooded(fd: int, asked: argparse.Namespace) -> tuple[int, float, float]:
    """The same in a process of its own, so that ours is the agent's part alone."""
    run = partial(flood, fd, asked.rate, asked.seconds, asked.kinds)
    pid, told = fork_with_pipe(run)
    found: tuple[int, float, float] = told.recv()
    os.waitpid(pid, 0)
    return found


@contextmanager
def reading(world: World, fd: int) -> Iterator[Watcher]:
    """The agent's reader and, as the thread that enforces does, somebody who names."""
    watcher = Watcher("n1", 77, EventLog(io.StringIO()), fd)
    stopped = threading.Event()
    attribution = Attribution(world.index, world.assembly.group)

    def name() -> None:
        while not stopped.wait(0.2):
            watcher.name(attribution)

    threads = [threading.Thread(target=watcher.run, args=(stopped,)), threading.Thread(target=name)]
    for each in threads:
        each.start()
    time.sleep(0.3)
    yield watcher
    time.sleep(1.0)
    stopped.set()
    for each in threads:
        each.join()


def cpu() -> float:
    """Seconds of CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident() -> float:
    """MiB at present."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def measure(asked: argparse.Namespace) -> int:
    """Without a reader, then with one."""
    fd = netns.create()
    world = World(fd, asked.groups)
    alone = flooded(fd, asked)
    before, size, denied = cpu(), resident(), world.denied()
    with reading(world, fd) as watcher:
        sent, middle, slow = flooded(fd, asked)
    used, grown = cpu() - before, resident() - size
    denied = world.denied() - denied
    told = watcher.drops()
    wrong = [d for d in told.drops if d.cause.reason != "isolated" or not d.source.pods]
    rows = [
        ("packets sent, a second", f"{sent / asked.seconds:.0f}"),
        ("denied, by the kernel's counters", str(denied)),
        ("looked at", str(told.seen)),
        ("logged and lost, or over the budget", str(told.lost)),
        ("left out by the kernel's limit", str(denied - told.seen - told.lost)),
        ("different drops told", str(len(told.drops))),
        ("of these with another name or cause", str(len(wrong))),
        ("gave way", str(told.forgotten)),
        ("CPU of reading and naming, of a core", f"{used / asked.seconds:.1%}"),
        ("memory more", f"{grown:.1f} MiB"),
        ("send, median: nobody reads", f"{alone[1] * 1e6:.1f} us"),
        ("send, median: the agent reads", f"{middle * 1e6:.1f} us"),
        ("send, p99: nobody reads", f"{alone[2] * 1e6:.1f} us"),
        ("send, p99: the agent reads", f"{slow * 1e6:.1f} us"),
    ]
    sys.stdout.write(table(("DROPS", "FOUND"), rows))
    return 1 if denied != sent or wrong or told.seen + told.lost > denied else 0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--groups", type=int, default=20)
    parser.add_argument("--kinds", type=int, default=2000)
    parser.add_argument("--law", type=int, metavar="CLUSTERS")
    asked = parser.parse_args()
    if asked.law is None:
        return measure(asked)
    compared = sum(compare(seed, 300) for seed in range(asked.law))
    sys.stdout.write(f"{compared} denied packets of {asked.law} clusters: as the engine says\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
