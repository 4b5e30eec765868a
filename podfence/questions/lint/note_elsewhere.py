"""Notes about selectors by a label that is elsewhere, or that does not last.

Rule: such a selector matches no pod, so the note is true whatever was meant; it is said where
the label exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from podfence.errors import Severity
from podfence.model.meta import METADATA_NAME_LABEL
from podfence.model.networkpolicy import NetworkPolicyPeer
from podfence.model.selectors import LabelSelector, Operator
from podfence.questions.describe import peer_path
from podfence.questions.lint.note import LintedPolicy, Note
from podfence.questions.lint.note_labels import alike, is_one_letter_less
from podfence.questions.phrases import words

_SHOWN = 3
_ANYWHERE = LabelSelector()
_NEGATIVE = frozenset({Operator.NOT_IN, Operator.DOES_NOT_EXIST})
CHANGING: Final = {
    "pod-template-hash": "changes whenever the pod template changes",
    "controller-revision-hash": "changes whenever the pod template changes",
    "pod-template-generation": "changes whenever the pod template changes",
    "controller-uid": "is different for every run",
    "batch.kubernetes.io/controller-uid": "is different for every run",
    "helm.sh/chart": "holds the version of the chart",
    "chart": "holds the version of the chart",
    "app.kubernetes.io/version": "holds the version of the application",
}
"""Labels that are other ones after the next release, and why."""


def label_of_workload(case: LintedPolicy) -> Iterator[Note]:
    """PF322: the pods do not have the label, the workload that runs them has."""
    selector = case.policy.pod_selector
    if not case.subjects and (text := _on_workload(case, selector, None)):
        what = f"No pod of namespace {case.namespace} is {_asked(selector)}"
        yield Note("PF322", f"{what}, so the policy applies to no pod. {text}", "spec.podSelector")
    for item in case.peers:
        pods, spaces = item.peer.pod_selector, item.peer.namespace_selector
        if pods is None or item.ends:
            continue
        if text := _on_workload(case, pods, spaces):
            what = f"No pod is {_asked(pods)}, so this item matches no pod"
            path = f"{peer_path(item.direction, item.number, item.at)}.podSelector"
            yield Note("PF322", f"{what}. {text}", path)


def _on_workload(case: LintedPolicy, selector: LabelSelector, spaces: LabelSelector | None) -> str:
    """``spaces``: of the namespaces; None: the policy's own."""
    owners = case.written.owners(selector)
    if not owners:
        return ""
    namespaces = [case.namespace] if spaces is None else case.matched.namespaces(spaces)
    found = {f"{each.ref.kind} {each.ref}" for each in owners if each.ref.namespace in namespaces}
    if not found:
        return ""
    has = "has this label itself" if len(found) == 1 else "have this label themselves"
    return (
        f"{words.some(sorted(found), _SHOWN)} {has}, under metadata.labels; policies look at the "
        "labels of pods, which are under spec.template.metadata.labels."
    )


def of_another_namespace(case: LintedPolicy) -> Iterator[Note]:
    """PF325: no pod here, and pods of exactly one other namespace (NP-3)."""
    selector = case.policy.pod_selector
    if case.subjects or not selector.match_labels or _left_alone(case):
        return
    elsewhere = case.matched.peers(case.namespace, NetworkPolicyPeer(selector, _ANYWHERE))
    other = next((end.pod.namespace for end in elsewhere), None)
    if other is None or any(end.pod.namespace != other for end in elsewhere):
        return
    if not case.matched.pods_of(case.namespace) and _is_like(case.namespace, other):
        return  # said of the name of the namespace
    known = case.matched.pods_of(case.namespace)
    written = case.raw is None or isinstance(_own_metadata(case).get("namespace"), str)
    where = (
        f"namespace {case.namespace}"
        if written
        else f"{case.namespace}, since it names no namespace"
    )
    text = (
        f"The policy is in {where}, where no pod is {_asked(selector)}; all such pods are in "
        f"{other}: {case.matched.names(elsewhere, _SHOWN)}. A policy selects pods of its own "
        f"namespace only, so this one does nothing; metadata.namespace: {other} would select them."
    )
    yield Note("PF325", text, "spec.podSelector", None if known else Severity.NOTE)


def misspelt_namespace(case: LintedPolicy) -> Iterator[Note]:
    """PF325: the policy's namespace is nowhere else in the input, and one that is spelt alike has
    the pods."""
    spaces = case.index.cluster.namespaces
    own = spaces.get(case.namespace)
    if case.matched.pods_of(case.namespace) or own is None or own.source is not None:
        return
    selector = case.policy.pod_selector
    for other in sorted(spaces):
        ends = case.matched.pods_of(other) if _is_like(case.namespace, other) else ()
        fitting = [end for end in ends if selector.matches(dict(end.pod.labels))]
        if fitting:
            text = (
                f"The input has no pod in namespace {case.namespace} and no Namespace of this "
                f"name, so the policy does nothing; in namespace {other} it would select "
                f"{case.matched.names(fitting, _SHOWN)}. Is the name misspelt?"
            )
            yield Note("PF325", text, "metadata.namespace")
            return


def _is_like(namespace: str, other: str) -> bool:
    return alike(namespace, other) or is_one_letter_less(namespace, other)


def _own_metadata(case: LintedPolicy) -> dict[str, object]:
    metadata = (case.raw or {}).get("metadata")
    return dict(metadata) if isinstance(metadata, dict) else {}


def _left_alone(case: LintedPolicy) -> bool:
    """Whether pods of the own namespace fit that no policy can select (PF306, PF360)."""
    selector = case.policy.pod_selector
    return any(
        pod.namespace == case.namespace and selector.matches(dict(pod.labels))
        for pod in case.matched.unfindable
    )


def changing_label(case: LintedPolicy) -> Iterator[Note]:
    """PF323: a label that the next release gives another value."""
    if key := _changing(case.policy.pod_selector):
        yield _changes(key, "spec.podSelector")
    for item in case.peers:
        for field, selector in (
            ("podSelector", item.peer.pod_selector),
            ("namespaceSelector", item.peer.namespace_selector),
        ):
            if selector is not None and (key := _changing(selector)):
                yield _changes(key, f"{peer_path(item.direction, item.number, item.at)}.{field}")


@lru_cache(maxsize=1 << 14)
def _changing(selector: LabelSelector) -> str:
    """The first key in ``CHANGING`` that a selector wants a value of; "" for none."""
    asked = [key for key, _ in selector.match_labels]
    asked += [r.key for r in selector.match_expressions if r.operator is Operator.IN]
    return next((key for key in asked if key in CHANGING), "")


def _changes(key: str, path: str) -> Note:
    text = (
        f"The label {key} {CHANGING[key]}: as soon as it changes, the selector matches no pod. "
        "Use a label that stays the same, such as app.kubernetes.io/name."
    )
    return Note("PF323", text, path)


def strangers(case: LintedPolicy) -> Iterator[Note]:
    """PF324: NotIn and DoesNotExist also match objects without the key (NP-4)."""
    for item in case.peers:
        pods, spaces = item.peer.pod_selector, item.peer.namespace_selector
        if spaces is None or not _only_negative(spaces):
            continue
        if pods is None or not _is_positive(pods):
            text = (
                f"This matches {words.namespaces(spaces)}: every namespace without that label, "
                "and every new one. Use a label that the intended ones have."
            )
            path = peer_path(item.direction, item.number, item.at)
            yield Note("PF324", text, f"{path}.namespaceSelector")


def _only_negative(selector: LabelSelector) -> bool:
    """Whether it asks only for what must not be, of labels that an object may lack."""
    return (
        not selector.match_labels
        and bool(selector.match_expressions)
        and all(
            r.operator in _NEGATIVE and r.key != METADATA_NAME_LABEL
            for r in selector.match_expressions
        )
    )


def _is_positive(selector: LabelSelector) -> bool:
    return bool(selector.match_labels) or any(
        r.operator not in _NEGATIVE for r in selector.match_expressions
    )


def _asked(selector: LabelSelector) -> str:
    return words.conditions(selector)
