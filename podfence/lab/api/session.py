"""A lab whose cluster comes from an API server. Process: the background one of a lab.

Rule: the lab makes the networks of pods and answers on their ports; agents alone decide which
packets pass. So the lab never writes rules here, and comparing packets with the engine tests the
agents.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import sleep
from typing import Any

from msgspec.structs import replace

from podfence.errors import LabError
from podfence.lab.messages import Apply, Exec, LabInput, Message, TryAll, Why
from podfence.lab.probing.process import LabProcess
from podfence.lab.replies import FollowedServer, StatusReply, TryReply, WhyReply
from podfence.lab.session import LabWorld, Session
from podfence.lab.testbed.probeplan import PartyKind, ProbePlan, make_plan
from podfence.lab.testbed.services import frontends
from podfence.lab.trial import LabOptions, families
from podfence.manifests.positions import Positions
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex

ALWAYS = frozenset({80})
"""Ports on which every pod answers, declared or not: the images of most tutorials do."""
_LAGS = (0.2, 0.5, 1.0)
"""Seconds after which packets are sent again where they do not do what the engine says: an agent
hears of a change when the lab does, and needs a moment to write it."""


def world_of(cluster: Cluster, options: LabOptions) -> LabWorld:
    """What a lab is to be, its rules left to agents. It may have no pod."""
    index = compile_cluster(cluster)
    plan = make_plan(index, options.limits, families())
    plan = replace(plan, ports=tuple(sorted({*plan.ports, *ALWAYS, *_served(index, plan)})))
    return LabWorld(LabInput.of(cluster, Positions()), index, plan, {})


def _served(index: PolicyIndex, plan: ProbePlan) -> set[int]:
    """Ports of pods that Services send to, which need not be declared."""
    return {port for each in frontends(index, plan) for _, port, _ in each.backends}


def _agrees(reply: object) -> bool:
    """Whether packets did what the engine says; what sent none is no disagreement."""
    match reply:
        case WhyReply(agrees=agreed):
            return agreed
        case TryReply(report=report):
            return report.clean
    return True


class ApiSession(Session):
    """``fresh`` reads the current cluster; it is called before packets are compared with it.
    ``close`` ends the processes that were started beside the lab process."""

    def __init__(self, name: str, lab: LabProcess, first: LabWorld, options: LabOptions) -> None:
        super().__init__(name, lab, first, options)
        self._turn = threading.RLock()
        self.fresh: Callable[[], None] = lambda: None
        self.closing: Callable[[], None] = lambda: None
        self.served_by: Callable[[], FollowedServer | None] = lambda: None
        self.trouble: Callable[[], tuple[str, ...]] = tuple

    def do(self, message: Message[Any]) -> object:
        """As of any lab, but that its input comes from elsewhere."""
        if isinstance(message, Apply):
            raise LabError(
                "this lab follows its API server: change it with kubectl apply (podfence lab "
                "status says with which kubeconfig)"
            )
        reply = self._ask(message)
        for pause in _LAGS:
            if _agrees(reply):
                break
            sleep(pause)
            reply = self._ask(message)
        return reply

    def _ask(self, message: Message[Any]) -> object:
        if isinstance(message, Why | TryAll | Exec):
            self.fresh()
        with self._turn:
            return super().do(message)

    def status(self) -> StatusReply:
        """What is there, and what serves it."""
        stated = super().status()
        notes = (*stated.notes, *self.trouble())
        return replace(stated, api=self.served_by(), notes=notes)

    def step_aside(self, party: str, descriptor: int) -> None:
        """As of any lab."""
        with self._turn:
            super().step_aside(party, descriptor)

    def become(self, cluster: Cluster) -> bool:
        """Make the networks of another cluster; whether there was anything to do. Raises
        LabError."""
        with self._turn:
            if cluster == self._world.index.cluster:
                return False
            self._change(self._world, world_of(cluster, self._options), {})
            return True

    def pods(self) -> frozenset[str]:
        """Pods that have a network, by name."""
        return frozenset(p.name for p in self.plan.parties if p.side is PartyKind.POD)

    def close(self) -> None:
        """End the processes that were started beside the lab process."""
        self.closing()
