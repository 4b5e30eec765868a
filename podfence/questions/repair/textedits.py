"""text_edits(file, before, after) -> the edits that make one text of another, as editors make them.

Rule: made all at once, in the text as it was, they give the new text exactly; what is the same in
both is in none of them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import accumulate

from msgspec import Struct


class TextEdit(Struct, frozen=True):
    """``text`` in place of what stands from ``line`` and ``column`` to the end, which is behind the
    last character; both from 1, columns in characters."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str


class Offer(Struct, frozen=True):
    """The repair of a finding: what it does in ``words``, whether it opens nothing that is not
    written (``safe``), and its edits."""

    words: str
    safe: bool
    edits: tuple[TextEdit, ...]


def text_edits(file: str, before: str, after: str, line_end: str = "\n") -> tuple[TextEdit, ...]:
    """In the order of the text. ``line_end``: how the lines of the file end; those of the two texts
    end with a line feed."""
    old, new = _LINE.findall(before), _LINE.findall(after)
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    starts = [0, *accumulate(map(len, old))]
    middle = old[head : len(old) - tail], new[head : len(new) - tail]
    found = []
    for tag, a, b, c, d in SequenceMatcher(None, *middle, autojunk=False).get_opcodes():
        if tag != "equal":
            was, now = "".join(middle[0][a:b]), "".join(middle[1][c:d])
            left = _common(was, now)
            right = _common(was[left:][::-1], now[left:][::-1])
            at = starts[head + a]
            span = at + left, at + len(was) - right
            found.append((*span, now[left : len(now) - right]))
    ends = (match.end() for match in re.finditer("\n", before))
    written = [(start, end, text.replace("\n", line_end)) for start, end, text in found]
    return tuple(_with_positions(file, [0, *ends], written))


_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def _common(one: list[str] | str, other: list[str] | str) -> int:
    """How many members two sequences begin with alike."""
    number = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        number += 1
    return number


def _with_positions(
    file: str, starts: list[int], found: list[tuple[int, int, str]]
) -> Iterator[TextEdit]:
    for start, end, text in found:
        first, last = (bisect_right(starts, at) - 1 for at in (start, end))
        column, end_column = start - starts[first] + 1, end - starts[last] + 1
        yield TextEdit(file, first + 1, column, last + 1, end_column, text)
