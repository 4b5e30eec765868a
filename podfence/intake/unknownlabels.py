"""Selectors with labels whose values only running pods have -> warnings and doubts.

Rule: a pod of a workload certainly has such a label, with an unknown value. Whether it is selected
is open only if the value decides; everything else about the policy is certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from podfence.errors import Problem, Severity
from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, NamespacedPod
from podfence.model.doubt import Doubt
from podfence.model.networkpolicy import NetworkPolicy, PolicyType
from podfence.model.objects import Pod
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.model.workloads import UNKNOWN_KEYS, UNKNOWN_VALUE

UNKNOWN_LABEL_CODES = {"PF121": "a selector that asks for a label that only running pods have"}

_EVERYTHING = LabelSelector()
_BY_VALUE = frozenset({Operator.IN, Operator.NOT_IN})
_PEERS = {PolicyType.INGRESS: "ingress[{}].from", PolicyType.EGRESS: "egress[{}].to"}
_Policy: TypeAlias = NetworkPolicy | ClusterNetworkPolicy


class _Selection(Struct, frozen=True):
    """Pods that a policy selects as its subjects or as peers."""

    path: str
    pods: LabelSelector
    namespaces: LabelSelector = _EVERYTHING
    namespace: str = ""
    """Its only namespace, "" for all that ``namespaces`` selects."""


def unknown_labels(cluster: Cluster) -> Iterator[tuple[Problem, Doubt]]:
    """A warning and a doubt for each policy that may select pods by an unknown value."""
    for policy in chain[_Policy](cluster.policies, cluster.admin_policies):
        found = [
            (each, pods)
            for each in _selections(policy)
            if (pods := _perhaps_selected(each, cluster))
        ]
        if found:
            selection, pods = found[0]
            names = frozenset(f"{pod.namespace}/{pod.name}" for _, pods in found for pod in pods)
            yield _problem(policy, selection, pods), _doubt(policy, selection, names)


def _selections(policy: _Policy) -> Iterator[_Selection]:
    """The selections that compare the value of a label that only running pods have."""
    if isinstance(policy, ClusterNetworkPolicy):
        return _of_tier_policy(policy)
    return _of_network_policy(policy)


def _of_network_policy(policy: NetworkPolicy) -> Iterator[_Selection]:
    home = policy.ref.namespace
    if _asked_by_value(policy.pod_selector):
        yield _Selection("spec.podSelector", policy.pod_selector, namespace=home)
    for direction, peers_field in _PEERS.items():
        for number, rule in enumerate(policy.rules_of(direction)):
            for position, peer in enumerate(rule.peers):
                if peer.pod_selector is None or not _asked_by_value(peer.pod_selector):
                    continue
                path = f"spec.{peers_field.format(number)}[{position}].podSelector"
                if peer.namespace_selector is None:
                    yield _Selection(path, peer.pod_selector, namespace=home)
                else:
                    yield _Selection(path, peer.pod_selector, peer.namespace_selector)


def _of_tier_policy(policy: ClusterNetworkPolicy) -> Iterator[_Selection]:
    yield from _of_pods("spec.subject.pods", policy.subject.pods)
    for direction, peers_field in _PEERS.items():
        for number, rule in enumerate(policy.rules_of(direction)):
            for position, peer in enumerate(rule.peers):
                yield from _of_pods(
                    f"spec.{peers_field.format(number)}[{position}].pods", peer.pods
                )


def _of_pods(path: str, pods: NamespacedPod | None) -> Iterator[_Selection]:
    if pods is not None and _asked_by_value(pods.pod_selector):
        namespaces = pods.namespace_selector or _EVERYTHING
        yield _Selection(f"{path}.podSelector", pods.pod_selector, namespaces)


@lru_cache(maxsize=1 << 14)
def _asked_by_value(selector: LabelSelector) -> tuple[str, ...]:
    """The keys of labels that only running pods have, and whose value the selector compares."""
    asked = [key for key, _ in selector.match_labels if key in UNKNOWN_KEYS]
    for requirement in selector.match_expressions:
        if requirement.key in UNKNOWN_KEYS and requirement.operator in _BY_VALUE:
            asked.append(requirement.key)
    return tuple(asked)


def _perhaps_selected(selection: _Selection, cluster: Cluster) -> list[Pod]:
    """The pods that the selection matches for some values of their unknown labels, and not for
    others."""
    keys = _asked_by_value(selection.pods)
    widened = _widened(selection.pods)
    found = []
    for pod in cluster.pods:
        labels = dict(pod.labels)
        if (
            any(labels.get(key) == UNKNOWN_VALUE for key in keys)
            and selection.namespace in ("", pod.namespace)
            and selection.namespaces.matches(dict(cluster.namespaces[pod.namespace].labels))
            and widened.matches(labels)
        ):
            found.append(pod)
    return found


def _widened(selector: LabelSelector) -> LabelSelector:
    """The selector, changed so that any unknown value matches. NotIn needs no change."""
    known = [label for label in selector.match_labels if label[0] not in UNKNOWN_KEYS]
    asked = [label for label in selector.match_labels if label[0] in UNKNOWN_KEYS]
    requirements = [
        *(LabelSelectorRequirement(key, Operator.IN, (value,)) for key, value in asked),
        *selector.match_expressions,
    ]
    return LabelSelector(tuple(known), tuple(map(_or_unknown, requirements)))


def _or_unknown(requirement: LabelSelectorRequirement) -> LabelSelectorRequirement:
    if requirement.key not in UNKNOWN_KEYS or requirement.operator is not Operator.IN:
        return requirement
    return replace(requirement, values=(*requirement.values, UNKNOWN_VALUE))


def _problem(policy: _Policy, selection: _Selection, pods: list[Pod]) -> Problem:
    labels = " and ".join(dict.fromkeys(_asked_by_value(selection.pods)))
    owners = list(dict.fromkeys(str(pod.owner and f"{pod.owner.kind} {pod.owner}") for pod in pods))
    others = f" and {len(owners) - 1} more" if len(owners) > 1 else ""
    text = (
        f"selects by the value of {labels}, which only running pods have, so it is unknown "
        f"whether it selects the pods of {owners[0]}{others}; use a label of the pod template"
    )
    return Problem(
        "PF121",
        Severity.WARNING,
        text,
        policy.source,
        selection.path,
        f"{policy.ref.kind} {policy.ref}",
    )


def _doubt(policy: _Policy, selection: _Selection, pods: frozenset[str]) -> Doubt:
    doubt = Doubt(
        policy.ref.kind,
        policy.ref.namespace,
        policy.ref.name,
        policy.source,
        selection.path,
        pods=pods,
    )
    if isinstance(policy, ClusterNetworkPolicy):
        return doubt
    return replace(doubt, selector=_widened(policy.pod_selector), types=policy.policy_types)
