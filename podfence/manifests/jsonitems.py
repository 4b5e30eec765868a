"""Positions inside the items of one JSON List, of which there may be many thousands.

Rule: this finder answers only for ASCII text that is valid and has no key twice, and then as
``jsonpositions`` would. msgspec finds the length of each value, so skipped values are not created.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Raw
from msgspec.json import Decoder

from podfence.manifests.fieldpaths import FieldSteps, PathStep

_MEMBERS: Final = Decoder(dict[str, Raw])
_ELEMENTS: Final = Decoder(list[Raw])
_BETWEEN = re.compile(r"[ \t\n\r]*,?[ \t\n\r]*")
_KEY = re.compile(r'"(?:[^"\\]|\\.)*"[ \t\n\r]*:[ \t\n\r]*')


class JsonItems:
    """The items of the List from ``start`` of a text, on ``line``, to ``end``."""

    def __init__(self, text: str, start: int, end: int, line: int) -> None:
        self._text = text
        self._items: list[Raw] = []
        self._starts: list[int] = []
        self._lines: list[int] = []
        """Of each item the number of its line, and beside it the offset before that line."""
        self._breaks: list[int] = []
        whole = Raw(text[start:end].encode())
        found = _below(text, start, whole, "items") if text.startswith("{", start) else None
        if found is None or not text.startswith("[", found[1]):
            return
        self._items = _ELEMENTS.decode(found[2])
        last, before = start, text.rfind("\n", 0, start)
        at = found[1] + 1
        for item in self._items:
            at = _past(_BETWEEN, text, at)
            line += text.count("\n", last, at)
            before = max(before, text.rfind("\n", last, at))
            self._starts.append(at)
            self._lines.append(line)
            self._breaks.append(before)
            last, at = at, at + len(item)

    def __len__(self) -> int:
        return len(self._items)

    def find(self, item: int, steps: FieldSteps) -> tuple[int, int]:
        """Line and column, from 1, of the key or element that ``steps`` lead to in an item, or of
        its nearest existing parent."""
        text, start = self._text, self._starts[item]
        named, value, content = start, start, self._items[item]
        for step in steps:
            found = _below(text, value, content, step)
            if found is None:
                break
            named, value, content = found
        before = max(self._breaks[item], text.rfind("\n", start, named))
        return self._lines[item] + text.count("\n", start, named), named - before


def _below(text: str, offset: int, content: Raw, step: PathStep) -> tuple[int, int, Raw] | None:
    """Where a member (its key) or an element of the value at ``offset`` is named, where its own
    value begins, and that value."""
    at = offset + 1
    if text.startswith("{", offset):
        members, key = _MEMBERS.decode(content), str(step)
        for name, value in members.items() if key in members else ():
            named = _past(_BETWEEN, text, at)
            at = _past(_KEY, text, named)
            if name == key:
                return named, at, value
            at += len(value)
    elif text.startswith("[", offset) and isinstance(step, int):
        elements = _ELEMENTS.decode(content)
        for number, value in enumerate(elements if step < len(elements) else ()):
            at = _past(_BETWEEN, text, at)
            if number == step:
                return at, at, value
            at += len(value)
    return None


def _past(pattern: re.Pattern[str], text: str, offset: int) -> int:
    match = pattern.match(text, offset)
    return match.end() if match else offset
