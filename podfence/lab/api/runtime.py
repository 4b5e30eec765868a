"""The parts of a cluster besides its API server and its agents: controllers, a scheduler, and nodes
that run pods. Process: the background one of a lab, in a thread of its own.

Rule: a round reads everything, corrects the differences and keeps no state; the next round sees the
result. A pod is running once its network exists, and gone once its network is removed.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime

from msgspec.structs import replace

from podfence._version import __version__
from podfence.errors import ClusterError, PodfenceError
from podfence.kube.access import Access
from podfence.kube.client import Client
from podfence.kube.resource import Resource, resources_of
from podfence.kube.writes import ApiWrite, delete
from podfence.kube.writing import write
from podfence.lab.api.agents import AgentProcesses
from podfence.lab.api.garbage import garbage
from podfence.lab.api.nodes import PodRun, bindings, left, missing_nodes, runs
from podfence.lab.api.podstatus import told
from podfence.lab.api.reading import cluster_of, read_state
from podfence.lab.api.session import ApiSession
from podfence.lab.api.slices import endpoint_slices
from podfence.lab.api.state import KINDS, ClusterState, path_of, uid
from podfence.lab.api.workloads import controllers
from podfence.model.objects import Node

_IDLE = 5.0
"""Seconds between two rounds when nothing changes."""
_TOGETHER = 0.02
"""Seconds in which changes come together, so that one round does for them."""
_AFTER_TROUBLE = 1.0
_ROUNDS = 10
"""Rounds that a change takes at the most: a workload, its pods, their nodes, their networks."""
_NO_NETWORK = "the lab has no room for its network"


class Runtime:
    """``trouble``: the error of the last round, for other threads."""

    def __init__(
        self, access: Access, session: ApiSession, nodes: Sequence[Node], agents: AgentProcesses
    ) -> None:
        self._access = access
        self._session = session
        self._nodes = nodes
        self._agents = agents
        self._client = Client(access)
        self._turn = threading.Lock()
        self._woken = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)
        self._wakeups: Wakeups | None = None
        self.trouble: tuple[str, ...] = ()

    def start(self) -> None:
        """The first round, with its nodes; then a round whenever something changes. Raises
        PodfenceError."""
        self.settle()
        resources = [each for kind in KINDS for each in resources_of(kind)]
        self._wakeups = Wakeups(self._access, resources, self._woken)
        self._thread.start()

    def close(self) -> None:
        """No round after this."""
        self._stopped.set()
        self._woken.set()
        if self._wakeups is not None:
            self._wakeups.close()

    def settle(self) -> None:
        """Rounds until nothing is to be done, or a few. Raises PodfenceError."""
        for _ in range(_ROUNDS):
            if not self.round():
                return

    def round(self) -> bool:
        """Once; whether anything was changed. Raises PodfenceError."""
        with self._turn:
            now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            state = read_state(self._client)
            names = [node.name for node in self._nodes]
            changed = self._write(missing_nodes(state, self._nodes, f"podfence-{__version__}", now))
            changed |= self._write(controllers(state, names, now))
            changed |= self._write(garbage(state))
            changed |= self._write(endpoint_slices(state))
            state = self._bind(state)
            running = runs(state.of("Pod"), self._nodes)
            changed |= self._session.become(cluster_of(state, self._nodes, running))
            changed |= self._write(self._statuses(running, now))
            gone = (
                delete(path_of("Pod", p), uid(p), at_once=True) for p in left(state, self._nodes)
            )
            return self._write(gone) or changed

    def _bind(self, state: ClusterState) -> ClusterState:
        """Give nodes to pods that have none, and read them as having them."""
        bound: dict[str, str] = {}
        for wanted, change in bindings(state, self._nodes):
            if write(self._client, change) and wanted:
                bound[wanted] = change.body["target"]["name"]
        pods = tuple(
            {**pod, "spec": {**pod["spec"], "nodeName": bound[uid(pod)]}}
            if uid(pod) in bound
            else pod
            for pod in state.of("Pod")
        )
        return replace(state, of_kind={**state.of_kind, "Pod": pods})

    def _statuses(self, running: Iterable[PodRun], now: str) -> Iterable[ApiWrite]:
        networks = self._session.pods()
        for run in running:
            has_one = run.host_network or run.text in networks
            yield from told(run, now, "" if has_one else _NO_NETWORK)

    def _write(self, changes: Iterable[ApiWrite]) -> bool:
        """Make changes; whether there were any. One that is refused keeps no other from being
        made. Raises Lost, and the first refusal."""
        any_made = False
        refused: ClusterError | None = None
        for each in changes:
            try:
                write(self._client, each)
            except ClusterError as error:
                refused = refused or error
            any_made = True
        if refused is not None:
            raise refused
        return any_made

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._woken.wait(_IDLE)
            time.sleep(_TOGETHER)
            self._woken.clear()
            if self._stopped.is_set():
                return
            if self._session.lab.has_ended:  # without networks there is no lab
                os.kill(os.getpid(), signal.SIGTERM)
                return
            try:
                self._agents.mend()
                self.round()
                self.trouble = ()
            except PodfenceError as error:
                self.trouble = (f"the last round failed: {error.message}",)
                self._stopped.wait(_AFTER_TROUBLE)
                self._woken.set()


# -- Notices that something changed: one watch for each kind. Process: the background one of a lab
# Rule: a wake-up does not say what changed; the one that waits reads the state again. A watch that
# ends or fails wakes too, so no change is missed.


_PAUSE = 1.0
"""Seconds before a watch that failed is tried again."""
_LONGEST = "300"
"""Seconds of one watch."""


class Wakeups:
    """Sets an event whenever an object of some kinds changes, until it is closed."""

    def __init__(
        self, access: Access, resources: Iterable[Resource], woken: threading.Event
    ) -> None:
        self._woken = woken
        self._stopped = threading.Event()
        self._clients: list[Client] = []
        self._threads: list[threading.Thread] = []
        for resource in resources:
            client = Client(access, tries=1)
            self._clients.append(client)
            work = threading.Thread(target=self._follow, args=(client, resource), daemon=True)
            self._threads.append(work)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End all watches."""
        self._stopped.set()
        for client in self._clients:
            client.interrupt()

    def _follow(self, client: Client, resource: Resource) -> None:
        query = {"watch": "true", "timeoutSeconds": _LONGEST}
        while not self._stopped.is_set():
            is_open = False
            try:
                with closing(client.lines(resource.path(), query)) as stream:
                    for _ in stream:
                        is_open = True
                        self._woken.set()
            except ClusterError:
                self._stopped.wait(_PAUSE)
            if is_open:  # a kind that the server does not have wakes nobody
                self._woken.set()
