"""Workloads -> the pods that they would run.

Rule: no pod is counted twice. A workload that owns a pod of the input, or that another workload of
the input owns, adds none. Names, order and number depend on the input alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from podfence.errors import Problem, Severity, Source
from podfence.model.meta import Labels, ObjectRef
from podfence.model.objects import ContainerPort, Node, Pod

WORKLOAD_KINDS = frozenset(
    {
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "ReplicationController",
        "Job",
        "CronJob",
    }
)
POD_TEMPLATE_HASH: Final = "pod-template-hash"
MAX_PODS = 1000
"""Pods that one workload is expanded to at most; more would not change any answer."""

UNKNOWN_VALUE: Final = "?"
"""The value of a label that a controller gives when the pods run; no label can have it."""

_HASH_OF_REVISION = "controller-revision-hash"
_UIDS_OF_JOB = ("batch.kubernetes.io/controller-uid", "controller-uid")
_NAMES_OF_JOB = ("batch.kubernetes.io/job-name", "job-name")
_UNKNOWN_LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "Deployment": (POD_TEMPLATE_HASH,),
    "StatefulSet": (_HASH_OF_REVISION,),
    "DaemonSet": (_HASH_OF_REVISION, "pod-template-generation"),
    "Job": _UIDS_OF_JOB,
    "CronJob": (*_UIDS_OF_JOB, *_NAMES_OF_JOB),
}
UNKNOWN_KEYS: Final = frozenset(key for keys in _UNKNOWN_LABELS.values() for key in keys)
"""Keys of labels whose values some controller gives when the pods run."""

_COUNT_FIELD = {"Job": "spec.parallelism", "DaemonSet": "spec"}
_RUN_OF_CRONJOB = r"(?s)(.+)-[0-9]{8,10}"


class Workload(Struct, frozen=True):
    """Something that runs pods of one template.

    ``replicas``: pods to run, 0 when it is suspended or done; not used for a DaemonSet, which runs
    one a node. ``labels``, ``ports`` and ``host_network`` are the template's, and so is ``node``,
    mostly "". ``owner`` is its controller, for a ReplicaSet mostly the Deployment. ``first``:
    ordinal of a StatefulSet's first pod. ``indexed``: a Job whose pods have an index each, from 0.
    ``manual_selector``: a Job that adds no labels of its own.
    """

    ref: ObjectRef
    replicas: int = 1
    labels: Labels = ()
    ports: tuple[ContainerPort, ...] = ()
    host_network: bool = False
    owner: ObjectRef | None = None
    source: Source | None = None
    first: int = 0
    indexed: bool = False
    manual_selector: bool = False
    node: str = ""


def controller_of_replicaset_pod(controller: ObjectRef, hash_label: str) -> ObjectRef:
    """The Deployment behind a ReplicaSet that carries ``pod-template-hash`` in its name.

    Only Deployments give that label; so the ReplicaSet object itself need not be known.
    """
    suffix = f"-{hash_label}"
    stem = controller.name.removesuffix(suffix)
    if controller.kind != "ReplicaSet" or not hash_label or stem in ("", controller.name):
        return controller
    return ObjectRef("Deployment", controller.namespace, stem)


def expand(
    workloads: Iterable[Workload], pods: Iterable[Pod], nodes: Iterable[Node]
) -> tuple[tuple[Pod, ...], tuple[Problem, ...]]:
    """All pods: those of the input with their topmost known owner, then those of the workloads.

    Expanded pods have no status and no address; a StatefulSet ``web`` gives ``web-0``, ``web-1``,
    every other kind ``web-1``, ``web-2``; a name that is taken is left out. Each workload gives at
    most MAX_PODS pods, with a PF208 warning when it wants more.
    """
    known = {workload.ref: workload for workload in workloads}
    given = tuple([_with_top_owner(pod, known) for pod in pods])
    busy = {pod.owner for pod in given}
    free = sorted(ref for ref in known if not _is_counted(ref, _top(ref, known), known, busy))
    names = {(pod.namespace, pod.name) for pod in given}
    node_names = sorted({node.name for node in nodes})
    added: list[Pod] = []
    problems: list[Problem] = []
    for workload in map(known.__getitem__, free):
        of_pods = _pod_nodes(workload, node_names)
        if len(of_pods) > MAX_PODS:
            problems.append(_capped(workload, len(of_pods)))
        added += _pods(
            replace(workload, owner=_top(workload.ref, known)), of_pods[:MAX_PODS], names
        )
    return given + tuple(added), tuple(problems)


def _top(ref: ObjectRef, known: Mapping[ObjectRef, Workload]) -> ObjectRef:
    """Climbs from a controller to the topmost workload; a cycle of owners ends the climb."""
    seen = {ref}
    while (above := _owner_above(ref, known)) is not None and above not in seen:
        seen.add(above)
        ref = above
    return ref


def _owner_above(ref: ObjectRef, known: Mapping[ObjectRef, Workload]) -> ObjectRef | None:
    if workload := known.get(ref):
        owner = workload.owner
        return owner if owner is not None and owner.kind in WORKLOAD_KINDS else None
    run = re.fullmatch(_RUN_OF_CRONJOB, ref.name) if ref.kind == "Job" else None
    cronjob = ObjectRef("CronJob", ref.namespace, run[1]) if run else None
    return cronjob if cronjob in known else None


def _with_top_owner(pod: Pod, known: Mapping[ObjectRef, Workload]) -> Pod:
    if pod.owner is None:
        return pod
    top = _top(pod.owner, known)
    return pod if top == pod.owner else replace(pod, owner=top)


def _is_counted(
    ref: ObjectRef,
    top: ObjectRef,
    known: Mapping[ObjectRef, Workload],
    busy: Set[ObjectRef | None],
) -> bool:
    """Whether pods of the input, or another workload of it, already stand for this one."""
    return top in busy or (top != ref and top in known)


def _pod_nodes(workload: Workload, node_names: list[str]) -> list[str]:
    """One node name for each pod to run, "" where it is open."""
    if workload.ref.kind == "DaemonSet":
        return [workload.node] if workload.node else node_names or [""]
    # One more than the limit is enough to see that it is passed; replicas may be huge.
    return [workload.node] * min(workload.replicas, MAX_PODS + 1)


def _pods(workload: Workload, nodes: list[str], names: set[tuple[str, str]]) -> Iterator[Pod]:
    namespace = workload.ref.namespace
    common = template_labels(workload)
    number = workload.first if workload.ref.kind == "StatefulSet" else 1
    for index, node in enumerate(nodes):
        while (namespace, name := f"{workload.ref.name}-{number}") in names:
            number += 1
        names.add((namespace, name))
        yield Pod(
            namespace,
            name,
            labels=_labels(workload, common, name, number, index),
            ports=workload.ports,
            node=node,
            host_network=workload.host_network,
            owner=workload.owner,
            source=workload.source,
        )


def template_labels(workload: Workload) -> Labels:
    """The labels that all pods of a workload have: those of the template, and those that the
    controller adds, with UNKNOWN_VALUE where only a running pod tells."""
    kind = workload.ref.kind
    if kind == "Job" and workload.manual_selector:
        return workload.labels
    added = dict.fromkeys(_UNKNOWN_LABELS.get(kind, ()), UNKNOWN_VALUE)
    if kind == "Job":
        added.update(dict.fromkeys(_NAMES_OF_JOB, workload.ref.name))
    return tuple(sorted({**dict(workload.labels), **added}.items())) if added else workload.labels


def _labels(workload: Workload, common: Labels, name: str, ordinal: int, index: int) -> Labels:
    """``common`` and the labels that each pod has for itself."""
    added: dict[str, str] = {}
    if workload.ref.kind == "StatefulSet":
        added = {
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(ordinal),
        }
    if workload.indexed:
        added["batch.kubernetes.io/job-completion-index"] = str(index)
    return tuple(sorted({**dict(common), **added}.items())) if added else common


def _capped(workload: Workload, wanted: int) -> Problem:
    wanted = max(wanted, workload.replicas)
    return Problem(
        "PF208",
        Severity.WARNING,
        f"{wanted} pods wanted, only the first {MAX_PODS} are considered",
        source=workload.source,
        path=_COUNT_FIELD.get(workload.ref.kind, "spec.replicas"),
        object=f"{workload.ref.kind} {workload.ref}",
    )
