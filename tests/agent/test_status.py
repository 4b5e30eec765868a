"""`podfence status` and `podfence wait`: real agents on two nodes of a real API server, asked
through its proxy as people ask them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from podfence.kernel import netns
from tests.agent.cluster import MERGE, PODS, Cluster
from tests.agent.network import PATIENCE, Agent
from tests.apiserver.crds import Crds
from tests.apiserver.test_agents import own_address
from tests.cli.session import Done, podfence

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(240)]

DB, WEB = {"app": "db"}, {"app": "web"}
_numbers = count(1)
_LAUNCHER = """
import os, sys
from podfence.kernel import netns
netns.die_with_parent(int(sys.argv[1]))
os.execv(sys.executable, [sys.executable, "-m", "podfence", *sys.argv[2:]])
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind((own_address(), 0))
        return int(found.getsockname()[1])


class Fleet:
    """Nodes whose agents run here and enforce in namespaces of their own."""

    def __init__(self, cluster: Cluster, kubeconfig: Path, folder: Path) -> None:
        self.cluster, self.kubeconfig, self._folder = cluster, kubeconfig, folder
        self.one, self.two = (f"{name}-{cluster.namespace}" for name in ("one", "two"))
        self.agents: dict[str, Agent] = {}
        self.ports: dict[str, int] = {}
        self.namespaces: list[int] = []
        self._of_node: dict[str, int] = {}
        accounts = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts"
        cluster.admin.create(accounts, {"metadata": {"name": "podfence-viewer"}})
        answers = ["status", "drops", "rules"]
        rule = {"apiGroups": ["podfence.io"], "resources": answers, "verbs": ["get"]}
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        role = {"metadata": {"name": cluster.namespace}, "rules": [rule]}
        cluster.admin.create(f"{rbac}/clusterroles", role)
        subject = {"kind": "ServiceAccount", "namespace": cluster.namespace}
        binding = {
            "metadata": {"name": cluster.namespace},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": cluster.namespace,
            },
            "subjects": [{**subject, "name": "podfence-viewer"}],
        }
        cluster.admin.create(f"{rbac}/clusterrolebindings", binding)

    def node(self, name: str, *, agent: bool = True) -> None:
        """A node, with an agent and its pod, or without."""
        number = next(_numbers)
        self.cluster.node(name, f"10.{200 + number // 250}.{number % 250}.0/24")
        if not agent:
            return
        self.namespaces.append(netns.create())
        self._of_node[name] = self.namespaces[-1]
        self.ports[name] = free_port()
        self._pod(name)
        self.start(name)

    def start(self, name: str) -> None:
        """The agent of a node, from nothing or anew, until it is in sync."""
        namespace = self._of_node[name]
        log = self._folder / f"{name}-{next(_numbers)}.log"
        command = [sys.executable, "-c", _LAUNCHER, str(os.getpid()), "agent", "--node", name]
        command += ["--kubeconfig", str(self.kubeconfig), "--run-dir", str(self._folder / "run")]
        command += ["--state-dir", str(self._folder / f"state-{name}")]
        command += ["--netns", f"/proc/self/fd/{namespace}", "--http-port", "0"]
        command += ["--https-address", own_address(), "--https-port", str(self.ports[name])]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=stream, pass_fds=[namespace]
            )
        self.agents[name] = Agent(process, log)
        self.agents[name].wait_for("in sync")

    def _pod(self, node: str) -> None:
        """The pod of the DaemonSet, as a kubelet tells of it."""
        address, port = own_address(), {"name": "https", "containerPort": self.ports[node]}
        labels = {"app.kubernetes.io/name": "podfence"}
        container = {"name": "agent", "image": "none", "ports": [port]}
        spec = {"nodeName": node, "hostNetwork": True, "containers": [container]}
        metadata = {"name": f"podfence-{node}", "labels": labels}
        path = PODS.format(self.cluster.namespace)
        self.cluster.admin.create(path, {"metadata": metadata, "spec": spec})
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        path = f"{path}/podfence-{node}/status"
        assert self.cluster.admin.request("PATCH", path, {"status": status}, MERGE).status == 200

    def podfence(self, *words: str, as_person: Path | None = None) -> Done:
        """A command, of an administrator or of somebody whose kubeconfig is given."""
        where = ["--agent-namespace", self.cluster.namespace, "-n", self.cluster.namespace]
        return podfence([*words, *where, "--kubeconfig", str(as_person or self.kubeconfig)])

    def json(self, *words: str) -> Any:
        done = self.podfence(*words, "-o", "json")
        assert done.err == ""
        return json.loads(done.out)

    def wait_for(self, pods: Mapping[str, int]) -> None:
        """Until each agent is in sync and knows so many pods of its node."""
        until = time.monotonic() + PATIENCE
        while True:
            nodes = self.json("status")["nodes"]
            if {node["node"]: node["pods"] for node in nodes if node.get("inSync")} == pods:
                return
            assert time.monotonic() < until, nodes
            time.sleep(0.05)

    def close(self) -> None:
        for agent in self.agents.values():
            if agent.process.poll() is None:
                agent.process.kill()
                agent.process.wait(timeout=PATIENCE)
        for namespace in self.namespaces:
            os.close(namespace)


@pytest.fixture
def fleet(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> Iterator[Fleet]:
    """Two nodes, ``one`` with two pods and ``two`` with none, and no other in the cluster."""
    assert cluster.admin.request("DELETE", "/api/v1/nodes").status == 200
    made = Fleet(cluster, kubeconfig, tmp_path)
    try:
        for name in (made.one, made.two):
            made.node(name)
        for last, pod in enumerate(("web", "db"), 1):
            cluster.pod(pod, made.one, f"10.251.0.{last}")
        made.wait_for({made.one: 2, made.two: 0})
        yield made
    finally:
        made.close()


def test_a_policy_is_waited_for_and_shown_on_each_node(fleet: Fleet, cluster: Cluster) -> None:
    cluster.policy("db", DB, WEB)
    done = fleet.podfence("wait", "db", "--timeout", "60")
    assert (done.status, done.err) == (0, "")
    head = f"NetworkPolicy {cluster.namespace}/db, generation 1: in force on 2 of 2 nodes\n"
    assert done.out == head
    done = fleet.podfence("status", "db")
    first, _, *rows = done.out.splitlines()
    assert (done.status, f"{first}\n") == (0, head)
    assert [row.split() for row in rows] == [
        [fleet.one, "yes", "1", "1", "0"],
        [fleet.two, "yes", "1", "0", "0"],
    ]


def test_a_changed_policy_is_not_in_force_where_the_agent_stands_still(
    fleet: Fleet, cluster: Cluster
) -> None:
    cluster.policy("db", DB, WEB)
    assert fleet.podfence("wait", "db").status == 0
    two = fleet.agents[fleet.two].process
    two.send_signal(signal.SIGSTOP)
    try:
        cluster.policy("db", DB, None)
        done = fleet.podfence("wait", "db", "--timeout", "1")
    finally:
        two.send_signal(signal.SIGCONT)
    assert done.status == 1
    assert "generation 2: in force on 1 of 2 nodes" in done.out
    assert f"{fleet.two}: its agent cannot be asked: no answer" in done.out
    assert fleet.one not in done.out
    done = fleet.podfence("wait", f"{cluster.namespace}/netpol/db")
    assert (done.status, "generation 2: in force on 2 of 2" in done.out) == (0, True)


def test_a_policy_made_anew_is_another_one(fleet: Fleet, cluster: Cluster) -> None:
    cluster.policy("db", DB, WEB)
    first = fleet.json("wait", "db")
    cluster.delete_policy("db")
    done = fleet.podfence("wait", "db", "--timeout", "0")
    assert done.status == 2
    assert f"the cluster has no NetworkPolicy {cluster.namespace}/db" in done.err
    cluster.policy("db", DB, WEB)
    second = fleet.json("wait", "db")
    assert (first["inForce"], second["inForce"]) == (True, True)
    assert first["uid"] != second["uid"]
    assert {node["uid"] for node in second["nodes"]} == {second["uid"]}


def test_nodes_are_shown_as_they_stand(fleet: Fleet, cluster: Cluster) -> None:
    found = {node["node"]: node for node in fleet.json("status")["nodes"]}
    assert {name: node["inSync"] for name, node in found.items()} == {
        fleet.one: True,
        fleet.two: True,
    }
    assert found[fleet.one]["pods"] == 2
    assert found[fleet.one]["apiLagSeconds"] < 60
    cluster.pod("new", fleet.one)
    until = time.monotonic() + PATIENCE
    pending: list[Any] = []
    while not pending:
        assert time.monotonic() < until
        nodes = fleet.json("status")["nodes"]
        pending = [pod for node in nodes if node["node"] == fleet.one for pod in node["pending"]]
    assert pending[0]["pod"] == f"{cluster.namespace}/new"


def test_nodes_without_an_agent_that_answers_are_named(fleet: Fleet, cluster: Cluster) -> None:
    assert fleet.podfence("status").status == 0
    fleet.node("three", agent=False)
    fleet.agents[fleet.two].process.kill()
    fleet.agents[fleet.two].process.wait()
    cluster.policy("db", DB, WEB)
    done = fleet.podfence("status")
    assert done.status == 1
    assert "\nthree: no agent runs there\n" in done.out
    assert f"\n{fleet.two}: its agent cannot be asked: 503 " in done.out
    done = fleet.podfence("wait", "db", "--timeout", "3")
    assert (done.status, "in force on 1 of 3 nodes" in done.out) == (1, True)


def test_an_agent_is_asked_at_its_own_address_where_that_is_said(fleet: Fleet) -> None:
    path = PODS.format(fleet.cluster.namespace)
    answer = fleet.cluster.admin.request(
        "DELETE", f"{path}/podfence-{fleet.two}?gracePeriodSeconds=0"
    )
    assert answer.status == 200
    assert fleet.podfence("status").status == 1
    direct = ["--agent", f"{fleet.two}={own_address()}:{fleet.ports[fleet.two]}"]
    assert fleet.podfence("status", *direct).status == 0


def test_who_may_not_ask_is_told_by_the_api_server(
    fleet: Fleet, cluster: Cluster, tmp_path: Path
) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts"
    cluster.admin.create(path, {"metadata": {"name": "nobody"}})
    done = fleet.podfence("status", "--account", f"{cluster.namespace}/nobody")
    assert done.status == 1
    assert "403 no right to get status.podfence.io in all namespaces" in done.out


def test_a_policy_with_a_status_says_there_whether_it_is_in_force(
    crds: Crds, cluster: Cluster, request: pytest.FixtureRequest
) -> None:
    crds.install("standard")
    fleet: Fleet = request.getfixturevalue("fleet")  # agents that know the kind from the start
    version = f"policy.networking.k8s.io/{crds.versions()[0]}"
    path = f"/apis/{version}/clusternetworkpolicies"
    name = f"cnp-{cluster.namespace}"
    spec = {
        "tier": "Admin",
        "priority": 5,
        "subject": {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}}},
        "ingress": [{"action": "Deny", "from": [{"namespaces": {}}]}],
    }
    kind = {"apiVersion": version, "kind": "ClusterNetworkPolicy"}
    cluster.admin.create(path, {**kind, "metadata": {"name": name}, "spec": spec})
    other = {"type": "Other", "status": "True", "reason": "X", "message": ""}
    other["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    patch = {"status": {"conditions": [other]}}
    assert cluster.admin.request("PATCH", f"{path}/{name}/status", patch, MERGE).status == 200

    def conditions() -> dict[str, Any]:
        found = cluster.admin.request("GET", f"{path}/{name}").body
        return {each["type"]: each for each in found["status"]["conditions"]}

    try:
        done = fleet.podfence("wait", f"cnp/{name}", "--condition")
        assert (done.status, done.err) == (0, "")
        found = conditions()
        assert found["Other"]["reason"] == "X"
        first = found["podfence.io/Enforced"]
        assert (first["status"], first["reason"], first["observedGeneration"]) == (
            "True",
            "InForce",
            1,
        )
        assert first["message"] == "in force on 2 of 2 nodes"
        assert fleet.podfence("status", f"cnp/{name}", "--condition").status == 0
        assert conditions()["podfence.io/Enforced"] == first
    finally:
        cluster.admin.request("DELETE", f"{path}/{name}")


def test_a_policy_without_a_status_is_refused_before_anybody_is_asked(
    fleet: Fleet, cluster: Cluster
) -> None:
    cluster.policy("db", DB, WEB)
    for words in (("wait", "db", "--condition"), ("status", "db", "--condition")):
        done = fleet.podfence(*words)
        assert done.status == 2
        assert "NetworkPolicy has no status in the API" in done.err
