"""What audited policies would do: questions about a cluster in which they are enforced (AUD-3).

Rule: present verdicts come from an index without audited policies, hypothetical ones from a second
index with them. No other part of a question knows about audited policies.
"""

from __future__ import annotations

from collections.abc import Iterator

from podfence.model.meta import ObjectRef
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.questions.phrases.tierwords import policy_name
from podfence.questions.phrases.words import some

_SHOWN = 5


def audited_of(index: PolicyIndex) -> frozenset[ObjectRef]:
    """The audited policies of a cluster."""
    return frozenset(policy.ref for policy in index.cluster.audited)


def audited_at(
    audit: PolicyIndex, audited: frozenset[ObjectRef], pod: Endpoint, direction: Direction
) -> tuple[ObjectRef, ...]:
    """The audited policies that apply to a pod in a direction. ``audit``: the index in which they
    are enforced; ``pod``: an endpoint of it."""
    policies = audit.policies[pod.endpoint_class].of(direction).policies
    return tuple(ref for ref in policies if ref in audited)


def audit_notes(index: PolicyIndex) -> Iterator[str]:
    """A sentence, if policies of the cluster are audited, because a map leaves them out."""
    names = sorted(policy_name(ref) for ref in audited_of(index))
    if names:
        be = "is audited and enforces" if len(names) == 1 else "are audited and enforce"
        yield f"{some(names, _SHOWN)} {be} nothing; if enforced, the map may be different"
