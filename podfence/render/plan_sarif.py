"""A plan as SARIF, for code scanning."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from podfence.render.plan_edits import Spot, first_shown
from podfence.render.plan_findings import CLOSES, CUTS, PLAN_CODES, PlanFinding
from podfence.render.sarif import file_of, sarif_location, sarif_run

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


def _location(spot: Spot, revisions: Iterable[str]) -> dict[str, object]:
    position = spot.shown
    if position is None:
        return _gone(spot, revisions)
    column = None if spot.old else position.column
    return sarif_location(file_of(position, revisions), position.line, column, spot.words)


def _gone(spot: Spot, revisions: Iterable[str]) -> dict[str, object]:
    """The line is gone: nobody can open it."""
    assert spot.position is not None
    return sarif_location(file_of(spot.position, revisions), 1, None, spot.words)
