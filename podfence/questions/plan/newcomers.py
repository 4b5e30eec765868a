"""Newcomers: pods that do not exist yet, so that the pods of today do not hide what tomorrow's may
do.

Rule: a newcomer is an ordinary endpoint for the engine, with an address of its own, and no object
of the input: no kind of the API is called so.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from msgspec.structs import replace

from podfence.model.cluster import Cluster, assign_addresses
from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.objects import Namespace, Pod

KIND = "Newcomer"
NAME = "+"
"""Of a newcomer, and of the namespace that nobody has made yet: no server takes such a name."""


def is_newcomer(ref: ObjectRef) -> bool:
    """Whether a workload is an imaginary pod."""
    return ref.kind == KIND


def with_newcomers(cluster: Cluster, namespaces: Set[str]) -> Cluster:
    """The cluster with a pod without labels in each of these namespaces that it has, and one in a
    new namespace without labels."""
    newest = Namespace(NAME, ((METADATA_NAME_LABEL, NAME),))
    known = {NAME: newest, **cluster.namespaces}
    pods = _pods({(pod.namespace, pod.name) for pod in cluster.pods}, known.keys() & namespaces)
    return replace(cluster, namespaces=known, pods=assign_addresses((*cluster.pods, *pods)))


def _pods(taken: Set[tuple[str, str]], namespaces: Set[str]) -> Iterator[Pod]:
    for namespace in sorted({*namespaces, NAME}):
        name = NAME
        while (namespace, name) in taken:
            name += NAME
        yield Pod(namespace, name, owner=ObjectRef(KIND, namespace, NAME))
