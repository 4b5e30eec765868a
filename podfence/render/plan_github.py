"""A plan as annotations of GitHub's workflow commands: the worst first, the others counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from podfence.questions.phrases.words import count
from podfence.render.annotations import SHOWN, annotation
from podfence.render.plan_edits import first_shown
from podfence.render.plan_findings import CLOSES, PLAN_CODES, PlanFinding

_ORDER = ("PF403", "PF404", "PF406", "PF401", "PF405", "PF407", "PF402")


def workflow_commands(
    findings: Iterable[PlanFinding], revisions: Iterable[str] = ()
) -> Iterator[str]:
    """One line each. ``revisions``: prefixes of the names of files that were read out of git."""
    found = sorted(findings, key=lambda each: _ORDER.index(each.code))
    for finding in found[:SHOWN]:
        yield _annotation(finding, revisions)
    if len(found) > SHOWN:
        rest = count(len(found) - SHOWN, "finding")
        yield f"::notice title=podfence plan::and {rest} more: podfence plan -o wide"


def _annotation(finding: PlanFinding, revisions: Iterable[str]) -> str:
    level = "notice" if finding.code == CLOSES else "warning"
    title = f"podfence {finding.code}: {PLAN_CODES[finding.code]}"
    spot = first_shown(finding.spots)
    if spot is None:
        return annotation(level, title, finding.message, None)
    if spot.shown is None and spot.position is not None:  # the file may be there, its line is not
        whole = replace(spot.position, line=0)
        return annotation(level, title, finding.message, whole, tuple(revisions))
    return annotation(level, title, finding.message, spot.shown, tuple(revisions))
