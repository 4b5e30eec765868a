"""A plan as SARIF, for code scanning."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from podfence.render.plan_edits import Spot
from podfence.render.plan_findings import CLOSES, CUTS, PLAN_CODES, PlanFinding
from podfence.render.sarif import file_of, sarif_location, sarif_run

_LEVELS = {"PF403": "error", "PF404": "error", CUTS: "error", CLOSES: "note"}
"""Every other code is a warning."""


def sarif_data(findings: Iterable[PlanFinding], revisions: Iterable[str] = ()) -> dict[str, object]:
    """One run. ``revisions``: as of ``file_of``."""
    rules = [{"id": code, "shortDescription": {"text": text}} for code, text in PLAN_CODES.items()]
    return sarif_run(rules, (_result(finding, revisions) for finding in findings))


def _result(finding: PlanFinding, revisions: Iterable[str]) -> dict[str, object]:
    there = [spot for spot in finding.spots if spot.position is not None]
    shown = sorted(there, key=lambda spot: spot.old)[:1]
    result: dict[str, object] = {
        "ruleId": finding.code,
        "level": _LEVELS.get(finding.code, "warning"),
        "message": {"text": finding.message},
        "locations": [_location(spot, revisions) for spot in shown],
        "partialFingerprints": {"podfencePlan/v1": sha256(finding.key.encode()).hexdigest()},
    }
    others = [spot for spot in there if spot not in shown]
    if others:
        result["relatedLocations"] = [_location(spot, revisions) for spot in others[:20]]
    return result


def _location(spot: Spot, revisions: Iterable[str]) -> dict[str, object]:
    assert spot.position is not None
    file = file_of(spot.position, revisions)
    if spot.old:  # the line is gone: nobody can open it
        return sarif_location(file, 1, None, spot.words)
    return sarif_location(file, spot.position.line, spot.position.column, spot.words)
