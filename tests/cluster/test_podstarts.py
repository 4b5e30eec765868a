"""The gate at the start of pods, with a real runtime: the first packet of a pod is judged as its
thousandth."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from tests.cluster import agents
from tests.cluster.cluster import Cluster
from tests.cluster.images import AGNHOST

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

STARTS = 8
"""Pods of each kind on each node."""
SOCKET = "/run/nri/nri.sock"
POLICIES = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guarded}
spec:
  podSelector: {matchLabels: {role: guarded}}
  ingress:
  - from: [{podSelector: {matchLabels: {role: friend}}}]
    ports: [{port: 80}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: sender}
spec:
  podSelector: {matchLabels: {role: sender}}
  policyTypes: [Egress]
  egress:
  - to: [{podSelector: {matchLabels: {role: plain}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: locked}
spec:
  podSelector: {matchLabels: {role: locked}}
  policyTypes: [Egress]
"""


class Role(Struct, frozen=True):
    """What pods of a role try first, where, and how that ends."""

    server: str
    ends: str
    near: bool = False


ROLES = {
    # A rule of the server's own node names it: other nodes know an address once the API tells it.
    "friend": Role("guarded", "Succeeded", near=True),
    "sender": Role("plain", "Succeeded"),
    "nobody": Role("plain", "Succeeded"),
    "stranger": Role("guarded", "Failed"),
    "locked": Role("plain", "Failed"),
}


@pytest.fixture
def gated(cluster: Cluster) -> Iterator[None]:
    """Agents that the runtime asks before it starts a container."""
    with agents.from_sources(cluster, "--nri", SOCKET):
        yield


def pod(name: str, role: str, node: str, arguments: list[str]) -> dict[str, Any]:
    container = {"name": "only", "image": AGNHOST[0], "args": arguments}
    spec = {
        "nodeName": node,
        "containers": [container],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
    }
    metadata = {"name": name, "labels": {"role": role}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def create(cluster: Cluster, namespace: str, folder: Path, things: list[dict[str, Any]]) -> None:
    manifest = folder / "pods.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": things}))
    cluster.kubectl("apply", "-n", namespace, "-f", str(manifest))


def phases(cluster: Cluster, namespace: str, roles: Iterable[str]) -> dict[str, set[str]]:
    """Pods of these roles, by how they stand."""
    words = ("get", "pods", "-n", namespace, "-l", f"role in ({','.join(roles)})", "-o", "json")
    found: dict[str, set[str]] = {}
    for each in json.loads(cluster.kubectl(*words))["items"]:
        found.setdefault(each["status"].get("phase", ""), set()).add(each["metadata"]["name"])
    return found


@pytest.mark.usefixtures("gated")
def test_the_first_connection_of_a_pod_is_judged_by_its_policies(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    """Whoever may connect is let in at the first attempt of its first container, and whoever may
    not never gets in."""
    (tmp_path / "policies.yaml").write_text(POLICIES)
    cluster.kubectl("apply", "-n", namespace, "-f", str(tmp_path / "policies.yaml"))
    first = cluster.nodes[0]
    servers = {role.server for role in ROLES.values()}
    serving = ["netexec", "--http-port=80"]
    things = [pod(server, server, first.name, serving) for server in servers]
    create(cluster, namespace, tmp_path, things)
    ready = ("--for=condition=Ready", "pod", "--all", "--timeout=90s")
    cluster.kubectl("wait", "-n", namespace, *ready)
    things = [
        pod(f"{name}-{node.name}-{number}", name, node.name, ask(cluster, namespace, role.server))
        for name, role in ROLES.items()
        for node in ([first] if role.near else cluster.nodes)
        for number in range(STARTS)
    ]
    create(cluster, namespace, tmp_path, things)
    until = time.monotonic() + 240
    while not (found := phases(cluster, namespace, ROLES)).keys() <= {"Succeeded", "Failed"}:
        assert time.monotonic() < until, f"they should have ended: {found}"
        time.sleep(1)
    wanted: dict[str, set[str]] = {}
    for thing in things:
        name = thing["metadata"]["name"]
        wanted.setdefault(ROLES[name.partition("-")[0]].ends, set()).add(name)
    assert found == wanted
    for node in cluster.nodes:
        assert '"event":"gate at the start of pods"' in agents.log_of(cluster, node).read_text()


def ask(cluster: Cluster, namespace: str, server: str) -> list[str]:
    """One attempt to connect to a server, by its address."""
    words = ("get", "pod", server, "-n", namespace, "-o", "jsonpath={.status.podIP}")
    return ["connect", f"{cluster.kubectl(*words)}:80", "--timeout=2s"]
