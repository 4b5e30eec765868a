"""An editor: it makes edits of text as one would that knows lines and columns alone."""

from __future__ import annotations

from collections.abc import Iterable

from podfence.questions.repair.textedits import TextEdit


def made(text: str, edits: Iterable[TextEdit]) -> str:
    """All edits at once: the last of them first, so that none moves another."""
    starts = [0, *(at + 1 for at, letter in enumerate(text) if letter == "\n")]
    for edit in sorted(edits, key=lambda each: (each.line, each.column), reverse=True):
        start = starts[edit.line - 1] + edit.column - 1
        end = starts[edit.end_line - 1] + edit.end_column - 1
        text = text[:start] + edit.text + text[end:]
    return text
