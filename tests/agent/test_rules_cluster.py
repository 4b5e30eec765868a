"""``podfence rules`` of a cluster: agents on two nodes, asked through the API server's proxy; and
nodes that do not tell, of which no rule is called unused."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podfence.kernel import netns
from podfence.kernel.rtnetlink import Rtnetlink, link_up
from tests.agent.cluster import POLICIES, Cluster
from tests.agent.conftest import admin, apiserver, cluster, crds, kubeconfig, namespace, newest
from tests.agent.network import PATIENCE
from tests.agent.test_status import Fleet, fleet
from tests.apiserver.server import ApiServer
from tests.cli.session import Done

__all__ = ["admin", "apiserver", "cluster", "crds", "fleet", "kubeconfig", "namespace", "newest"]
pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(240)]

USED, UNUSED = "spec.ingress[0]", "spec.ingress[1]"
Found = dict[str, dict[str, Any]]


def connect(fleet: Fleet, node: int) -> None:
    """A packet to a port that the first rule opens; pods are addresses of the node itself."""
    with netns.inside(fleet.namespaces[node]), Rtnetlink() as links:
        links.apply([link_up(1)], of="node")
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.bind((f"127.1.{node}.2", 5432))
        receiver.settimeout(PATIENCE)
        sender.bind((f"127.1.{node}.1", 0))
        sender.sendto(b"x", (f"127.1.{node}.2", 5432))
        receiver.recv(1)


def rules(fleet: Fleet, until: Callable[[Found], bool]) -> Found:
    """What is told, by path, asked until it is what is waited for."""
    end = time.monotonic() + PATIENCE
    while True:
        found = {rule["path"]: rule for rule in fleet.json("rules")["rules"]}
        if until(found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.3)


@pytest.fixture
def counted(fleet: Fleet, cluster: Cluster) -> Fleet:
    """A policy of two rules that selects a pod of each node; only node two sees a use, of the first
    rule. A second and more ago, all of it."""
    for number, node in enumerate((fleet.one, fleet.two)):
        for last in (1, 2):
            cluster.pod(f"p{number}{last}", node, f"127.1.{number}.{last}")
    fleet.wait_for({fleet.one: 4, fleet.two: 2})
    ports = [{"protocol": "UDP", "port": 5432}], [{"protocol": "UDP", "port": 53}]
    spec = {"podSelector": {}, "ingress": [{"ports": each} for each in ports]}
    body = {"metadata": {"name": "db"}, "spec": spec}
    cluster.admin.create(POLICIES.format(cluster.namespace), body)
    rules(fleet, lambda found: found.get(UNUSED, {}).get("nodes") == 2)
    connect(fleet, 1)
    rules(fleet, lambda found: "last" in found[USED])
    time.sleep(1.1)
    return fleet


def unused(fleet: Fleet, as_person: Path | None = None) -> tuple[Done, list[str], list[Any]]:
    """What ``--unused`` prints; as data, the rules and the nodes."""
    done = fleet.podfence("rules", "--unused", "1s", as_person=as_person)
    asked = fleet.podfence("rules", "--unused", "1s", "-o", "json", as_person=as_person)
    data = json.loads(asked.out)
    return done, [rule["path"] for rule in data["rules"]], data["nodes"]


def test_what_one_node_saw_counts_for_all(counted: Fleet, cluster: Cluster) -> None:
    found = rules(counted, bool)
    used, never = found[USED], found[UNUSED]
    assert (used["policy"], used["nodes"], never["nodes"]) == (f"{cluster.namespace}/db", 2, 2)
    assert used["uses"] >= 1
    assert (never["uses"], never.get("last", "")) == (0, "")
    done, paths, nodes = unused(counted)
    assert UNUSED in paths
    assert [node["answers"] for node in nodes] == [True, True]
    assert done.status == 1


def test_of_a_node_that_does_not_answer_nothing_is_unused(counted: Fleet) -> None:
    counted.agents[counted.two].process.send_signal(signal.SIGSTOP)
    done, paths, nodes = unused(counted)
    assert (done.status, paths) == (1, [])
    assert [node["answers"] for node in nodes] == [True, False]
    assert f"node {counted.two}: " in done.err
    assert "was seen, but 1 node did not answer" in done.err
    assert UNUSED not in done.out


def test_of_a_node_that_may_not_be_asked_nothing_is_unused(
    counted: Fleet, cluster: Cluster, apiserver: ApiServer, tmp_path: Path
) -> None:
    """Somebody may pass to the agent of node one alone."""
    one = [f"https:podfence-{counted.one}:{counted.ports[counted.one]}", f"podfence-{counted.one}"]
    token = apiserver.service_account(
        cluster.namespace,
        "jane",
        [
            {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list"]},
            {
                "apiGroups": [""],
                "resources": ["pods/proxy"],
                "resourceNames": one,
                "verbs": ["get"],
            },
            {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]},
        ],
    )
    jane = apiserver.kubeconfig(tmp_path / "jane", token)
    end = time.monotonic() + PATIENCE
    while not (nodes := unused_nodes(counted, jane))[:1] or not nodes[0]["answers"]:
        assert time.monotonic() < end, nodes
        time.sleep(0.3)
    done, paths, nodes = unused(counted, jane)
    assert (done.status, paths) == (1, [])
    assert [node["answers"] for node in nodes] == [True, False]
    assert f"node {counted.two}: " in done.err
    assert "forbidden" in done.err
    assert "was seen, but 1 node did not answer" in done.err


def unused_nodes(fleet: Fleet, person: Path) -> list[Any]:
    """Of each node, what a person is told; nothing before the server knows of their rights."""
    done = fleet.podfence("rules", "-o", "json", as_person=person)
    return json.loads(done.out)["nodes"] if done.out else []
