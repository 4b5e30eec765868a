"""Starts of pods: who sends, and is sent to, from the first moment that there is a network.

Rule: before the API says whose the address is, nothing passes (the pod range is closed); afterwards
what policies allow, and not one packet of anything else in between.
"""

from __future__ import annotations

import time
from collections import Counter
from random import Random

from tests.agent.cluster import Cluster
from tests.agent.network import PATIENCE, Node
from tests.agent.traffic import Flow, traffic
from tests.agent.watched import DB, WEB

_STARTER = {"app": "starter"}


class Starts:
    """On one node. ``db`` takes packets from ``web`` alone, and so does each pod that starts."""

    def __init__(self, node: Node, cluster: Cluster, rng: Random) -> None:
        self._node = node
        self._cluster = cluster
        self._rng = rng
        self._number = 0
        self.judged = 0
        self.wrong: Counter[str] = Counter()
        cluster.policy("db", DB, WEB)
        cluster.policy("starter", _STARTER, WEB)

    def one(self) -> None:
        """A pod gets a network, is scheduled, gets an address, and goes again."""
        node, cluster = self._node, self._cluster
        self._number += 1
        name = f"s{self._number}"
        address = f"{node.prefix}.{1 + self._number // 200}.{1 + self._number % 200}"
        pod, pods = node.add(name, address), node.pods
        leaves, comes = Flow(1, pod, pods["db"]), Flow(2, pods["far"], pod)
        allowed = Flow(3, pods["web"], pod)
        flows = (leaves, comes, allowed)
        for flow in flows:
            flow.expect(False)
        with traffic(*flows) as packets:
            time.sleep(0.02 * self._rng.random())
            cluster.pod(name, node.name, labels=_STARTER)
            time.sleep(0.04 * self._rng.random())
            allowed.expect(None)
            cluster.address(name, address)
            until = time.monotonic() + PATIENCE
            while not packets.has_passed(allowed):
                assert time.monotonic() < until, f"{name} at {address} never got its rules"
                time.sleep(0.005)
            time.sleep(0.02)
            allowed.expect(True)
            time.sleep(0.05)
        self.judged += packets.judged()
        self.wrong += packets.wrong()
        cluster.delete_pod(name)
        node.remove(name)
