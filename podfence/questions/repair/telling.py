"""Words for one end in a policy: labels that single out its pods, or its addresses.

Rule: labels that change with the next release are never used. Where no labels tell the pods apart
from others, all that they have in common are used, and what else that holds is seen in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from podfence.model.cluster import Cluster
from podfence.model.meta import METADATA_NAME_LABEL
from podfence.model.objects import Pod
from podfence.questions.lint.note_elsewhere import CHANGING
from podfence.questions.parties import PartyEnd

_FIRST = ("app.kubernetes.io/name", "app", "k8s-app", "app.kubernetes.io/instance", "name")
"""Keys by which people name a workload, the usual ones first."""
_OF_ONE_POD = {"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"}
_MOST = 16
"""Labels of which pairs are tried."""


def telling_labels(cluster: Cluster, pods: Sequence[Pod]) -> Mapping[str, str]:
    """The fewest labels that these pods have and no other pod of their namespace has."""
    namespace = pods[0].namespace
    common = dict(pods[0].labels)
    for pod in pods[1:]:
        labels = dict(pod.labels)
        common = {key: value for key, value in common.items() if labels.get(key) == value}
    usable = [key for key in common if key not in CHANGING and key not in _OF_ONE_POD]
    usable.sort(key=lambda key: (_FIRST.index(key) if key in _FIRST else len(_FIRST), key))
    own = {pod.name for pod in pods}
    others = [
        dict(pod.labels)
        for pod in cluster.pods
        if pod.namespace == namespace and pod.name not in own
    ]
    for keys in _choices(usable[:_MOST]):
        wanted = {key: common[key] for key in keys}
        if not any(wanted.items() <= labels.items() for labels in others):
            return wanted
    return {key: common[key] for key in usable}


def _choices(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for number in (1, 2):
        yield from combinations(keys, number)


def peer_of(cluster: Cluster, end: PartyEnd, pods: Sequence[Pod], namespace: str) -> list[object]:
    """The items of ``from`` or ``to`` that mean an end, in a policy of ``namespace``. ``pods``: of
    the same workload; () for addresses."""
    if not pods:
        return [
            {"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}} for address in end.addresses
        ]
    labels = dict(telling_labels(cluster, pods))
    selector = {"podSelector": {"matchLabels": labels} if labels else {}}
    if pods[0].namespace == namespace:
        return [selector]
    space = {"matchLabels": {METADATA_NAME_LABEL: pods[0].namespace}}
    return [{"namespaceSelector": space, **selector}]
