"""Findings about policies that two sources define with different effects.

Rule: only a change of connections counts; two texts with the same effect are no conflict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.findings import LintFinding
from podfence.questions.phrases.words import count, some
from podfence.questions.plan.outcomes import Outcome
from podfence.questions.plan.plan import plan

_MOST = 10
"""Conflicts that are looked at: each compiles the cluster once more."""
_SHOWN = 2


class Twin(Struct, frozen=True):
    """A policy that another of the same name took the place of."""

    policy: NetworkPolicy


def conflicts(index: PolicyIndex, twins: Sequence[Twin]) -> Iterator[LintFinding]:
    """PF365."""
    present = {policy.ref: policy for policy in index.cluster.policies}
    for twin in twins[:_MOST]:
        used = present.get(twin.policy.ref)
        if used is None or replace(twin.policy, source=None) == replace(used, source=None):
            continue
        others = tuple(twin.policy if p.ref == used.ref else p for p in index.cluster.policies)
        before = replace(index.cluster, policies=others)
        found = plan(before, index.cluster, index.names, newcomers=False).outcomes
        if not found:
            continue
        file = twin.policy.source.file if twin.policy.source else "another source"
        text = (
            f"{file} also defines a policy of this name, with a different effect: this one, "
            f"which is used, {_changes(found)}. The cluster gets the one that is applied last. "
            "Keep one, or give the two different names."
        )
        yield LintFinding("PF365", used.ref, used.source, "metadata.name", text)


def _changes(outcomes: Sequence[Outcome]) -> str:
    opened = [each for each in outcomes if each.opened]
    closed = [each for each in outcomes if each.closed]
    parts = []
    for verb, found in (("opens", opened), ("closes", closed)):
        if found:
            pairs = sum(each.pairs for each in found)
            parts.append(f"{verb} {_example(found[0], verb)} ({count(pairs, 'pair')} in all)")
    return " and ".join(parts)


def _example(outcome: Outcome, verb: str) -> str:
    near = some(outcome.sources.names, _SHOWN, ", ")
    far = some(outcome.destinations.names, _SHOWN, ", ")
    return f"{near} -> {far} {outcome.opened if verb == 'opens' else outcome.closed}"
