"""What audited policies would do: questions about a cluster in which they are enforced (AUD-3).

Rule: what holds is asked of an index, in which audited policies do not stand; what would hold is
asked of another one. Nothing else in a question knows that policies can be audited.
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
    are enforced; ``pod``: of it."""
    policies = audit.policies[pod.endpoint_class].of(direction).policies
    return tuple(ref for ref in policies if ref in audited)


def audit_notes(index: PolicyIndex) -> Iterator[str]:
    """A sentence, if policies of the cluster are audited: a map of it leaves them out."""
    names = sorted(policy_name(ref) for ref in audited_of(index))
    if names:
        be = "is audited and enforces" if len(names) == 1 else "are audited and enforce"
        yield f"{some(names, _SHOWN)} {be} nothing; if enforced, the map may be different"
