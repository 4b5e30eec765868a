"""Newcomers: pods that do not exist yet, so that existing pods do not hide what new ones may do.

Rule: a newcomer is an ordinary endpoint for the engine, with an address of its own, and no object
of the input: no kind of the API is called so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from msgspec.structs import replace

from podfence.model.cluster import Cluster, assign_addresses
from podfence.model.meta import METADATA_NAME_LABEL, Labels, ObjectRef
from podfence.model.objects import Namespace, Pod

KIND = "Newcomer"
NAME = "+"
"""The name of a pod to come and of its namespace, if that does not exist yet: no server accepts
such a name."""


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


def with_labelled(cluster: Cluster, wanted: Iterable[tuple[str | None, Labels]]) -> Cluster:
    """The cluster with pods of these labels in these namespaces that it has; None: in each."""
    taken = {(pod.namespace, pod.name) for pod in cluster.pods}
    pods: list[Pod] = []
    for namespace, labels in dict.fromkeys(wanted):
        for each in cluster.namespaces if namespace is None else (namespace,):
            if each not in cluster.namespaces:
                continue
            name = f"{NAME}{len(pods)}"
            while (each, name) in taken:
                name += NAME
            shown = ",".join(f"{key}={value}" for key, value in labels)
            owner = ObjectRef(KIND, each, f"{NAME}{{{shown}}}")
            pods.append(Pod(each, name, labels, owner=owner))
    return replace(cluster, pods=assign_addresses((*cluster.pods, *pods))) if pods else cluster


def _pods(taken: Set[tuple[str, str]], namespaces: Set[str]) -> Iterator[Pod]:
    for namespace in sorted({*namespaces, NAME}):
        name = NAME
        while (namespace, name) in taken:
            name += NAME
        yield Pod(namespace, name, owner=ObjectRef(KIND, namespace, NAME))
