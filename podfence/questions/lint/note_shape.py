"""Notes about the shape of a policy: types, empty lists, null items, rules that allow all.

Rule: uses no label and no pod, except to find other policies with the same subjects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pyroaring import BitMap

from podfence.likeness import similar
from podfence.model.cluster import Policy
from podfence.model.meta import AUDIT, ENFORCE, MODE_ANNOTATION
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.note import LintedPolicy, Note, Raw, field_of, rule_path
from podfence.questions.phrases import words
from podfence.questions.phrases.matched import allows_everything as is_open

_SAYS_OPEN = re.compile(r"(allow|permit|accept).*(all|any|every)|open|public|unrestricted")


def empty_egress(case: LintedPolicy) -> Iterator[Note]:
    """PF302: ``egress: []`` without policyTypes (NP-8)."""
    if case.policy.declared_types or case.policy.egress or case.raw_spec.get("egress", "absent"):
        return
    text = (
        "An empty list is the same as no list. Without egress rules the policy type is only "
        "Ingress: these pods may still open every connection that no other policy denies. To deny "
        "egress, write policyTypes: [Ingress, Egress]."
    )
    yield Note("PF302", text, "spec.egress")


def egress_closes_ingress(case: LintedPolicy) -> Iterator[Note]:
    """PF303: only egress rules, no policyTypes (NP-8)."""
    policy = case.policy
    if policy.declared_types or policy.ingress or not policy.egress:
        return
    text = (
        "Without policyTypes a policy always has the type Ingress. This one has no ingress rule, "
        "so nobody may connect to the selected pods unless another policy allows it. If only "
        "egress is meant, write policyTypes: [Egress]."
    )
    yield Note("PF303", text, "spec.egress")


def dead_rules(case: LintedPolicy) -> Iterator[Note]:
    """PF304: rules without their type (NP-15)."""
    for direction in AS_WRITTEN:
        rules = case.policy.rules_of(direction.policy_type)
        if not rules or direction.policy_type in case.policy.policy_types:
            continue
        [named] = case.policy.policy_types
        other = Direction.EGRESS if direction is Direction.INGRESS else Direction.INGRESS
        text = (
            f"policyTypes names only {named.value}, so the {direction.value} rules isolate "
            f"nothing and allow nothing. To make them count, add {direction.policy_type.value} to "
            "policyTypes."
        )
        if not case.policy.rules_of(other.policy_type):
            text += f" Instead the policy denies all {other.value}, because it has no rule for it."
        yield Note("PF304", text, f"spec.{direction.value}")


def null_items(case: LintedPolicy) -> Iterator[Note]:
    """PF305: ``ingress: [null]``, ``ports: [null]`` (NP-15a)."""
    for direction in AS_WRITTEN:
        for number, rule in enumerate(_items(case.raw_spec.get(direction.value))):
            path = rule_path(direction, number)
            if rule is None and direction.policy_type in case.policy.policy_types:
                text = (
                    "A list item without content (a lone dash) is read as {}: a rule that allows "
                    "everyone, outside the cluster included, on every port."
                )
                yield Note("PF305", text, path)
            elif isinstance(rule, Mapping):
                yield from _null_ports(rule, path)


def _null_ports(rule: Mapping[str, object], path: str) -> Iterator[Note]:
    for at, item in enumerate(_items(rule.get("ports"))):
        if item is None:
            text = "A list item without content is read as {}: every TCP port, and no UDP port."
            yield Note("PF305", text, f"{path}.ports[{at}]")


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def allows_everything(case: LintedPolicy) -> Iterator[Note]:
    """PF310: a rule ``{}`` (NP-11), unless the policy's name says so."""
    if _SAYS_OPEN.search(case.policy.ref.name.lower()):
        return
    for direction, number, rule in case.rules:
        if rule.peers or rule.ports or _is_null(case, direction, number):
            continue
        side = "to" if direction is Direction.INGRESS else "from"
        text = (
            f"A rule without {('from' if side == 'to' else 'to')} and ports allows every "
            f"connection {side} these pods: all pods, all nodes and every address outside the "
            f"cluster. It makes every other {direction.value} rule for them pointless. To allow "
            "only pods of the cluster, write namespaceSelector: {}."
        )
        yield Note("PF310", text, rule_path(direction, number))


def _is_null(case: LintedPolicy, direction: Direction, number: int) -> bool:
    items = _items(case.raw_spec.get(direction.value))
    return number < len(items) and items[number] is None


def pointless(case: LintedPolicy) -> Iterator[Note]:
    """PF316: other policies allow everything for all of the subjects (NP-7)."""
    own = case.index.selected.get(case.policy.ref)
    if not own:
        return
    for direction in AS_WRITTEN:
        every = case.matched.open_policies(case.namespace, direction)
        opened = [p for p in every if case.index.selected[p.ref].intersect(own)] if every else ()
        if not opened or direction.policy_type not in case.policy.policy_types:
            continue
        if is_open(case.policy, direction) or not own <= BitMap.union(
            *(case.index.selected[p.ref] for p in opened)
        ):
            continue
        refs = [str(p.ref) for p in opened]
        verb = "allows" if len(opened) == 1 else "allow"
        text = (
            f"{words.listed(refs)} {verb} every {direction.value} connection of all these pods. "
            "Policies add up, so what this one leaves out is allowed anyway."
        )
        rules = case.policy.rules_of(direction.policy_type)
        path = f"spec.{direction.value}" if rules else "spec.podSelector"
        yield Note("PF316", text, path, names=tuple(refs))


# -- Whether policies are enforced: the annotation ``podfence.io/mode`` (AUD-1)
# Rule: reads the object as it was written, because decoding drops the annotation.


_PATH = f"metadata.annotations[{MODE_ANNOTATION}]"


def mode_of(policy: Policy, raw: Raw | None) -> Iterator[LintFinding]:
    """PF361 for an unknown value, PF362 for an audited policy. ``raw``: the policy as it was
    written."""
    mode = field_of(raw, "metadata", "annotations", MODE_ANNOTATION)
    if mode == AUDIT:
        text = (
            "The policy is evaluated, and what it would deny is reported; it isolates nothing, "
            "denies nothing and allows nothing. To enforce it, remove the annotation."
        )
        yield LintFinding("PF362", policy.ref, policy.source, _PATH, text)
    elif mode not in (None, ENFORCE):
        meant = similar(str(mode), (AUDIT, ENFORCE))
        hint = f"did you mean {meant[0]}? " if meant else ""
        text = (
            f"{mode!r} is not a mode; {hint}the modes are {AUDIT} and {ENFORCE}. The policy is "
            "enforced, as it would be without the annotation."
        )
        yield LintFinding("PF361", policy.ref, policy.source, _PATH, text)
