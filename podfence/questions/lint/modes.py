"""Whether policies are enforced: what the annotation ``podfence.io/mode`` says (AUD-1).

Rule: read from the object as it was written, for what decoding loses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from podfence.errors import Source
from podfence.likeness import similar
from podfence.model.cluster import Policy
from podfence.model.meta import AUDIT, ENFORCE, MODE_ANNOTATION
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.findings import Finding
from podfence.questions.lint.note import Raw, field_of

_PATH = f"metadata.annotations[{MODE_ANNOTATION}]"


def modes(index: PolicyIndex, raw: Callable[[Source | None], Raw | None]) -> Iterator[Finding]:
    """PF361 for a value that nobody knows, PF362 for a policy that is audited."""
    whole = index.cluster.with_audited()
    policies: tuple[Policy, ...] = (*whole.policies, *whole.admin_policies)
    for policy in policies:
        mode = field_of(raw(policy.source), "metadata", "annotations", MODE_ANNOTATION)
        if mode == AUDIT:
            text = (
                "It is evaluated, and reported where it would deny; it isolates nothing, denies "
                "nothing and allows nothing. Without the annotation it is enforced."
            )
            yield Finding("PF362", policy.ref, policy.source, _PATH, text)
        elif mode not in (None, ENFORCE):
            meant = similar(str(mode), (AUDIT, ENFORCE))
            hint = f"did you mean {meant[0]}? " if meant else ""
            text = (
                f"{mode!r} is no mode; {hint}{AUDIT} and {ENFORCE} are known. The policy is "
                "enforced, as without the annotation."
            )
            yield Finding("PF361", policy.ref, policy.source, _PATH, text)
