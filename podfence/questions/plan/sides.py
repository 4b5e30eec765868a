"""Two clusters made comparable: values that podfence made up must not look like a change.

Rule: an assumed address (no manifest has one) is the same for a pod on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from podfence.model.cluster import Cluster, assign_addresses
from podfence.model.objects import Pod
from podfence.sets.addresses import IPAddress


def aligned(old: Cluster, new: Cluster) -> Cluster:
    """``new`` with the assumed addresses of ``old`` for the pods of both.

    Assumed addresses are counted up in the order of the input, so one more pod would shift those of
    all others, and with them the pods that an ipBlock matches.
    """
    known = {(pod.namespace, pod.name): pod.addresses for pod in old.pods if is_assumed(pod)}
    if not any(is_assumed(pod) for pod in new.pods):
        return new
    taken = _given(new.pods)
    families = {a.version for pod in new.pods for a in pod.addresses}
    pods: list[Pod] = []
    for pod in new.pods:
        if is_assumed(pod):
            before = known.get((pod.namespace, pod.name), ())
            same = tuple(a for a in before if a.version in families)
            usable = len(same) == len(families) and taken.isdisjoint(same)
            pod = replace(pod, addresses=same if usable else ())
        pods.append(pod)
    return replace(new, pods=assign_addresses(pods))


def is_assumed(pod: Pod) -> bool:
    """Whether podfence gave a pod its addresses: it was read without a status."""
    return bool(pod.addresses) and not pod.has_status


def _given(pods: Iterable[Pod]) -> set[IPAddress]:
    """Addresses that the input itself gives to pods and their nodes."""
    return {
        address
        for pod in pods
        for address in (*(() if is_assumed(pod) else pod.addresses), *pod.host_addresses)
    }
