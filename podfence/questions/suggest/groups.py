"""Workloads that stable labels tell from all others of their namespace, alone or several at once.

Rule: a policy isolates everybody whom its selector fits. Where the labels of one workload fit the
pods of another as well, the two are one group, and what the other was seen to do counts, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from podfence.model.cluster import Cluster
from podfence.model.meta import Labels, ObjectRef, labels_of
from podfence.model.objects import Pod
from podfence.questions.repair.telling import telling_labels


class SharedLabels(Struct, frozen=True):
    """``labels``: what all pods of ``members`` have, and no other pod of the namespace; () where no
    label tells anybody apart, so that it fits the whole namespace."""

    namespace: str
    labels: Labels
    members: frozenset[ObjectRef]


class PodGroups:
    """Finds groups in one cluster; remembers them. ``members``: the pods of each workload. ``key``:
    workloads of a namespace that have the same value of this label are one group."""

    def __init__(
        self, cluster: Cluster, members: Mapping[ObjectRef, tuple[Pod, ...]], key: str = ""
    ) -> None:
        self._cluster = cluster
        self._key = key
        self._members = members
        self._pods: dict[str, list[Pod]] = defaultdict(list)
        self._visible: dict[str, list[ObjectRef]] = defaultdict(list)
        for pod in cluster.pods:
            self._pods[pod.namespace].append(pod)
        for ref in members:
            self._visible[ref.namespace].append(ref)
        self._known: dict[ObjectRef, SharedLabels] = {}

    def of(self, workload: ObjectRef) -> SharedLabels:
        """The smallest group that a workload is in."""
        found = self._known.get(workload)
        if found is None:
            found = self._known[workload] = self._find(workload)
        return found

    def _find(self, workload: ObjectRef) -> SharedLabels:
        namespace = workload.namespace
        if self._key and (together := self._together(workload)) is not None:
            return together
        here = replace(self._cluster, pods=tuple(self._pods[namespace]))
        members = {workload}
        while True:
            pods = [pod for ref in sorted(members) for pod in self._members[ref]]
            labels = labels_of(telling_labels(here, pods))
            fitting = {ref for ref in self._visible[namespace] if self._fits(labels, ref)}
            if fitting <= members:
                return SharedLabels(namespace, labels, frozenset(members))
            members |= fitting

    def _together(self, workload: ObjectRef) -> SharedLabels | None:
        """The workloads that share its value of the key; None where it has none, or where only some
        pods of a workload have it."""
        value = dict(self._members[workload][0].labels).get(self._key)
        if value is None:
            return None
        labels = ((self._key, value),)
        members = {ref for ref in self._visible[workload.namespace] if self._fits(labels, ref)}
        if all(labels[0] in pod.labels for ref in members for pod in self._members[ref]):
            return SharedLabels(workload.namespace, labels, frozenset(members))
        return None

    def _fits(self, labels: Labels, workload: ObjectRef) -> bool:
        wanted = set(labels)
        return any(wanted <= set(pod.labels) for pod in self._members[workload])
