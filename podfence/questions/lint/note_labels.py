"""Notes about labels that no object has, where a similar label exists.

Rule: a near miss is reported only where the selector matches nothing, so the note is true whatever
was meant. Words that differ only in digits are different words: web-1 and web-2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

from msgspec import Struct

from podfence.model.meta import METADATA_NAME_LABEL, Labels
from podfence.model.networkpolicy import NetworkPolicyPeer
from podfence.model.selectors import LabelSelector
from podfence.policy.index import Endpoint
from podfence.questions.describe import peer_path
from podfence.questions.lint.note import LintedPolicy, Note
from podfence.questions.phrases import words
from podfence.questions.phrases.ends import Ends
from podfence.questions.whyempty import BROUGHT_BY_CLUSTER

_SHOWN = 3
_ONE_EDIT = 4
"""Letters from which on one edit makes a near word; below, only two that changed places."""
_TWO_EDITS = 8
_SAID_ALIKE = re.compile(r"[-_.]|s\b")
_WORD = re.compile(r"[A-Za-z0-9]+")
"""The words of a name."""
_DIGITS = re.compile(r"\d+")

Label = tuple[str, str]
T = TypeVar("T")


def misspelt_subject(case: LintedPolicy) -> Iterator[Note]:
    """PF320: the policy selects no pod; with one label spelt otherwise it would."""
    if case.subjects:
        return
    pods = case.matched.pods_of(case.namespace)
    if near := _near_pods(case, case.policy.pod_selector, pods, case.policy.ref.name):
        text = (
            f"No pod of namespace {case.namespace} is {_asked(case.policy.pod_selector)}, so the "
            f"policy applies to no pod; {near}."
        )
        yield Note("PF320", text, "spec.podSelector")


def misspelt_peers(case: LintedPolicy) -> Iterator[Note]:
    """PF320 for the items of ``from`` and ``to``, and PF321: the label of a namespace that should
    be its name (NP-21)."""
    for item in case.peers:
        if item.peer.ip_block is None and not item.ends:
            path = peer_path(item.direction, item.number, item.at)
            yield from _misspelt_peer(case, item.peer, path)


def _misspelt_peer(case: LintedPolicy, peer: NetworkPolicyPeer, path: str) -> Iterator[Note]:
    namespaces, pods = [case.namespace], peer.pod_selector
    if (spaces := peer.namespace_selector) is not None:
        namespaces = case.matched.namespaces(spaces)
        if not namespaces:
            yield from _misspelt_namespace(case, spaces, f"{path}.namespaceSelector")
            return
    if pods is None:
        return
    among = case.matched.peers(case.namespace, NetworkPolicyPeer(LabelSelector(), spaces))
    if near := _near_pods(case, pods, among):
        where = f" of namespace {namespaces[0]}" if len(namespaces) == 1 else ""
        text = f"No pod{where} is {_asked(pods)}, so this item matches no pod; {near}."
        yield Note("PF320", text, f"{path}.podSelector")


def _misspelt_namespace(case: LintedPolicy, spaces: LabelSelector, path: str) -> Iterator[Note]:
    known = case.index.cluster.namespaces
    for key, value in spaces.match_labels:
        if key != METADATA_NAME_LABEL and value in known:
            text = (
                f"No namespace is labelled {key}={value}, so this item matches no pod. A namespace "
                f"named {value} exists, and {METADATA_NAME_LABEL} is the label that holds the name."
            )
            yield Note("PF321", text, path)
            return
    having, every = _namespaces(case)
    for wrong, right, names in _near(spaces, having, every.__getitem__):
        text = (
            f"No namespace is {_asked(spaces)}, so this item matches no pod; {_label(right)} "
            f"instead of {_label(wrong)} would match {words.some(names, _SHOWN)}."
        )
        yield Note("PF320", text, path)
        return


def near_labels(case: LintedPolicy, path: str) -> list[tuple[Label, Label]]:
    """The misspelt labels of a selector that matches nothing, each with a similar one that exists
    (PF320). ``path``: of the selector. None where only the name of the policy shows one of them to
    be misspelt."""
    if path == "spec.podSelector":
        pods = case.matched.pods_of(case.namespace)
        subject = case.policy.pod_selector, pods, case.policy.ref.name
        found, told = (_near_of(case, *subject, by_name=by_name) for by_name in (False, True))
        return [(wrong, right) for wrong, right, _ in found] if len(found) == len(told) else []
    for direction, number, rule in case.rules:
        for at, peer in enumerate(rule.peers):
            base = peer_path(direction, number, at)
            if path == f"{base}.podSelector" and peer.pod_selector is not None:
                every = NetworkPolicyPeer(LabelSelector(), peer.namespace_selector)
                among = case.matched.peers(case.namespace, every)
                near = _near_of(case, peer.pod_selector, among)
                return [(wrong, right) for wrong, right, _ in near]
            if path == f"{base}.namespaceSelector" and peer.namespace_selector is not None:
                having, labels = _namespaces(case)
                spaces = _near(peer.namespace_selector, having, labels.__getitem__)
                return [(wrong, right) for wrong, right, _ in spaces]
    return []


def _namespaces(case: LintedPolicy) -> tuple[Mapping[Label, list[str]], Mapping[str, Labels]]:
    """Namespaces by label, and the labels of each; those that every cluster has, too."""
    having: dict[Label, list[str]] = {}
    every = {name: each.labels for name, each in case.index.cluster.namespaces.items()}
    for name in BROUGHT_BY_CLUSTER - every.keys():
        every[name] = ((METADATA_NAME_LABEL, name),)
    for name, labels in sorted(every.items()):
        for label in labels:
            having.setdefault(label, []).append(name)
    return having, every


def _near_of(
    case: LintedPolicy,
    selector: LabelSelector,
    pods: Ends,
    policy: str = "",
    *,
    by_name: bool = False,
) -> list[tuple[Label, Label, list[Endpoint]]]:
    """A value that is in the name of the ``policy`` is not misspelt, because its pods may come
    later; its key may be. ``by_name``: a value that the name spells differently is misspelt,
    however short it is; it is reported, but never repaired."""
    having = case.matched.by_label(pods)
    expected = _Expected.of(case) if by_name else None
    found = _near(selector, having, lambda end: end.pod.labels, expected)
    named = [value for _, value in selector.match_labels if value and value in policy]
    return [
        each
        for each in found
        if each[0][1] == each[1][1]
        or all(value in each[1][1] and each[1][1] in policy for value in named)
    ]


def _near_pods(case: LintedPolicy, selector: LabelSelector, pods: Ends, policy: str = "") -> str:
    """What to write instead, and the pods that this would match; "" where nothing is similar."""
    found = _near_of(case, selector, pods, policy, by_name=bool(policy))
    return words.listed(
        [
            f"{_label(right)} instead of {_label(wrong)} would match "
            + case.matched.names(fitting, _SHOWN, " and ")
            for wrong, right, fitting in found[:_SHOWN]
        ],
        "or",
    )


def _near(
    selector: LabelSelector,
    having: Mapping[Label, Sequence[T]],
    labels: Callable[[T], Labels],
    expected: _Expected | None = None,
) -> list[tuple[Label, Label, list[T]]]:
    """A label of the selector, a similar one, and the objects that it would select. ``having``:
    objects by label; ``expected``: what the policy says about its own pods."""
    found = []
    for wrong in selector.match_labels:
        rest = LabelSelector(
            tuple(label for label in selector.match_labels if label != wrong),
            selector.match_expressions,
        )
        for right, ends in having.items():
            if (_is_near(wrong, right) or (expected and expected.instead(wrong, right))) and (
                fitting := [end for end in ends if rest.matches(dict(labels(end)))]
            ):
                found.append((wrong, right, fitting))
    return sorted(found, key=lambda each: each[:2])


def _is_near(wrong: Label, right: Label) -> bool:
    """The same key with a near value, or the same value under a near key."""
    (key, value), (other_key, other_value) = wrong, right
    if key == other_key:
        named = key == METADATA_NAME_LABEL and is_one_letter_less(value, other_value)
        return named or alike(value, other_value)
    return value == other_value and (
        alike(key, other_key)
        or {key, other_key} == {"app", "app.kubernetes.io/name"}
        # With the very value beside it, a short key is surely the same one, too.
        or (min(len(key), len(other_key)) > 1 and value != "" and _edits(key, other_key) == 1)
    )


class _Expected(Struct, frozen=True):
    """What a policy says of its own pods. ``name``: of the policy; ``peers``: the labels that its
    peers have: a name is about these as often."""

    name: str
    peers: frozenset[Label]

    @classmethod
    def of(cls, case: LintedPolicy) -> _Expected:
        peers = (peer for _, _, rule in case.rules for peer in rule.peers)
        return cls(case.policy.ref.name, frozenset(label for p in peers for label in _labels(p)))

    def instead(self, wrong: Label, right: Label) -> bool:
        """Whether the name has the right form of a value with a letter wrong, however short it is.

        ``fe`` and ``be``, ``ui`` and ``ux`` are words of their own: of so short ones a letter that
        is another is a slip only where the whole name says so.
        """
        (key, value), (other_key, meant) = wrong, right
        if (
            key != other_key
            or right in self.peers
            or len(meant) < 2
            or meant not in _WORD.findall(self.name)
            or _differ_by_number(value, meant)
            or _edits(value, meant) != 1
        ):
            return False
        return len(meant) >= _ONE_EDIT or meant == self.name or _is_slip(value, meant)


def _labels(peer: NetworkPolicyPeer) -> Iterator[Label]:
    """The labels that pods of a peer may have."""
    for selector in (peer.pod_selector, peer.namespace_selector):
        if selector is not None:
            yield from selector.match_labels
            yield from ((e.key, value) for e in selector.match_expressions for value in e.values)


def _is_slip(word: str, meant: str) -> bool:
    """Of words with one edit between them: whether letters changed places, or one was left out or
    doubled. No other word comes of that as a rule, as it may of another letter."""
    if len(word) > len(meant):
        return any(
            word == f"{meant[:at]}{meant[at : at + 1]}{meant[at:]}" for at in range(len(meant))
        )
    return len(word) < len(meant) or sorted(word) == sorted(meant)


def _differ_by_number(word: str, other: str) -> bool:
    return _DIGITS.sub("", word) == _DIGITS.sub("", other)


@lru_cache(maxsize=65536)
def alike(word: str, other: str) -> bool:
    """Whether one is most likely the other, misspelt."""
    if word == other or _differ_by_number(word, other):
        return False
    if _SAID_ALIKE.sub("", word.lower()) == _SAID_ALIKE.sub("", other.lower()):
        return True
    shorter = min(len(word), len(other))
    if abs(len(word) - len(other)) > 2 or shorter < 3:
        return False
    if shorter < _ONE_EDIT:
        return sorted(word) == sorted(other) and _edits(word, other) == 1
    return _edits(word, other) <= (2 if shorter >= _TWO_EDITS else 1)


def is_one_letter_less(word: str, other: str) -> bool:
    """Whether a letter is missing: enough where everything else says that the other is meant."""
    return len(word) + 1 == len(other) > _ONE_EDIT - 1 and _edits(word, other) == 1


def _edits(word: str, other: str) -> int:
    """Letters to add, drop, replace, or to swap with the next one (Damerau-Levenshtein, each letter
    touched once)."""
    before: list[int] = []
    line = list(range(len(other) + 1))
    for row, letter in enumerate(word, 1):
        older, before, line = before, line, [row]
        for column, another in enumerate(other, 1):
            cost = min(line[-1] + 1, before[column] + 1, before[column - 1] + (letter != another))
            if row > 1 and column > 1 and (letter, word[row - 2]) == (other[column - 2], another):
                cost = min(cost, older[column - 2] + 1)
            line.append(cost)
    return line[-1]


def _asked(selector: LabelSelector) -> str:
    return words.conditions(selector)


def _label(label: Label) -> str:
    return f"{label[0]}={label[1]}"
