"""Annotations of GitHub's workflow commands.

Rule: a name must not become a command, so characters that begin or end one are escaped. GitHub
shows only a few annotations of a step, so callers put the worst first and count the others.
"""

from __future__ import annotations

from podfence.errors import Position
from podfence.render.sarif import file_of
from podfence.text import printable

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
