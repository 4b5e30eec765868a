"""A real API server, ``podfence mirror``, and a real agent with real packets behind it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podfence.kube.agents import AUDIENCE
from tests.agent.cluster import Cluster
from tests.agent.network import Agent as Process
from tests.agent.network import Node, Relay
from tests.apiserver.client import Client
from tests.apiserver.server import ApiServer
from tests.mirror.replicas import write_certificate

DB, WEB = {"app": "db"}, {"app": "web"}
READING = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
ASKING = [
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {
        "apiGroups": ["authorization.k8s.io"],
        "resources": ["subjectaccessreviews"],
        "verbs": ["create"],
    },
]
MAY = [{"apiGroups": [AUDIENCE], "resources": ["mirror"], "verbs": ["get"]}]

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(240)]


class Mirror:
    """The process, and the way to it from a node's namespace."""

    def __init__(self, here: Node, folder: Path, kubeconfig: Path, port: int = 0) -> None:
        self._here = here
        log = folder / f"mirror-{time.monotonic_ns()}.log"
        command = [
            sys.executable,
            "-c",
            f"""
import os, sys
from podfence.kernel import netns
netns.die_with_parent({os.getpid()})
os.execv(sys.executable, [sys.executable, "-m", "podfence", *sys.argv[1:]])
""",
        ]
        command += ["mirror", "--kubeconfig", str(kubeconfig), "--certificate", str(folder)]
        command += ["--port", str(port), "--http-port", "0"]
        with log.open("wb") as stream:
            self.process = Process(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stream), log
            )
        self.port = int(str(self.process.wait_for("start")["port"]))
        self.process.wait_for("ready")
        self.relay = Relay(here.namespace, self.port)

    def end(self) -> None:
        self.relay.cut()
        if self.process.process.poll() is None:
            assert self.process.end() == 0


@pytest.fixture
def folder(tmp_path: Path, apiserver: ApiServer, namespace: str, admin: Client) -> Path:
    """A certificate, and a token of an agent that may ask mirrors."""
    found = write_certificate(tmp_path / "mirror")
    apiserver.service_account(namespace, "reader", MAY)
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/reader/token"
    token = admin.create(path, {"spec": {"audiences": [AUDIENCE]}})["status"]["token"]
    (found / "token").write_text(token)
    return found


@pytest.fixture
def account(apiserver: ApiServer, namespace: str, tmp_path: Path) -> Path:
    """The kubeconfig of a mirror, that may do what it needs and nothing else."""
    token = apiserver.service_account(namespace, "mirror", [*READING, *ASKING])
    return apiserver.kubeconfig(tmp_path / "mirror-kubeconfig", token)


@pytest.fixture
def mirror(here: Node, folder: Path, account: Path) -> Iterator[Mirror]:
    found = Mirror(here, folder, account)
    yield found
    found.end()


def options(mirror: Mirror, folder: Path, patience: float = 60.0) -> list[str]:
    return [
        f"--mirror=https://localhost:{mirror.port}",
        f"--mirror-ca={folder / 'ca.crt'}",
        f"--mirror-token={folder / 'token'}",
        f"--mirror-patience={patience}",
    ]


def test_pods_of_other_nodes_are_known_by_the_mirror(
    here: Node, cluster: Cluster, mirror: Mirror, folder: Path
) -> None:
    cluster.policy("db", DB, {"app": "far"})
    agent = here.agent(*options(mirror, folder))
    assert here.passes("far", "db")
    assert not here.passes("web", "db")
    cluster.relabel("far", {"app": "other"})
    here.becomes(False, "far", "db")
    cluster.relabel("far", {"app": "far"})
    here.becomes(True, "far", "db")
    cluster.delete_pod("far")
    here.becomes(False, "far", "db")
    assert not agent.lines("condition")


def test_without_its_mirror_a_node_protects_its_own_pods_at_once_and_knows_others_later(
    here: Node, cluster: Cluster, mirror: Mirror, folder: Path
) -> None:
    cluster.policy("db", DB, {"app": "far"})
    agent = here.agent(*options(mirror, folder, patience=4.0))
    assert here.passes("far", "db")
    mirror.end()
    cluster.policy("web", WEB, DB)  # of this node: no mirror is asked for it
    here.becomes(False, "far", "web")
    assert here.passes("far", "db")  # what was known stays
    cluster.relabel("far", {"app": "other"})
    here.becomes(False, "far", "db")  # by the API server
    line = agent.wait_for("condition")
    assert (line["condition"], line["subject"]) == ("MirrorAway", "Pod (other)")
    assert f"https://localhost:{mirror.port} cannot be asked" in str(line["message"])


def test_an_agent_that_starts_without_its_mirror_is_in_sync_by_the_api_server(
    here: Node, cluster: Cluster, mirror: Mirror, folder: Path
) -> None:
    cluster.policy("db", DB, {"app": "far"})
    mirror.end()
    agent = here.agent(*options(mirror, folder), wait=False)
    agent.wait_for("start")
    here.becomes(False, "web", "db")  # closed by its range, or by the policy
    agent.wait_for("in sync")
    assert here.passes("far", "db")


def test_who_has_no_right_is_told_nothing_and_the_api_server_is_asked(
    here: Node,
    cluster: Cluster,
    mirror: Mirror,
    folder: Path,
    apiserver: ApiServer,
    admin: Client,
) -> None:
    apiserver.service_account(cluster.namespace, "nobody")
    path = f"/api/v1/namespaces/{cluster.namespace}/serviceaccounts/nobody/token"
    token = admin.create(path, {"spec": {"audiences": [AUDIENCE]}})["status"]["token"]
    (folder / "token").write_text(token)
    agent = here.agent(*options(mirror, folder, patience=1.0))
    agent.wait_for("condition")
    assert "no right to get mirror.podfence.io" in str(agent.lines("condition")[0]["message"])


def test_a_mirror_whose_certificate_is_not_the_right_one_is_not_believed(
    here: Node, cluster: Cluster, mirror: Mirror, folder: Path, tmp_path: Path
) -> None:
    other = write_certificate(tmp_path / "other")
    (other / "token").write_bytes((folder / "token").read_bytes())
    agent = here.agent(*options(mirror, other, patience=1.0))
    assert re.search("certificate", str(agent.wait_for("condition")["message"]))


def test_an_agent_goes_on_at_another_replica(
    here: Node, cluster: Cluster, mirror: Mirror, folder: Path, account: Path
) -> None:
    """The port is one, as that of a Service is."""
    cluster.policy("db", DB, {"app": "far"})
    agent = here.agent(*options(mirror, folder))
    port = mirror.port
    for number in range(3):
        mirror.end()
        cluster.relabel("far", {"app": f"x{number}"})
        mirror = Mirror(here, folder, account, port)
        here.becomes(False, "far", "db")
        cluster.relabel("far", {"app": "far"})
        here.becomes(True, "far", "db")
    mirror.process.end(signal.SIGKILL)
    mirror.relay.cut()
    assert not [e for e in agent.lines("condition") if e["condition"] == "MirrorAway"]
