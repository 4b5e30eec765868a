"""Who enforces policies in a cluster: nobody, or the agent, in one of two ways.

Rule: whatever is started here is gone with the cluster at the latest.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster import build
from tests.cluster.cluster import Cluster
from tests.cluster.layout import Node

READY_SECONDS = 60
_IN_SYNC = '"event":"in sync"'
_PID = "/run/agent.pid"


class NotReady(RuntimeError):
    """An agent ended, or did not program its node; its last words."""


@contextmanager
def from_image(cluster: Cluster) -> Iterator[None]:
    """The agent as users get it: the image that ``./dev image`` makes, and ``deploy/install.yaml``;
    removed by ``deploy/cleanup.yaml``. Raises NotReady.
    """
    archive = cluster.folder / "podfence.tar.gz"
    subprocess.run([sys.executable, build.ROOT / "deploy" / "image.py", archive], check=True)
    cluster.load(archive)
    install, cleanup = _INSTALL.format("install"), _INSTALL.format("cleanup")
    cluster.kubectl("apply", "-f", install)
    try:
        _roll_out(cluster, "podfence")
        _wait_in_sync(cluster)
        yield
    finally:
        cluster.kubectl("delete", "-f", install)
        cluster.kubectl("apply", "-f", cleanup)
        _roll_out(cluster, "podfence-cleanup")
        cluster.kubectl("delete", "-f", cleanup)


_INSTALL = str(build.ROOT / "deploy" / "{}.yaml")


def _roll_out(cluster: Cluster, name: str) -> None:
    words = ("rollout", "status", "-n", "kube-system", f"daemonset/{name}", "--timeout=90s")
    cluster.kubectl(*words)


def _wait_in_sync(cluster: Cluster) -> None:
    """Until every agent says so in its log."""
    until = time.monotonic() + READY_SECONDS
    words = ("logs", "-n", "kube-system", "-l", "app.kubernetes.io/name=podfence", "--tail=-1")
    while (said := cluster.kubectl(*words)).count(_IN_SYNC) < len(cluster.nodes):
        if time.monotonic() > until:
            raise NotReady(said[-3000:])
        time.sleep(0.2)


@contextmanager
def from_sources(cluster: Cluster, *options: str) -> Iterator[None]:
    """The agent of this copy of the repository on every node, as a process of the node, with more
    options. Raises NotReady.
    """
    with ExitStack() as stack:
        for node in cluster.nodes:
            stack.enter_context(_on_node(cluster, node, options))
        yield


def log_of(cluster: Cluster, node: Node) -> Path:
    """What the agent of a node that runs from sources says."""
    return cluster.folder / node.name / "agent.log"


@contextmanager
def _on_node(cluster: Cluster, node: Node, options: Sequence[str]) -> Iterator[None]:
    """A process in the node's PID namespace, so that it ends with the node, too."""
    log = log_of(cluster, node)
    podfence = [sys.executable, "-m", "podfence", "agent"]
    words = [*podfence, "--node", node.name, "--kubeconfig", str(cluster.kubeconfig), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            cluster.command(["sh", "-c", f'echo $$ >{_PID}; exec "$@"', "sh", *words], node),
            cwd=build.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + READY_SECONDS
        while _IN_SYNC not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > until:
                raise NotReady(f"{node.name}: {log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield
    finally:
        cluster.run("sh", "-c", f"kill -TERM $(cat {_PID})", node=node, check=False)
        process.wait(timeout=40)
        cluster.run(*podfence, "cleanup", node=node)
