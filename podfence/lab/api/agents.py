"""The agents of a lab: one process of the agent command for each node. Process: the background one
of a lab.

Rule: an agent is the same program, with the same rights, as on a real node; the lab tells it only
the network namespace of its node. An agent that ends is started again; its table stays in the
kernel meanwhile.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from podfence.errors import LabError
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.writes import ApiWrite, WriteVerb
from podfence.kube.writing import write
from podfence.lab.api.become import command
from podfence.lab.api.controlplane import AGENT, ControlPlane
from podfence.text import printable

READY_SECONDS = 30.0
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_RULES = [
    {"apiGroups": [group], "resources": names, "verbs": ["list", "watch"]}
    for group, names in (
        ("", ["namespaces", "nodes", "pods"]),
        ("networking.k8s.io", ["networkpolicies"]),
        (
            "policy.networking.k8s.io",
            ["clusternetworkpolicies", "adminnetworkpolicies", "baselineadminnetworkpolicies"],
        ),
    )
]
"""As in deploy/install.yaml."""


def rights() -> tuple[ApiWrite, ...]:
    """What lets agents read what they need, and nothing else."""
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": AGENT}}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": AGENT}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": AGENT}
    return (
        ApiWrite(
            WriteVerb.CREATE,
            f"{_RBAC}/clusterroles",
            {**head, "kind": "ClusterRole", "rules": _RULES},
        ),
        ApiWrite(
            WriteVerb.CREATE,
            f"{_RBAC}/clusterrolebindings",
            {**head, "kind": "ClusterRoleBinding", "roleRef": role, "subjects": [subject]},
        ),
    )


class AgentProcesses:
    """One for each node. ``namespaces``: the network namespace of each, as the path of a
    descriptor. ``owner``: a process in whose user namespace they are; 0: in ours."""

    def __init__(self, plane: ControlPlane, namespaces: Mapping[str, str], owner: int) -> None:
        self._plane = plane
        self._namespaces = namespaces
        self._owner = owner
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, admin: Client) -> None:
        """Start all agents and wait until they are in sync. Raises LabError, ClusterError."""
        for each in rights():
            write(admin, each)
        self._wait_for_rights()
        self.mend()
        until = time.monotonic() + READY_SECONDS
        waiting = list(self._namespaces)
        while waiting:
            waiting = [node for node in waiting if '"event":"in sync"' not in self._log(node)]
            ended = next((node for node in waiting if self._running[node].poll() is not None), "")
            if ended or (waiting and time.monotonic() > until):
                node = ended or waiting[0]
                last = self._log(node).strip().splitlines()[-1:] or ["nothing"]
                raise LabError(f"the agent of {node} is not in sync; it said: {printable(last[0])}")
            time.sleep(0.02)

    def mend(self) -> None:
        """Restart the agents that have ended."""
        for node, namespace in self._namespaces.items():
            known = self._running.get(node)
            if known is None or known.poll() is not None:
                self._running[node] = self._spawn(node, namespace)

    @property
    def pids(self) -> Mapping[str, int]:
        """Their processes, by node."""
        return {node: process.pid for node, process in self._running.items()}

    def close(self) -> None:
        """End all. The tables go with the namespaces."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()

    def _spawn(self, node: str, namespace: str) -> subprocess.Popen[bytes]:
        words = ["-m", "podfence", "agent", f"--node={node}", f"--netns={namespace}"]
        words += [f"--kubeconfig={self._plane.agents_kubeconfig}", "--http-port=0"]
        folder = self._plane.folder
        words += [f"--run-dir={folder}", f"--state-dir={folder}/state-{node}"]
        return self._plane.spawn(f"agent-{node}", command(self._owner, sys.executable, *words))

    def _log(self, node: str) -> str:
        file = Path(self._plane.folder, f"agent-{node}.log")
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def _wait_for_rights(self) -> None:
        """The server learns of roles a moment after they are stored."""
        until = time.monotonic() + READY_SECONDS
        with Client(self._plane.access(AGENT)) as asking:
            while True:
                try:
                    asking.get("/apis/networking.k8s.io/v1/networkpolicies", {"limit": "1"})
                    return
                except ServerRefusal:
                    if time.monotonic() > until:
                        raise
                time.sleep(0.02)
