"""Who enforces policies in a cluster: nobody, or the agent, in one of two ways.

Rule: whatever is started here is gone with the cluster at the latest.
"""

from __future__ import annotations

import os
import signal
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
_PODFENCE = (sys.executable, "-m", "podfence", "agent")


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


class Agent:
    """The agent of this copy of the repository on a node: a process in the node's namespaces, so
    that it ends with the node, too. ``options``: more of them.
    """

    def __init__(self, cluster: Cluster, node: Node, options: Sequence[str] = ()) -> None:
        self.node = node
        self._cluster = cluster
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it is in sync. Raises NotReady."""
        words = ["--node", self.node.name, "--kubeconfig", str(self._cluster.kubeconfig)]
        command = [*_PODFENCE, *words, *self._kept, *self._options]
        log = log_of(self._cluster, self.node)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                self._cluster.command(command, self.node),
                cwd=build.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until = time.monotonic() + READY_SECONDS
        while _IN_SYNC not in (said := log.read_text(errors="replace")):
            if self._process.poll() is not None or time.monotonic() > until:
                raise NotReady(f"{self.node.name}: {said[-3000:]}")
            time.sleep(0.1)

    @property
    def pid(self) -> int:
        """Its process, as this one sees it; 0: it does not run."""
        process = self._process
        if process is None or process.poll() is not None:
            return 0
        # nsenter stays, as the parent of what it has started in the node's PID namespace.
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return int(found[0]) if found else 0

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends a signal that ends it, and waits until it has ended."""
        if pid := self.pid:
            os.kill(pid, number)
        if self._process is not None:
            self._process.wait(timeout=40)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It does not run for the time of a ``with``."""
        process, pid = self._process, self.pid
        assert process is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            # nsenter stops itself when what it has started is stopped.
            for each in (process.pid, pid):
                os.kill(each, signal.SIGCONT)

    def remove(self) -> None:
        """Ends it, and everything passes again."""
        self.end()
        self._cluster.run(*_PODFENCE, "cleanup", *self._kept, node=self.node)

    @property
    def _kept(self) -> tuple[str, str]:
        """Where it keeps what outlives a node: not where an agent of this machine does."""
        return "--state-dir", str(self._cluster.folder / self.node.name / "state")


@contextmanager
def from_sources(cluster: Cluster, *options: str) -> Iterator[list[Agent]]:
    """An agent on every node, with more options. Raises NotReady."""
    with ExitStack() as stack:
        found = [Agent(cluster, node, options) for node in cluster.nodes]
        for agent in found:
            stack.callback(agent.remove)
            agent.start()
        yield found


def log_of(cluster: Cluster, node: Node) -> Path:
    """What the agent of a node that runs from sources says."""
    return cluster.folder / node.name / "agent.log"
