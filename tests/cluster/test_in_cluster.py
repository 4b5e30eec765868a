"""``podfence test --in cluster`` with real nodes: the promises of the shop, by packets."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cluster import agents, build
from tests.cluster.cluster import Cluster
from tests.cluster.images import AGNHOST

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SHOP = build.ROOT / "examples" / "shop"
TESTS = "examples/tests/shop.podfence.yaml"
IMAGE = "podfence/podfence:0.1.0"
SPACES = ("shop", "monitoring")
TRIED = {
    "the backend reads the database",
    "through the Service as well",
    "nothing but the backend and Prometheus reaches the database",
    "the backend goes nowhere else",
    "only the office looks at Prometheus",
}
"""The promises that pods can try on one another."""


def objects() -> list[dict[str, Any]]:
    """The shop, with programs that answer on the ports that its containers declare."""
    found: list[dict[str, Any]] = []
    for file in sorted(SHOP.rglob("*.yaml")):
        for each in filter(None, yaml.safe_load_all(file.read_text(encoding="utf-8"))):
            template = each["spec"].get("template") if "spec" in each else None
            if template is not None:
                template["spec"]["terminationGracePeriodSeconds"] = 0
                for container in template["spec"]["containers"]:
                    ports = [port["containerPort"] for port in container["ports"]]
                    container |= {"image": AGNHOST[0], "args": ["porter"]}
                    container["env"] = [{"name": f"SERVE_PORT_{n}", "value": "x"} for n in ports]
            found.append(each)
    return sorted(found, key=lambda each: bool(each["kind"] != "Namespace"))


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("shop")
    manifest = folder / "shop.json"
    manifest.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects()}))
    cluster.kubectl("apply", "-f", str(manifest))
    try:
        for space in SPACES:
            ready = ("--for=condition=Available", "deployment", "--all", "--timeout=120s")
            cluster.kubectl("wait", "-n", space, *ready)
        cluster.kubectl("rollout", "status", "-n", "shop", "statefulset/db", "--timeout=120s")
        yield
    finally:
        cluster.kubectl("delete", "namespace", *SPACES, "--wait=false")


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> None:
    """The agent's image on every node."""
    archive = cluster.folder / "podfence.tar.gz"
    subprocess.run([sys.executable, build.ROOT / "deploy" / "image.py", archive], check=True)
    cluster.load(archive)


def judged(cluster: Cluster, where: str, *options: str) -> tuple[int, str, str]:
    """Exit status, output and errors of ``podfence test``, in the network of the API server."""
    command = [sys.executable, "-m", "podfence", "test", TESTS, "--in", where, "--yes", *options]
    command += ["--kubeconfig", str(cluster.kubeconfig)]
    done = subprocess.run(
        cluster.command(command),
        cwd=build.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("shop")
def test_with_the_agent_the_cluster_agrees_with_the_model(cluster: Cluster) -> None:
    """The containers have the image of the agent, as nobody names another one."""
    with agents.from_image(cluster):
        status, out, err = judged(cluster, "model,cluster", "-o", "json")
        assert status == 0, (out, err)
        found = json.loads(out)
    assert found["agreementWithCluster"]["agree"] == len(TRIED)
    assert found["agreementWithCluster"]["denials"] >= 20
    mine = {each["name"]: each for each in found["tests"] if each.get("where") == "cluster"}
    assert {name for name, each in mine.items() if each["status"] == "passed"} == TRIED
    assert {each["status"] for name, each in mine.items() if name not in TRIED} == {"skipped"}


@pytest.mark.usefixtures("shop", "image")
def test_without_an_enforcer_denials_are_seen_to_be_let_through(cluster: Cluster) -> None:
    status, out, _ = judged(cluster, "model,cluster", "--probe-image", IMAGE)
    assert status == 2
    assert "TCP/9103 over IPv4: open; the engine says denied" in out
    assert "is a policy enforcer running?" in out
    assert "model and cluster disagree on 3 tests, and agree on 2" in out


@pytest.mark.usefixtures("shop", "image")
def test_every_container_has_ended_and_the_pods_run_on(cluster: Cluster) -> None:
    before = restarts(cluster)
    status, out, _ = judged(cluster, "cluster", "--probe-image", IMAGE, "--run", "Service")
    assert (status, out.splitlines()[-1]) == (0, "1 test: 1 passed")
    until = time.monotonic() + 60
    while states := running(cluster):
        assert time.monotonic() < until, states
        time.sleep(0.5)
    assert restarts(cluster) == before


def pods(cluster: Cluster) -> list[dict[str, Any]]:
    words = ("get", "pods", "-n", "shop", "-o", "json")
    found: list[dict[str, Any]] = json.loads(cluster.kubectl(*words))["items"]
    return found


def running(cluster: Cluster) -> list[str]:
    """Containers of ours that have not ended."""
    return [
        each["name"]
        for pod in pods(cluster)
        for each in pod["status"].get("ephemeralContainerStatuses", ())
        if "terminated" not in each["state"]
    ]


def restarts(cluster: Cluster) -> dict[str, int]:
    """How often the containers of each pod were started again."""
    return {
        pod["metadata"]["name"]: sum(c["restartCount"] for c in pod["status"]["containerStatuses"])
        for pod in pods(cluster)
    }
