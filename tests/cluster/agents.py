"""Who enforces policies in a cluster: nobody, or the agent, in one of two ways.

Rule: whatever is started here is gone with the cluster at the latest.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.cluster import build
from tests.cluster.cluster import Cluster
from tests.cluster.layout import Node

READY_SECONDS = 60
_PID = "/run/agent.pid"


class NotReady(RuntimeError):
    """An agent ended, or did not program its node; its last words."""


@contextmanager
def from_sources(cluster: Cluster) -> Iterator[None]:
    """The agent of this copy of the repository on every node, as a process of the node. Raises
    NotReady.
    """
    with ExitStack() as stack:
        for node in cluster.nodes:
            stack.enter_context(_on_node(cluster, node))
        yield


@contextmanager
def _on_node(cluster: Cluster, node: Node) -> Iterator[None]:
    """A process in the node's PID namespace, so that it ends with the node, too."""
    log = cluster.folder / node.name / "agent.log"
    podfence = [sys.executable, "-m", "podfence", "agent"]
    words = [*podfence, "--node", node.name, "--kubeconfig", str(cluster.kubeconfig)]
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
        while "in sync" not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > until:
                raise NotReady(f"{node.name}: {log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        yield
    finally:
        cluster.run("sh", "-c", f"kill -TERM $(cat {_PID})", node=node, check=False)
        process.wait(timeout=40)
        cluster.run(*podfence, "cleanup", node=node)
