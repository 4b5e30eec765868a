"""A cluster is one: pods start, reach each other and Services, and nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster import build, cgroups
from tests.cluster import cluster as clusters
from tests.cluster.cluster import Cluster
from tests.cluster.images import AGNHOST

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

FAMILIES = {"IPv4": 0, "IPv6": 1}


def pod(name: str, node: str) -> dict[str, object]:
    container = {"name": "server", "image": AGNHOST[0], "args": ["netexec", "--http-port=80"]}
    porter = {
        "name": "porter",
        "image": AGNHOST[0],
        "args": ["porter"],
        "env": [{"name": f"SERVE_{port}", "value": "x"} for port in ("SCTP_PORT_90", "PORT_91")],
    }
    spec = {
        "nodeName": node,
        "containers": [container, porter],
        "terminationGracePeriodSeconds": 0,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"pod": name}},
        "spec": spec,
    }


def service(name: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {
            "selector": {"pod": name},
            "ports": [{"port": 80}],
            "ipFamilyPolicy": "RequireDualStack",
        },
    }


@pytest.fixture(scope="module")
def pods(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Two pods of the first node and one of the second, each with a Service; their addresses."""
    items = [pod("a", "node1"), pod("b", "node1"), pod("c", "node2"), *map(service, "abc")]
    manifest = tmp_path_factory.mktemp("pods") / "pods.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    cluster.kubectl("create", "namespace", "reach")
    cluster.kubectl("apply", "-n", "reach", "-f", str(manifest))
    cluster.kubectl("wait", "-n", "reach", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    with cluster.admin as admin:
        found = admin.request("GET", "/api/v1/namespaces/reach/pods").body["items"]
    return {
        each["metadata"]["name"]: [entry["ip"] for entry in each["status"]["podIPs"]]
        for each in found
    }


def connects(
    cluster: Cluster, source: str, host: str, port: int = 80, protocol: str = "tcp"
) -> bool:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    asked = ["/agnhost", "connect", address, "--timeout=3s", f"--protocol={protocol}"]
    words = ["exec", "-n", "reach", "-c", "server", source, "--", *asked]
    command = cluster.command([*cluster.kubectl_command, *words])
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("source", "target"), ["ab", "ac", "ca"])
def test_pods_reach_each_other(
    cluster: Cluster, pods: dict[str, list[str]], source: str, target: str, family: str
) -> None:
    assert connects(cluster, source, pods[target][FAMILIES[family]])


@pytest.mark.parametrize("family", FAMILIES)
def test_sctp_opens_where_it_is_served_and_nowhere_else(
    cluster: Cluster, pods: dict[str, list[str]], family: str
) -> None:
    """With or without a kernel that has sockets for it; the porter beside it serves TCP, too."""
    host = pods["c"][FAMILIES[family]]
    assert connects(cluster, "a", host, 90, "sctp")
    assert connects(cluster, "a", host, 91)
    assert not connects(cluster, "a", host, 92, "sctp")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("source", "target"),
    [pytest.param("a", "b", id="of-its-node"), pytest.param("a", "c", id="of-another"), "aa"],
)
def test_pods_reach_services_even_their_own(
    cluster: Cluster, pods: dict[str, list[str]], source: str, target: str, family: str
) -> None:
    with cluster.admin as admin:
        found = admin.request("GET", f"/api/v1/namespaces/reach/services/{target}").body
    until = time.monotonic() + 10
    while not connects(cluster, source, found["spec"]["clusterIPs"][FAMILIES[family]]):
        assert time.monotonic() < until, "the rules of a Service come a moment after it"


def test_every_node_knows_the_ranges_of_its_pods(cluster: Cluster) -> None:
    with cluster.admin as admin:
        items = admin.request("GET", "/api/v1/nodes").body["items"]
    found = {each["metadata"]["name"]: tuple(each["spec"]["podCIDRs"]) for each in items}
    assert found == {node.name: node.pods for node in cluster.nodes}


# --------------------------------------------------------------------------------- nothing stays

STARTER = """
import sys, time
from pathlib import Path
from tests.cluster import cluster
process = cluster.start(1, Path(sys.argv[1]), sys.argv[2])
print("up", flush=True)
time.sleep(600)
"""


def traces(name: str) -> list[str]:
    """Everything of a cluster that this machine still has."""
    processes = [
        str(file)
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if name.encode() in _contents(file)
    ]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if name in line]
    folders = [str(Path("/tmp") / name)] if (Path("/tmp") / name).exists() else []
    return [*processes, *mounts, *map(str, cgroups.left(name)), *folders]


def _contents(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def links() -> str:
    done = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("killed", ["whoever started it", "its keeper"])
def test_a_cluster_ends_with_whoever_holds_it_and_leaves_nothing(killed: str) -> None:
    name = f"podfence-cluster-test{os.getpid()}"
    folder = Path("/tmp") / name
    before = links()
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder), name],
        stdout=subprocess.PIPE,
        cwd=build.ROOT,
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        assert len(traces(name)) > 10
        assert links() == before
        victim = starter.pid if killed == "whoever started it" else clusters.keeper_of(folder)
        os.kill(victim, signal.SIGKILL)
        if victim != starter.pid:
            # Nobody is left to clean up but the next start, or this.
            until = time.monotonic() + 20
            while dict(clusters.first_processes(folder)):
                assert time.monotonic() < until
                time.sleep(0.1)
            assert clusters.stop(folder, name)
            starter.kill()
    until = time.monotonic() + 30
    while traces(name):
        assert time.monotonic() < until, traces(name)
        time.sleep(0.1)
    assert links() == before
