"""Forms of findings for CI: SARIF 2.1.0 for code scanning, and annotations of GitHub.

Rule: no line number is part of a fingerprint, so that a finding stays the same one when text moves.
Code scanning takes 25,000 results and shows 5,000 of a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from podfence._version import __version__
from podfence.errors import Position
from podfence.text import printable

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


# -- Annotations of GitHub's workflow commands
# Rule: a name must not become a command, so characters that begin or end one are escaped. GitHub
# shows only a few annotations of a step, so callers put the worst first and count the others.


SHOWN = 10
"""Annotations of one level that a step shows."""


def annotation(
    level: str, title: str, message: str, position: Position | None, revisions: tuple[str, ...] = ()
) -> str:
    """One line. ``level``: error, warning or notice. ``message`` may have several lines;
    ``revisions``: prefixes of the names of files that were read out of git. ``position``: line 0 is
    the file as a whole."""
    fields = {"title": title}
    if position is not None:
        fields["file"] = printable(file_of(position, revisions))
        if position.line:
            fields |= {"line": str(position.line), "col": str(position.column)}
    said = ",".join(f"{key}={_property(value)}" for key, value in fields.items())
    return f"::{level} {said}::{_text(message)}"


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
