"""SARIF 2.1.0, for code scanning.

Rule: no line number is part of a fingerprint, so that a finding stays the same one when text moves.
Code scanning takes 25,000 results and shows 5,000 of a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from podfence._version import __version__
from podfence.errors import Position

MOST = 5000
"""Results of a run that are shown."""
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif_run(
    rules: Iterable[Mapping[str, object]], results: Iterable[dict[str, object]]
) -> dict[str, object]:
    """One run of podfence, as a whole log."""
    driver = {"name": "podfence", "version": __version__, "rules": list(rules)}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": list(islice(results, MOST)),
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def sarif_location(
    file: str,
    line: int,
    column: int | None = None,
    words: str = "",
    end: Position | None = None,
) -> dict[str, object]:
    """A location. ``column`` None: the whole line. ``end``: behind its last character."""
    region = {"startLine": line} if column is None else {"startLine": line, "startColumn": column}
    if end is not None:
        region |= {"endLine": end.line, "endColumn": end.column}
    physical = {"artifactLocation": {"uri": file}, "region": region}
    location: dict[str, object] = {"physicalLocation": physical}
    if words:
        location["message"] = {"text": words}
    return location


def file_of(position: Position, revisions: Iterable[str]) -> str:
    """The name of the file in the working tree. ``revisions``: prefixes of the names of files that
    were read out of git."""
    for revision in filter(None, revisions):
        if position.file.startswith(f"{revision}:"):
            return position.file.removeprefix(f"{revision}:")
    return position.file
