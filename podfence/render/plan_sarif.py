"""A plan as SARIF 2.1.0, for code scanning.

Rule: no line number is part of a fingerprint, so that a finding stays the same one when text moves.
Code scanning takes 25,000 results and shows 5,000 of a run.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from itertools import islice

from podfence._version import __version__
from podfence.errors import Position
from podfence.render.plan_edits import Spot
from podfence.render.plan_findings import PLAN_CODES, PlanFinding

_MOST = 5000
_LEVELS = {"PF403": "error", "PF404": "error", "PF402": "note"}
"""Every other code is a warning."""
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif_data(findings: Iterable[PlanFinding], revisions: Iterable[str] = ()) -> dict[str, object]:
    """One run. ``revisions``: as of ``file_of``."""
    rules = [{"id": code, "shortDescription": {"text": text}} for code, text in PLAN_CODES.items()]
    driver = {"name": "podfence", "version": __version__, "rules": rules}
    results = [_result(finding, revisions) for finding in islice(findings, _MOST)]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


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
    region = {"startLine": spot.position.line, "startColumn": spot.position.column}
    if spot.old:  # the line is gone: nobody can open it
        region = {"startLine": 1}
    place: dict[str, object] = {
        "physicalLocation": {
            "artifactLocation": {"uri": file_of(spot.position, revisions)},
            "region": region,
        }
    }
    if spot.words:
        place["message"] = {"text": spot.words}
    return place


def file_of(position: Position, revisions: Iterable[str]) -> str:
    """The file as the working tree calls it. ``revisions``: what stands before the names of files
    that were read out of git."""
    for revision in filter(None, revisions):
        if position.file.startswith(f"{revision}:"):
            return position.file.removeprefix(f"{revision}:")
    return position.file
