"""Whether policies are enforced: the annotation ``podfence.io/mode`` (AUD-1).

Rule: reads the object as it was written, because decoding drops the annotation.
"""

from __future__ import annotations

from collections.abc import Iterator

from podfence.likeness import similar
from podfence.model.cluster import Policy
from podfence.model.meta import AUDIT, ENFORCE, MODE_ANNOTATION
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.note import Raw, field_of

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
