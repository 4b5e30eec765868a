"""A plan as annotations of GitHub's workflow commands.

Rule: a name must not become a command: what begins or ends one is escaped. Few annotations of a
step are shown, so the worst come first and the others are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podfence.questions.phrases.words import count
from podfence.render.plan_findings import PLAN_CODES, PlanFinding
from podfence.render.plan_sarif import file_of

_SHOWN = 10
_ORDER = ("PF403", "PF404", "PF401", "PF405", "PF402")


def workflow_commands(
    findings: Iterable[PlanFinding], revisions: Iterable[str] = ()
) -> Iterator[str]:
    """One line each. ``revisions``: what stands before the names of files that were read out of
    git."""
    found = sorted(findings, key=lambda finding: _ORDER.index(finding.code))
    for finding in found[:_SHOWN]:
        yield _annotation(finding, revisions)
    if len(found) > _SHOWN:
        rest = count(len(found) - _SHOWN, "finding")
        yield f"::notice title=podfence plan::and {rest} more: podfence plan -o wide"


def _annotation(finding: PlanFinding, revisions: Iterable[str]) -> str:
    level = {"PF402": "notice"}.get(finding.code, "warning")
    fields = {"title": f"podfence {finding.code}: {PLAN_CODES[finding.code]}"}
    spot = next((s for s in finding.spots if s.position is not None and not s.old), None)
    if spot is not None and spot.position is not None:
        place = spot.position
        fields |= {
            "file": file_of(place, revisions),
            "line": str(place.line),
            "col": str(place.column),
        }
    said = ",".join(f"{key}={_property(value)}" for key, value in fields.items())
    return f"::{level} {said}::{_text(finding.message)}"


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
