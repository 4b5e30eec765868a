"""``podfence drops`` of a cluster: agents on two nodes, asked through the API server's proxy."""

from __future__ import annotations

import socket
import time

import pytest

from podfence.kernel import netns
from podfence.kernel.rtnetlink import Rtnetlink, link_up
from tests.agent.cluster import POLICIES, Cluster
from tests.agent.conftest import admin, apiserver, cluster, crds, kubeconfig, namespace, newest
from tests.agent.network import PATIENCE
from tests.agent.test_status import Fleet, fleet

__all__ = ["admin", "apiserver", "cluster", "crds", "fleet", "kubeconfig", "namespace", "newest"]
pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(240)]


def deny(fleet: Fleet, cluster: Cluster, node: int) -> None:
    """A packet between two pods of a node that are its own addresses."""
    inside = fleet.namespaces[node]
    with netns.inside(inside), Rtnetlink() as links:
        links.apply([link_up(1)], of="node")
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        sender.bind((f"127.1.{node}.1", 0))
        sender.sendto(b"x", (f"127.1.{node}.2", 5432))


def test_drops_of_all_nodes_by_one_command(fleet: Fleet, cluster: Cluster) -> None:
    body = {"metadata": {"name": "closed"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    cluster.admin.create(POLICIES.format(cluster.namespace), body)
    for number, node in enumerate((fleet.one, fleet.two)):
        for last in (1, 2):
            cluster.pod(f"p{number}{last}", node, f"127.1.{number}.{last}")
    end = time.monotonic() + PATIENCE
    found: set[tuple[str, ...]] = set()
    while len(found) < 2:
        assert time.monotonic() < end, found
        for number in (0, 1):
            deny(fleet, cluster, number)
        time.sleep(0.5)
        nodes = fleet.json("drops")["nodes"]
        found = {
            (each["node"], *drop["source"]["pods"], drop["cause"]["policies"][0]["policy"])
            for each in nodes
            for drop in each["drops"]
        }
    space = cluster.namespace
    assert found == {
        (fleet.one, f"{space}/p01", f"{space}/closed"),
        (fleet.two, f"{space}/p11", f"{space}/closed"),
    }
    text = fleet.podfence("drops").out
    assert f"{fleet.two} " in text
    assert f"{space}/p11 -> {space}/p12 UDP/5432 egress: isolated by {space}/closed" in text


def test_a_node_that_does_not_answer_is_named(fleet: Fleet) -> None:
    fleet.node("three", agent=False)
    done = fleet.podfence("drops")
    assert done.status == 1
    assert "note: node three: no agent runs there" in done.err
