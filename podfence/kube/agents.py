"""The agents of a cluster: found, and asked through the API server or at their own addresses.

Rule: an agent is never shown the caller's credential. It gets a token that the API server makes for
a service account and for this one audience. So a stranger at the agent's port can do nothing with
the token but ask other agents the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct, field

from podfence.kube.access import Access, Credential, ServerAddress, StaticCredential
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.discovery import decode_as

AUDIENCE: Final = "podfence.io"
"""Whom tokens for agents are for, and the API group of what they are asked for."""
HEADER: Final = "X-Podfence-Token"
"""Where the token stands: the API server takes ``Authorization`` for itself."""
LABEL: Final = "app.kubernetes.io/name=podfence"
"""The pods of the DaemonSet."""
STATUS_PATH: Final = "/v1/status"
DROPS_PATH: Final = "/v1/drops"
RULES_PATH: Final = "/v1/rules"
POLICY_PATH: Final = "/v1/policy"
PORT: Final = "https"
"""The name of the port at which they answer."""
SECONDS: Final = 5.0
"""Silence of an agent after which it counts as away."""
LARGEST: Final = 1 << 24
"""Bytes of an answer: a full ledger of drops is less."""
LONGEST: Final = 30.0
"""Seconds that an answer may take."""
_NOT_FOUND: Final = 404
_LINUX: Final = "linux"
_LIFE: Final = 600
"""Seconds that a token is good for; the API server makes none for less."""


class AgentAddress(Struct, frozen=True, order=True):
    """An agent. ``node``: where it runs. ``port`` 0: it answers nobody. ``pod`` "": it is asked at
    its own address, not through the API server."""

    node: str
    address: str = ""
    port: int = 0
    namespace: str = ""
    pod: str = ""


class Fleet(Struct, frozen=True):
    """The Linux nodes of a cluster by name, and the agents."""

    nodes: tuple[str, ...]
    agents: tuple[AgentAddress, ...]


class _AgentMetadata(Struct):
    name: str
    labels: dict[str, str] = {}


class _AgentPort(Struct, rename="camel"):
    container_port: int
    name: str = ""


class _AgentContainer(Struct):
    image: str = ""
    ports: tuple[_AgentPort, ...] = ()


class _AgentPodSpec(Struct, rename="camel"):
    node_name: str = ""
    containers: tuple[_AgentContainer, ...] = ()


class _AgentPodStatus(Struct):
    phase: str = ""
    pod_ip: str = field(default="", name="podIP")


class _AgentPod(Struct):
    metadata: _AgentMetadata
    spec: _AgentPodSpec = field(default_factory=_AgentPodSpec)
    status: _AgentPodStatus = field(default_factory=_AgentPodStatus)


class _AgentPodList(Struct):
    items: tuple[_AgentPod, ...] = ()


class _TokenRequestStatus(Struct):
    token: str


class _TokenRequest(Struct):
    status: _TokenRequestStatus


def find_fleet(client: Client, namespace: str) -> Fleet:
    """The nodes, and the agents that the DaemonSet in ``namespace`` has started. Raises
    ClusterError."""
    nodes = _items(client, "/api/v1/nodes", {})
    pods = _items(client, f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": LABEL})
    running = (pod for pod in pods if pod.status.phase not in ("Succeeded", "Failed"))
    return Fleet(
        tuple(sorted(node.metadata.name for node in nodes if _is_linux(node))),
        tuple(sorted(_agent(namespace, pod) for pod in running if pod.spec.node_name)),
    )


def find_image(client: Client, namespace: str) -> str:
    """The image with which the DaemonSet in ``namespace`` runs; "" where there is none. Raises
    ClusterError."""
    pods = _items(client, f"/api/v1/namespaces/{namespace}/pods", {"labelSelector": LABEL})
    running = sorted(p.metadata.name for p in pods if p.status.phase == "Running")
    images = {p.metadata.name: p.spec.containers[0].image for p in pods if p.spec.containers}
    return next((images[name] for name in running if images.get(name)), "")


def _is_linux(node: _AgentPod) -> bool:
    return node.metadata.labels.get("kubernetes.io/os", _LINUX) == _LINUX


def _agent(namespace: str, pod: _AgentPod) -> AgentAddress:
    ports = (each for container in pod.spec.containers for each in container.ports)
    port = next((each.container_port for each in ports if each.name == PORT), 0)
    return AgentAddress(pod.spec.node_name, pod.status.pod_ip, port, namespace, pod.metadata.name)


def _items(client: Client, path: str, query: Mapping[str, str]) -> tuple[_AgentPod, ...]:
    return decode_as(_AgentPodList, client.get(path, query), path).items


def request_token(client: Client, namespace: str, account: str) -> str:
    """A token of a service account that agents accept, and nobody else. Raises ClusterError."""
    spec = {"audiences": [AUDIENCE], "expirationSeconds": _LIFE}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    try:
        made = client.write("POST", path, msgspec.json.encode({"spec": spec}), "application/json")
    except ServerRefusal as refusal:
        if refusal.status != _NOT_FOUND:
            raise
        raise ServerRefusal(
            f"namespace {namespace} has no ServiceAccount {account}, with which the agents of "
            "podfence are asked: they are not installed there",
            refusal.status,
            refusal.said,
        ) from refusal
    return decode_as(_TokenRequest, made, path).status.token


def client_of(agent: AgentAddress, access: Access, token: str) -> tuple[Client, str]:
    """A client that asks an agent, and what its paths begin with."""
    if agent.pod:
        path = f"/api/v1/namespaces/{agent.namespace}/pods/https:{agent.pod}:{agent.port}/proxy"
        return _client(access, os.environ, token), path
    host = f"[{agent.address}]" if ":" in agent.address else agent.address
    # Nobody vouches for the certificate of an agent; the token is worth nothing elsewhere.
    server = ServerAddress(f"https://{host}:{agent.port}", insecure=True)
    direct = Access(server, StaticCredential(Credential()))
    return _client(direct, {}, token), ""


def _client(access: Access, environment: Mapping[str, str], token: str) -> Client:
    return Client(
        access,
        environment,
        tries=1,
        silence=SECONDS,
        headers={HEADER: token},
        largest=LARGEST,
        longest=LONGEST,
    )
