"""Pods that policies of other APIs may touch: podfence judges them only by Kubernetes policies.

Rule: the set of touched pods is never too small, and it changes no verdict.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

from msgspec import Struct

from podfence.model.objects import ForeignPolicy, Pod
from podfence.model.selectors import LabelSelector
from podfence.policy.index import PolicyIndex
from podfence.questions.phrases.words import some

_SHOWN = 3


class TouchedPods(Struct, frozen=True, dict=True):
    """The pods of an index (``namespace/name``), each with the policies that may touch it."""

    policies: Mapping[str, tuple[ForeignPolicy, ...]]

    @staticmethod
    def of(index: PolicyIndex, foreign: Sequence[ForeignPolicy]) -> TouchedPods:
        """Those of an index."""
        if not foreign:
            return TouchedPods({})
        pods = {name: end.pod for name, end in index.endpoints.items()}
        return TouchedPods(_touched(pods, foreign))

    def __bool__(self) -> bool:
        """Whether any pod is touched."""
        return bool(self.policies)

    def any(self, pods: Iterable[str]) -> bool:
        """Whether one of these is touched."""
        return bool(self.policies) and any(pod in self.policies for pod in pods)

    def by(self, pods: Iterable[str]) -> tuple[ForeignPolicy, ...]:
        """The policies that may touch one of these."""
        found = (policy for pod in pods for policy in self.policies.get(pod, ()))
        return tuple(dict.fromkeys(found))

    @cached_property
    def namespaces(self) -> frozenset[str]:
        """Those of pods that are touched."""
        return frozenset(pod.partition("/")[0] for pod in self.policies)

    def words(self, pods: Iterable[str]) -> str:
        """``CiliumNetworkPolicy shop/db``; "" where none of these is touched."""
        return some([str(policy) for policy in self.by(pods)], _SHOWN)


UNTOUCHED: Final = TouchedPods({})


def _touched(
    pods: Mapping[str, Pod], foreign: Sequence[ForeignPolicy]
) -> dict[str, tuple[ForeignPolicy, ...]]:
    """Selectors are applied only to pods with their first label, so that many policies over many
    pods do not cost their product."""
    by_label: dict[tuple[str, tuple[str, str]], list[str]] = defaultdict(list)
    by_namespace: dict[str, list[str]] = defaultdict(list)
    for name, pod in pods.items():
        by_namespace[pod.namespace].append(name)
        for label in pod.labels:
            by_label[pod.namespace, label].append(name)
    found: dict[str, dict[ForeignPolicy, None]] = defaultdict(dict)
    for policy in foreign:
        spaces = by_namespace if policy.namespace is None else (policy.namespace,)
        for space in spaces:
            for selector in policy.selectors:
                for name in _candidates(by_label, by_namespace, space, selector):
                    if selector.matches(dict(pods[name].labels)):
                        found[name][policy] = None
    return {name: tuple(policies) for name, policies in found.items()}


def _candidates(
    by_label: Mapping[tuple[str, tuple[str, str]], list[str]],
    by_namespace: Mapping[str, list[str]],
    namespace: str,
    selector: LabelSelector,
) -> Sequence[str]:
    if selector.match_labels:
        return by_label.get((namespace, selector.match_labels[0]), ())
    return by_namespace.get(namespace, ())


def said_of(touched: TouchedPods) -> str:
    """The remark of a map about them in one sentence; "" where there are none."""
    if not touched:
        return ""
    every = {policy for policies in touched.policies.values() for policy in policies}
    kinds = Counter[str]()
    for policy in every:
        kinds[policy.short_kind] += max(policy.number, 1)
    said = some([f"{number} {kind}" for kind, number in sorted(kinds.items())], len(kinds))
    pods = some(sorted(touched.policies), _SHOWN)
    are = "selects" if sum(kinds.values()) == 1 else "select"
    return f"{said} also {are} {pods}; what that decides is not judged"
