"""The cluster's DNS where manifests lack it.

Rule: pods of ``kube-system`` that received packets on port 53, in a cluster whose manifests have
nothing of that namespace, are assumed to have the label that every distribution gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec.structs import replace

from podfence.flows.seen import RecordedFlow
from podfence.model.cluster import Cluster, assign_addresses, undeclared
from podfence.model.meta import ObjectRef
from podfence.model.objects import Pod
from podfence.questions.suggest.resolver import pod_called, stems

_SPACE: Final = "kube-system"
LABELS: Final = (("k8s-app", "kube-dns"),)
"""Those of the DNS of every distribution."""
_PORT: Final = 53


def with_dns(
    cluster: Cluster, flows: Iterable[RecordedFlow]
) -> tuple[Cluster, tuple[ObjectRef, ...]]:
    """The cluster with pods for its DNS, and their workloads: none where it holds what it needs."""
    if any(pod.namespace == _SPACE for pod in cluster.pods):
        return cluster, ()
    owners = tuple(ObjectRef("Deployment", _SPACE, name) for name in sorted(set(_asked(flows))))
    if not owners:
        return cluster, ()
    pods = [Pod(_SPACE, owner.name, LABELS, owner=owner) for owner in owners]
    namespaces = {_SPACE: undeclared(_SPACE), **cluster.namespaces}
    every = assign_addresses((*cluster.pods, *pods))
    return replace(cluster, namespaces=namespaces, pods=every), owners


def _asked(flows: Iterable[RecordedFlow]) -> Iterator[str]:
    for flow in flows:
        end = flow.destination
        if end.word:
            end = pod_called(end.word) or end
        if end.namespace == _SPACE and flow.port == _PORT and (end.pod or end.workload):
            yield end.workload or next(stems(end.pod), end.pod)
