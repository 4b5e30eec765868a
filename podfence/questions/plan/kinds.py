"""Workloads that stay and are of another kind: a Deployment that becomes a StatefulSet.

Rule: a workload is matched by kind, namespace and name. Where one leaves and one of the same
namespace and name arrives, and there are no others of that name, it is the same one: what opens and
closes for it would be said of nobody else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from podfence.model.cluster import Cluster
from podfence.model.meta import ObjectRef
from podfence.model.objects import Pod
from podfence.questions.plan.order import ApplyStep, ApplyVerb, Order

Became = tuple[ObjectRef, ObjectRef]
"""A workload as the old side has it, and as the new one has."""


def kinds_followed(old: Cluster, new: Cluster) -> tuple[Cluster, tuple[Became, ...]]:
    """The old side with the pods of such workloads under their new name, and these workloads."""
    before, after = _workloads(old.pods), _workloads(new.pods)
    gone, come = _by_name(before - after), _by_name(after - before)
    became = {
        refs[0]: come[name][0]
        for name, refs in sorted(gone.items())
        if len(refs) == 1 and len(come.get(name, ())) == 1
    }
    if not became:
        return old, ()
    pods = [
        replace(pod, owner=became[ref]) if (ref := pod.owner or pod.ref) in became else pod
        for pod in old.pods
    ]
    return replace(old, pods=tuple(pods)), tuple(became.items())


def with_both_kinds(order: Order, became: Iterable[Became]) -> Order:
    """The steps as the API takes them. No object changes its kind: the new one is created, then the
    old one deleted, so that pods of either run. Both steps are one rollout, and harm as it does."""
    old = {ref: was for was, ref in became}

    def steps() -> Iterator[ApplyStep]:
        for step in order.steps:
            if (was := old.get(step.ref)) is None:
                yield step
            else:
                yield replace(step, verb=ApplyVerb.CREATE)
                yield replace(step, verb=ApplyVerb.DELETE, ref=was)

    return replace(order, steps=tuple(steps()))


def _workloads(pods: Iterable[Pod]) -> set[ObjectRef]:
    return {pod.owner or pod.ref for pod in pods}


def _by_name(refs: Iterable[ObjectRef]) -> dict[tuple[str, str], list[ObjectRef]]:
    found: dict[tuple[str, str], list[ObjectRef]] = defaultdict(list)
    for ref in refs:
        found[ref.namespace, ref.name].append(ref)
    return found
