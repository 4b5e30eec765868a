"""Starts a lab on an API server. Process: the background one of a lab.

Rule: the order of these steps. If a step fails, everything that was started before it is ended.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from podfence.kube.client import Client
from podfence.kube.discovery import decode_json
from podfence.lab.api.agents import AgentProcesses
from podfence.lab.api.controlplane import ControlPlane
from podfence.lab.api.nodes import lab_nodes
from podfence.lab.api.programs import Programs
from podfence.lab.api.runtime import Runtime
from podfence.lab.api.session import ApiSession, world_of
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import NamespaceOf
from podfence.lab.replies import FollowedServer
from podfence.lab.session import LabWorld
from podfence.lab.trial import LabOptions, families
from podfence.model.cluster import Cluster
from podfence.model.objects import Node


def empty_world(nodes: tuple[Node, ...], options: LabOptions) -> LabWorld:
    """Nodes without pods."""
    return world_of(Cluster.of(nodes), options)


def nodes_of(number: int) -> tuple[Node, ...]:
    """The nodes of a lab on this machine."""
    return lab_nodes(number, families())


def bring_up(
    lab: LabProcess,
    *,
    name: str,
    nodes: tuple[Node, ...],
    first: LabWorld,
    options: LabOptions,
    programs: Programs,
    link: Path,
) -> ApiSession:
    """Networks of the nodes, the API server, node objects, agents in sync, rounds. ``link``: where
    the server's folder is found. Raises PodfenceError."""
    with ExitStack() as stack:
        session = ApiSession(name, lab, first, options)
        plane = stack.enter_context(ControlPlane(programs, link))
        plane.start()
        namespaces = {
            node.name: f"/proc/{lab.pid}/fd/{lab.call(NamespaceOf(node.name)).value}"
            for node in nodes
        }
        agents = AgentProcesses(plane, namespaces, lab.pid if lab.rootless else 0)
        stack.callback(agents.close)
        runtime = Runtime(plane.access(), session, nodes, agents)
        stack.callback(runtime.close)
        runtime.settle()
        with Client(plane.access()) as admin:
            agents.start(admin)
            version = _version(admin)
        runtime.start()
        url, kubeconfig = plane.url, str(plane.kubeconfig)
        session.served_by = lambda: FollowedServer(url, kubeconfig, version, agents.pids)
        session.fresh = runtime.settle
        session.trouble = lambda: runtime.trouble
        session.closing = stack.pop_all().close
        return session
    raise AssertionError("the stack swallows nothing")


def _version(admin: Client) -> str:
    return str(decode_json(admin.get("/version"), "/version").get("gitVersion", ""))
