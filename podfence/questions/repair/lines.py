"""The lines by which two texts differ."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher


def changed_lines(before: str, after: str) -> Iterator[tuple[int, str, str]]:
    """The lines that differ, in order: their number in the text that has them (from 1), ``-`` or
    ``+``, and the line."""
    old, new = before.split("\n"), after.split("\n")
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield from ((n + 1, "-", old[n]) for n in range(a, b))
            yield from ((n + 1, "+", new[n]) for n in range(c, d))
