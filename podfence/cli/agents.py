"""The agents of a cluster, asked all at once: options, and who answers what.

Rule: an agent that does not answer becomes a line of the answer; it never ends the command.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click
import msgspec
from msgspec import Struct

from podfence.agent.fleet import NodeReply
from podfence.agent.nodereport import PolicyReport
from podfence.agent.policycondition import TYPE, WITHOUT_STATUS, PolicyCondition, condition_of
from podfence.cli.inputs import access_options
from podfence.errors import UNREADABLE, ClusterError, UnknownObject
from podfence.kube.access import Access
from podfence.kube.agents import AgentAddress, Fleet, client_of, find_fleet, request_token
from podfence.kube.client import Client, ConnectionLost, ServerRefusal
from podfence.kube.discovery import decode_as
from podfence.kube.resource import Resource, resources_of
from podfence.kube.source import find_access
from podfence.model.kindnames import kind_called
from podfence.model.meta import MODE_ANNOTATION, ObjectRef, Revision, is_audited

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
AT_ONCE: Final = 16
"""Agents that are asked at the same time."""
_APPLY: Final = "application/apply-patch+yaml"
RENEWED: Final = 300.0
"""Seconds after which a token is renewed; it is valid for twice as long."""
_KINDS: Final = (
    "NetworkPolicy",
    "ClusterNetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
)


class AgentAccess(Struct, frozen=True):
    """How agents are found and asked. ``namespace``: of the DaemonSet; ``account``: the
    ServiceAccount whose token they accept, NAMESPACE/NAME; ``direct``: agents that are asked at
    their own addresses, in place of those of the DaemonSet on the same nodes."""

    context: str = ""
    kubeconfig: str | None = None
    namespace: str = "kube-system"
    account: str = ""
    direct: tuple[AgentAddress, ...] = ()


def agents_options(function: Callable[..., int]) -> Callable[..., int]:
    """``--context``, ``--kubeconfig`` and how agents are found: the parameter ``where``."""

    @access_options
    @fleet_options
    @wraps(function)
    def command(
        *args: Any,
        context: str | None,
        kubeconfig: str | None,
        agent_namespace: str,
        account: str,
        direct: tuple[AgentAddress, ...],
        **others: Any,
    ) -> int:
        where = AgentAccess(context or "", kubeconfig, agent_namespace, account, direct)
        return function(*args, where=where, **others)

    return command


def fleet_options(function: F) -> F:
    """How the agents of a cluster are found: ``agent_namespace``, ``account`` and ``direct``."""
    namespace = click.option(
        "--agent-namespace",
        default="kube-system",
        show_default=True,
        metavar="NAME",
        help="The namespace of the agents' DaemonSet.",
    )
    account = click.option(
        "--account",
        default="",
        metavar="NAMESPACE/NAME",
        help="The ServiceAccount whose token is sent to agents. Without it: podfence-viewer in the "
        "same namespace.",
    )
    agent = click.option(
        "--agent",
        "direct",
        multiple=True,
        metavar="NODE=HOST:PORT",
        callback=_direct,
        help="Ask the agent of this node at this address, not through the API server. Repeatable.",
    )
    return namespace(account(agent(function)))


def _direct(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[AgentAddress, ...]:
    found: list[AgentAddress] = []
    for text in value:
        node, _, address = text.partition("=")
        try:
            parts = urlsplit(f"//{address}")
            host, port = parts.hostname or "", parts.port or 0
        except ValueError:
            host, port = "", 0
        if not (node and host and port):
            message = f"{text!r}: write NODE=HOST:PORT, such as worker-1=192.0.2.7:9741"
            raise click.BadParameter(message, context, parameter)
        found.append(AgentAddress(node, host, port))
    return tuple(found)


class Agents:
    """The agents of a cluster. A context manager, for one thread."""

    def __init__(self, where: AgentAccess) -> None:
        """Raises ClusterError."""
        self._where = where
        self.access: Access = find_access(where.context, where.kubeconfig, os.environ)
        self._client = Client(self.access)
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._token: tuple[float, str] | None = None

    def __enter__(self) -> Agents:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def policy(self, name: str, namespace: str | None) -> tuple[ObjectRef, Revision]:
        """The policy that a word names, and its present revision in the API server. Raises
        UnknownObject, ClusterError."""
        refs = _meant(name, namespace or self.access.namespace)
        for ref in refs:
            if found := self._stored(ref, _PolicyObject):
                metadata = found[1].metadata
                audited = is_audited(metadata.annotations)
                return ref, Revision(metadata.uid, metadata.generation, audited)
        looked = " or ".join(f"{ref.kind} {ref}" for ref in refs)
        raise UnknownObject(f"the cluster has no {looked}")

    def write_condition(
        self, policy: ObjectRef, revision: Revision, told: Sequence[NodeReply[PolicyReport]]
    ) -> None:
        """Write into a policy's status whether the policy is in force, unless it says so already.
        Server-side apply leaves the conditions of others alone.

        Raises ClusterError, also where the policy was deleted or replaced: the answer is not about
        the new object.
        """
        stored = self._stored(policy, _Stated)
        if stored is None:
            raise ClusterError(f"{policy.kind} {policy} is gone: its condition is not written")
        resource, found = stored
        if found.metadata.uid != revision.uid:
            raise ClusterError(
                f"{policy.kind} {policy} was replaced meanwhile: its condition is not written; "
                "ask again"
            )
        if is_audited(found.metadata.annotations) != revision.audited:
            raise ClusterError(
                f"the annotation {MODE_ANNOTATION} of {policy.kind} {policy} was changed "
                "meanwhile: its condition is not written; ask again"
            )
        before = next((each for each in found.status.conditions if each.type == TYPE), None)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = condition_of(revision, told, now, before)
        if condition != before:
            body = {
                "apiVersion": resource.api_version,
                "kind": policy.kind,
                "metadata": {"name": policy.name},
                "status": {"conditions": [condition]},
            }
            path = f"{resource.path(policy.namespace)}/{policy.name}"
            target = f"{path}/status?fieldManager=podfence&force=true"
            self._client.write("PATCH", target, msgspec.json.encode(body), _APPLY)

    def _stored(self, ref: ObjectRef, form: type[T]) -> tuple[Resource, T] | None:
        """An object as the API server has it now, in the best version that it serves; None where it
        does not exist. Raises ClusterError."""
        for resource in resources_of(ref.kind):
            path = f"{resource.path(ref.namespace)}/{ref.name}"
            try:
                return resource, decode_as(form, self._client.get(path), path)
            except ServerRefusal as refusal:
                if refusal.status != 404:
                    raise
        return None

    def ask(
        self,
        path: str,
        query: Mapping[str, str],
        form: type[T],
        but: frozenset[str] = frozenset(),
        since: Mapping[str, int] | None = None,
    ) -> list[NodeReply[T]]:
        """The answer of each node's agent, by node name. ``but``: nodes to leave out. ``since``: by
        node, the serial after which changes are wanted. Raises ClusterError where agents cannot be
        found, or the user may not ask them."""
        fleet = find_fleet(self._client, self._where.namespace)
        agents = _agents(fleet, self._where.direct)
        nodes = sorted({*fleet.nodes, *agents} - but)
        token = self._shown()
        # Made here: msgspec may not work out one form in two threads at once.
        decoder = msgspec.json.Decoder(form)

        def one(node: str) -> NodeReply[T]:
            agent = agents.get(node)
            if agent is None:
                return NodeReply(node, None, "no agent runs there")
            if not agent.port:
                return NodeReply(
                    node, None, "its agent answers no questions: it runs without --https-port"
                )
            asked = query
            if since and node in since:
                asked = {**query, "since": str(since[node])}
            return _told(agent, self.access, token, (path, asked), decoder)

        return list(self._pool.map(one, nodes))

    def _shown(self) -> str:
        """The token that agents get."""
        if self._token is None or time.monotonic() - self._token[0] > RENEWED:
            namespace, _, name = self._where.account.partition("/")
            account = (namespace, name) if name else (self._where.namespace, "podfence-viewer")
            self._token = time.monotonic(), request_token(self._client, *account)
        return self._token[1]


class _PolicyMetadata(Struct):
    uid: str = ""
    generation: int = 0
    annotations: dict[str, object] | None = None


class _PolicyObject(Struct):
    metadata: _PolicyMetadata


class _PolicyStatus(Struct, frozen=True):
    conditions: tuple[PolicyCondition, ...] = ()


class _Stated(_PolicyObject):
    status: _PolicyStatus = _PolicyStatus()


def condition_option(function: F) -> F:
    """``--condition``."""
    return click.option(
        "--condition",
        is_flag=True,
        help=f"Write the answer into the policy's status, as the condition {TYPE}; only for kinds "
        "that have a status, which NetworkPolicy does not.",
    )(function)


def require_status(policy: ObjectRef) -> None:
    """Raises UsageError for a kind that has no status to write."""
    if policy.kind in WITHOUT_STATUS:
        raise click.UsageError(
            f"--condition: {policy.kind} has no status in the API, so no condition can be "
            "written; ClusterNetworkPolicy and AdminNetworkPolicy have one"
        )


def _meant(name: str, namespace: str) -> list[ObjectRef]:
    """The policies that a word may mean, the likeliest first: ``NAME``, ``KIND/NAME``,
    ``NAMESPACE/NAME`` or ``NAMESPACE/KIND/NAME``. Raises UnknownObject."""
    *outer, last = name.split("/")
    kind = kind_called(outer[-1]) if outer else ""
    if kind:
        outer.pop()
    if len(outer) > 1 or not all((*outer, last)) or (kind and kind not in _KINDS):
        raise UnknownObject(f"{name!r} is not the name of a policy; use [NAMESPACE/][KIND/]NAME")
    within = outer[0] if outer else namespace
    kinds = (kind,) if kind else _KINDS[: 1 if outer else None]
    return [ObjectRef(each, within if each == _KINDS[0] else "", last) for each in kinds]


def _agents(fleet: Fleet, direct: tuple[AgentAddress, ...]) -> dict[str, AgentAddress]:
    """By node. While an agent is replaced a node has two; the one that can answer is used."""
    found: dict[str, AgentAddress] = {}
    for agent in fleet.agents:
        if agent.node not in found or not found[agent.node].address:
            found[agent.node] = agent
    return {**found, **{agent.node: agent for agent in direct}}


def _told(
    agent: AgentAddress,
    access: Access,
    token: str,
    asked: tuple[str, Mapping[str, str]],
    decoder: msgspec.json.Decoder[T],
) -> NodeReply[T]:
    client, prefix = client_of(agent, access, token)
    path, query = asked
    try:
        with client:
            answer = client.get(prefix + path, query)
        return NodeReply(agent.node, decoder.decode(answer))
    except ServerRefusal as refusal:
        return NodeReply(
            agent.node, None, f"its agent cannot be asked: {refusal.status} {refusal.said}"
        )
    except ConnectionLost as lost:
        return NodeReply(agent.node, None, f"its agent cannot be asked: {lost.reason}")
    except ClusterError as error:
        return NodeReply(agent.node, None, error.message)
    except UNREADABLE as error:
        return NodeReply(agent.node, None, f"its agent's answer cannot be read: {error}")
