"""A plan for those who run in CI: SARIF for code scanning, annotations of GitHub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256

from msgspec.structs import replace

from podfence.questions.phrases.words import count
from podfence.render.ciformats import SHOWN, annotation, file_of, sarif_location, sarif_run
from podfence.render.plan_edits import EditedField, first_shown
from podfence.render.plan_findings import CLOSES, CUTS, PLAN_CODES, PlanFinding

_LEVELS = {"PF403": "error", "PF404": "error", CUTS: "error", CLOSES: "note"}
"""Every other code is a warning."""


def sarif_data(findings: Iterable[PlanFinding], revisions: Iterable[str] = ()) -> dict[str, object]:
    """One run. ``revisions``: as of ``file_of``."""
    rules = [{"id": code, "shortDescription": {"text": text}} for code, text in PLAN_CODES.items()]
    return sarif_run(rules, (_result(finding, revisions) for finding in findings))


def _result(finding: PlanFinding, revisions: Iterable[str]) -> dict[str, object]:
    shown = first_shown(finding.spots)
    result: dict[str, object] = {
        "ruleId": finding.code,
        "level": _LEVELS.get(finding.code, "warning"),
        "message": {"text": finding.message},
        "locations": [] if shown is None else [_location(shown, revisions)],
        "partialFingerprints": {"podfencePlan/v1": sha256(finding.key.encode()).hexdigest()},
    }
    others = [_location(s, revisions) for s in finding.spots if s.position and s is not shown]
    if shown is not None and shown.old and shown.left is not None:
        others.insert(0, _gone(shown, revisions))
    if others:
        result["relatedLocations"] = others[:20]
    return result


def _location(spot: EditedField, revisions: Iterable[str]) -> dict[str, object]:
    position = spot.shown
    if position is None:
        return _gone(spot, revisions)
    column = None if spot.old else position.column
    return sarif_location(file_of(position, revisions), position.line, column, spot.words)


def _gone(spot: EditedField, revisions: Iterable[str]) -> dict[str, object]:
    """The line is gone: nobody can open it."""
    assert spot.position is not None
    return sarif_location(file_of(spot.position, revisions), 1, None, spot.words)


# -- A plan as annotations of GitHub's workflow commands: the worst first, the others counted


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
