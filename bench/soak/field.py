"""The cluster of the tests as a soak uses it: ends, agents, tables, and what is expected.

Rule: one thread changes the cluster, one write at a time, and waits until every node's table is
that of a compile from nothing. Of flows on which the nodes may differ meanwhile nothing is
expected.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address, ip_network

from bench.memory import resident_of
from bench.soak.packets import Traffic
from bench.soak.walk import Ends, uncertain, verdicts
from podfence.errors import NftError
from podfence.kernel import netns
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.model.cluster import Cluster as Model
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.ruleset import Ruleset
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from tests.apiserver.client import Client
from tests.cluster import agreement
from tests.cluster.agents import Agent, log_of
from tests.cluster.cluster import Cluster
from tests.cluster.layout import Node
from tests.cluster.population import Population
from tests.support.rulesets import same_rules

IN_TIME, IN_TIME_AFTER_FAULT = 30.0, 150.0
"""Seconds within which a change has to be in force; after a fault an agent may wait before it asks
the API server again."""
_MARGIN = 0.2
"""Seconds: the table of a commit that is under way can be read before all of it holds."""
_RENDER = (sys.executable, "-m", "podfence", "agent", "render")


class Late(RuntimeError):
    """A change was not in force in time; which, and what the agent said last."""


class Field:
    """``agents``: by name of their node, as they run now."""

    def __init__(
        self,
        cluster: Cluster,
        admin: Client,
        population: Population,
        agents: Iterable[Agent],
        flows: Iterable[Flow],
        rate: float,
    ) -> None:
        self.cluster = cluster
        self.admin = admin
        self.population = population
        self.agents = {agent.node.name: agent for agent in agents}
        self.nodes = cluster.nodes[:2]
        self.model = agreement.nothing(population, self.nodes)
        namespaces = {a: end.namespace for end in population.ends for a in end.addresses}
        self.flows = [*flows]
        self.traffic = Traffic(self.flows, namespaces, rate)
        self.slowest = 0.0
        self._sockets = {node.name: _socket_of(cluster, node) for node in self.nodes}
        self._tables = {name: NetlinkNft(opened) for name, opened in self._sockets.items()}
        self._local = {node.name: _local(node, population) for node in self.nodes}
        self._ends: dict[Flow, Ends] = verdicts(self.model, self.flows)

    def close(self) -> None:
        """Give the sockets back."""
        for opened in self._sockets.values():
            opened.close()

    def agent(self, node: Node) -> Agent:
        """That of a node."""
        return self.agents[node.name]

    def expect_all(self) -> None:
        """What the engine says of every flow is expected from now on."""
        self.traffic.expect({flow: out and into for flow, (out, into) in self._ends.items()})

    def expect_what_passes(self) -> None:
        """Flows that are allowed are expected to pass from now on."""
        self.traffic.expect({flow: True for flow, ends in self._ends.items() if all(ends)})

    @contextmanager
    def unknown(self) -> Iterator[None]:
        """Nothing is expected for the time of a ``with``."""
        self.traffic.expect(dict.fromkeys(self.flows))
        yield
        self.expect_all()

    def write(self, model: Model) -> None:
        """Make the cluster hold this; of what it may change, nothing is expected any more."""
        ends = verdicts(model, self.flows)
        self.traffic.expect(dict.fromkeys(uncertain(self._ends, ends)))
        agreement.apply(self.admin, self.model, model)
        self.model, self._ends = model, ends

    def become(self, model: Model) -> None:
        """Make the cluster hold this, and wait until it is in force. Raises Late."""
        began = time.monotonic()
        self.write(model)
        self.wait_in_force()
        self.slowest = max(self.slowest, time.monotonic() - began)

    def wait_in_force(self, seconds: float = IN_TIME) -> None:
        """Until every table is what it should be; what the engine says is expected then. Raises
        Late."""
        until = time.monotonic() + seconds
        index = compile_cluster(self.model)
        for name, local in self._local.items():
            wanted = lower(index, local)
            while not same_rules(self.table(name), wanted):
                if time.monotonic() > until:
                    raise Late(self._last_words(name, seconds))
                time.sleep(0.02)
        time.sleep(_MARGIN)
        self.expect_all()

    def _last_words(self, name: str, seconds: float) -> str:
        agent = self.agents[name]
        said = log_of(self.cluster, agent.node).read_text(errors="replace").splitlines()[-3:]
        running = f"process {agent.pid}" if agent.pid else "no process"
        return f"{name} ({running}) does not enforce it after {seconds:.0f} s: {said}"

    # -- what is looked at

    def table(self, name: str) -> Ruleset | None:
        """What the kernel of a node holds; None: no table, or one that is not podfence's alone."""
        try:
            return self._tables[name].list()
        except NftError:
            return None

    def is_as_from_nothing(self, node: Node) -> bool:
        """Whether the table is the one that ``podfence agent render`` makes of what the API server
        lists now, read back from a kernel that had none."""
        words = [*_RENDER, "--node", node.name, "--kubeconfig", str(self.cluster.kubeconfig)]
        text = self.cluster.run(*words)
        scratch = netns.create()
        try:
            enter = ["nsenter", f"--net=/proc/self/fd/{scratch}", "nft", "-f", "-"]
            subprocess.run(enter, input=text, text=True, check=True, pass_fds=[scratch])
            with netns.inside(scratch):
                opened = NftSocket()
            wanted = NetlinkNft(opened).list()
            opened.close()
        finally:
            os.close(scratch)
        return wanted is not None and same_rules(self.table(node.name), wanted)

    def elements(self, node: Node) -> int:
        """Elements of all sets and maps of the table."""
        found = self.table(node.name)
        if found is None:
            return 0
        holders = (*found.sets.values(), *found.maps.values())
        return sum(len(each.elements) for each in holders)

    def connections(self, node: Node) -> int:
        """Connections that the kernel of a node tracks."""
        words = ("cat", "/proc/sys/net/netfilter/nf_conntrack_count")
        return int(self.cluster.run(*words, node=node))

    def memory(self) -> dict[str, int]:
        """Bytes of each agent."""
        return {name: resident_of(agent.pid) for name, agent in self.agents.items()}


def _socket_of(cluster: Cluster, node: Node) -> NftSocket:
    namespace = os.open(f"/proc/{cluster.pid(node)}/ns/net", os.O_RDONLY)
    try:
        with netns.inside(namespace):
            return NftSocket()
    finally:
        os.close(namespace)


def _local(node: Node, population: Population) -> LocalNode:
    here = (pod for pod in population.pods if pod.node == node.name)
    return LocalNode(
        node.name,
        pods=frozenset(f"{pod.namespace}/{pod.name}" for pod in here),
        pod_cidrs=tuple(map(ip_network, node.pods)),
        addresses=frozenset(map(ip_address, node.addresses)),
    )


def sums(counts: Mapping[str, int]) -> tuple[int, int]:
    """Packets that were judged, and how many of these were wrong."""
    wrong = sum(number for what, number in counts.items() if what not in ("right", "not judged"))
    return wrong + counts.get("right", 0), wrong
