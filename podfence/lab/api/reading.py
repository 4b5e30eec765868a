"""The current state of the cluster: all kinds listed, and the cluster that verdicts need. Process:
the background one of a lab.

Rule: a reading is complete, or it fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from podfence.errors import UNREADABLE, ClusterError, Source
from podfence.intake.build import Reading, build_cluster
from podfence.intake.documents import Document
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.resource import Resource, resources_of
from podfence.lab.api.nodes import PodRun
from podfence.lab.api.state import KINDS, POLICIES, ApiObject, ClusterState
from podfence.model.cluster import Cluster
from podfence.model.objects import Node, Pod

_NOT_FOUND = 404
_LIST = msgspec.json.Decoder(dict[str, Any])


def read_state(client: Client) -> ClusterState:
    """Everything that the lab needs. Raises ClusterError."""
    return ClusterState({kind: tuple(_listed(client, kind)) for kind in KINDS})


def _listed(client: Client, kind: str) -> Iterator[ApiObject]:
    for where in resources_of(kind):
        try:
            body = client.get(where.path())
        except ServerRefusal as refusal:
            if refusal.status != _NOT_FOUND:
                raise
            continue
        yield from _items(body, where)
        return


def _items(body: bytes, where: Resource) -> Iterator[ApiObject]:
    """The items of a list carry no kind of their own."""
    try:
        items = _LIST.decode(body).get("items") or ()
    except UNREADABLE:
        raise ClusterError(f"the API server's answer to {where.path()} is not a list") from None
    return ({**each, "apiVersion": where.api_version, "kind": where.kind} for each in items)


def cluster_of(state: ClusterState, nodes: Iterable[Node], running: Iterable[PodRun]) -> Cluster:
    """The cluster that the lab builds: its own nodes, and the pods that run on them."""
    others = [each for kind in ("Namespace", "Service", *POLICIES) for each in state.of(kind)]
    runs = {run.text: run for run in running}
    objects = [*others, *(run.pod for run in runs.values())]
    documents = tuple(Document(Source("", at), dict(each)) for at, each in enumerate(objects))
    read = build_cluster(Reading(documents), strict_cidrs=False).cluster
    pods = (_as_running(pod, runs[f"{pod.namespace}/{pod.name}"]) for pod in read.pods)
    return replace(read, nodes={node.name: node for node in nodes}, pods=tuple(pods))


def _as_running(pod: Pod, run: PodRun) -> Pod:
    addresses = () if run.host_network else run.addresses
    return replace(
        pod,
        node=run.node.name,
        addresses=addresses,
        host_addresses=run.node.addresses,
        has_status=True,
    )
