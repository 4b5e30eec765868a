"""What it costs packets that somebody watches: audit, drops and uses of rules, on and off.

    python -m bench.watched [--rounds 61] [--cpu N]

Rule: as in ``bench.packets``: namespaces of this process alone, all rules loaded before the first
packet, and every round visits all in a new random order. Before each visit stands one of the same
rules with nobody watching: what a packet costs is compared with that, and the median of all rounds
is taken. The same rules are there twice, so that it is seen what noise is.

Who reads drops, and who looks at connections, is a process of its own on another CPU, if there is
one, and works only while its ruleset is visited. Looks follow one another without a pause, a
hundred times as often as the agent's; beside it stands a process that does as much and looks at
nothing.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from statistics import median, quantiles
from typing import Final, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from bench.packets import triple
from bench.packets.rounds import program
from bench.packets.scenario import Scenario, cluster, local_node
from bench.packets.traffic import Pair, Sender
from bench.run import machine
from podfence.agent.drops import Watcher
from podfence.agent.log import EventLog
from podfence.kernel import netns
from podfence.kernel.ctlook import ConnectionTable
from podfence.lab.probing.forking import fork_with_pipe
from podfence.model.cluster import Cluster
from podfence.nft.lowering.lower import lower
from podfence.policy.compile import compile_cluster
from podfence.render.tables import table
from podfence.testing.builders import cluster_peer, cluster_policy, cluster_rule, selector

SCENARIO: Final = Scenario(110, 1_000, 10)
SLOTS, CONNECTS, BUDGET = 100, 120, 30_000_000
MASK: Final = 0xFFFF0000
PLAIN = "nobody watches"
_GROUP = 77


class Subject(Struct, frozen=True):
    """One way to watch. ``helper``: what another process does meanwhile in the node's namespace."""

    name: str
    cluster: Callable[[], Cluster]
    helper: Callable[[int, threading.Event], None] | None = None


def plain() -> Cluster:
    """Nothing is audited."""
    return cluster(SCENARIO)


def audited(*, allows: bool) -> Cluster:
    """The same, and an audited policy of the measured pods: one that would let pass what is let
    pass, or one that would drop it, so that each new connection is counted, and some are logged."""
    known = cluster(SCENARIO)
    everything = cluster_peer(pods=selector())
    action = "Accept" if allows else "Deny"
    rules = [cluster_rule(action, everything)]
    more = cluster_policy("audited", pods={"app": "measured"}, ingress=rules, egress=rules)
    return replace(known, audited=(replace(more, audited=True),))


def read_drops(fd: int, stopped: threading.Event) -> None:
    """The agent's reader."""
    Watcher("measured", _GROUP, EventLog(io.StringIO()), fd).run(stopped)


def look(fd: int, stopped: threading.Event) -> None:
    """One look after the other."""
    connections = ConnectionTable(MASK, fd)
    while not stopped.is_set():
        connections.look()


def spin(fd: int, stopped: threading.Event) -> None:
    """Work that touches nothing."""
    while not stopped.is_set():
        sum(range(10_000))


SUBJECTS: Final = (
    Subject(PLAIN, plain),
    Subject("nobody, once more", plain),
    Subject("audit that would let pass", partial(audited, allows=True)),
    Subject("audit that would drop", partial(audited, allows=False)),
    Subject("drops are read", plain, read_drops),
    Subject("a process is busy besides", plain, spin),
    Subject("uses of rules, looking without a pause", plain, look),
)


class Helper:
    """A process on another CPU; ``at`` sets it to work while something is visited."""

    def __init__(self, subjects: Mapping[str, tuple[Subject, int]], cpus: set[int]) -> None:
        self._pid, self._told = fork_with_pipe(partial(_help, subjects, cpus))

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        """While its subject is visited."""
        self._say(name)
        yield
        self._say("")

    def end(self) -> None:
        """Wait for its end."""
        self._told.send(None)
        os.waitpid(self._pid, 0)

    def _say(self, name: str) -> None:
        self._told.send(name)
        self._told.recv()


def _help(
    subjects: Mapping[str, tuple[Subject, int]], cpus: set[int], told: Connection, parent: int
) -> NoReturn:
    netns.die_with_parent(parent)
    os.sched_setaffinity(0, cpus)
    stopped, thread = threading.Event(), None
    while (name := told.recv()) is not None:
        if thread is not None:
            stopped.set()
            thread.join()
            thread = None
        if name and (helper := subjects[name][0].helper) is not None:
            stopped = threading.Event()
            thread = threading.Thread(target=helper, args=(subjects[name][1], stopped))
            thread.start()
        told.send(None)
    os._exit(0)


class Costs(Struct):
    """Of one subject, a value a round: nanoseconds, and by how much it is that of nobody."""

    established: list[float]
    connect: list[float]
    established_ratio: list[float]
    connect_ratio: list[float]


def measure(rounds: int, others: set[int]) -> dict[str, Costs]:
    """All rounds. Raises PodfenceError, TrafficError."""
    sender = Sender()
    pairs: dict[str, Pair] = {}
    nodes: dict[str, tuple[Subject, int]] = {}
    for subject in SUBJECTS:
        made = triple.build(4)
        known = subject.cluster()
        with netns.inside(made.node):
            program(lower(compile_cluster(known), local_node(known)))
            triple.keep_closed_connections_briefly()
        pairs[subject.name] = Pair(made, sender, 4)
        pairs[subject.name].check(enforced=True)
        nodes[subject.name] = subject, made.node
    helper = Helper(nodes, others)
    found = {name: Costs([], [], [], []) for name in pairs if name != PLAIN}
    source = random.Random(1)
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        order = [*found]
        source.shuffle(order)
        for name in order:
            base = _visit(pairs[PLAIN])
            with helper.at(name):
                visited = _visit(pairs[name])
            costs = found[name]
            costs.established.append(visited[0])
            costs.connect.append(visited[1])
            costs.established_ratio.append(visited[0] / base[0])
            costs.connect_ratio.append(visited[1] / base[1])
    gc.enable()
    helper.end()
    return found


def _visit(visited: Pair) -> tuple[float, float]:
    """An established packet, a connect."""
    return visited.established(SLOTS, BUDGET), visited.connects(CONNECTS, BUDGET)[0]


def _row(name: str, costs: Costs) -> tuple[str, ...]:
    return (
        name,
        f"{median(costs.established):,.0f} ns",
        _more(costs.established_ratio),
        f"{median(costs.connect) / 1e3:.2f} us",
        _more(costs.connect_ratio),
    )


def _more(ratios: list[float]) -> str:
    """The median, and between which two values half of the rounds lie."""
    low, middle, high = quantiles(ratios, n=4, method="inclusive")
    return f"{middle - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=61)
    parser.add_argument("--cpu", type=int, help="of the packets (the lowest that is allowed)")
    asked = parser.parse_args()
    allowed = os.sched_getaffinity(0)
    cpu = min(allowed) if asked.cpu is None else asked.cpu
    os.sched_setaffinity(0, {cpu})
    netns.enter_private_network()
    found = measure(asked.rounds, allowed - {cpu} or {cpu})
    rows = [_row(name, costs) for name, costs in found.items()]
    header = ("WATCHED", "ESTABLISHED", "MORE", "CONNECT", "MORE")
    sys.stdout.write(f"{machine()}; {asked.rounds} rounds; {SCENARIO}.\n{table(header, rows)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
