"""The plain block style that tools write, read line by line.

Rule: this reader answers only where every line is of a shape that leaves no doubt (a key, dashes,
a simple scalar), and then exactly as the full reader would; for anything else it declines. Most
manifests have this style, and it nearly halves the time of loading them (decision 6 in docs).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from podfence.manifests.parsed import MAX_DEPTH
from podfence.manifests.yamlscalars import Scalars

DECLINED: Final = object()
"""Answer for text that must be read by the full reader."""

_KEY = r"[A-Za-z][A-Za-z0-9_./-]{0,253}"
_MAX_WORDS: Final = 100
# No colon before a blank, no '#', nothing that starts another node. A blank or colon belongs to one
# alternative only, and their number is bounded: otherwise `re` keeps about 150 bytes for each of
# them, in case it has to backtrack. Possessive quantifiers would not keep them, but they match
# wrongly on CPython 3.11.2.
_WORD = r"[A-Za-z0-9_./@+=,-]*"
_PLAIN = rf"[A-Za-z0-9/]{_WORD}(?:(?::(?=[^ \n])| (?=[A-Za-z0-9_./])){_WORD}){{0,{_MAX_WORDS}}}"
_CLOSED = r"""\"[ !#-\[\]-~]*"|'[ -&(-~]*'|\{\}|\[\]"""
LINE: Final = re.compile(
    rf"^( *)((?:- ){{0,{MAX_DEPTH}}})"
    rf"(?:({_KEY}):(?: +(?:({_PLAIN})|({_CLOSED})))?|({_PLAIN})|({_CLOSED})) *\n",
    re.MULTILINE,
)
"""Blanks, dashes, key, its plain or closed value, or else a plain or closed item."""
_Collection = TypeVar("_Collection", list[Any], dict[str, Any])
_Line = tuple[str, str, str, str, str, str, str]


def read_lines(text: str, scalars: Scalars) -> Any:
    """Value of one document, without its marker, or ``DECLINED``."""
    text = text.rstrip("\n ") + "\n"
    lines: list[_Line] = LINE.findall(text)
    if len(lines) != text.count("\n") or not lines:
        return DECLINED
    return _Assembly(scalars).of(lines)


class _Doubt(Exception):
    """A line stands where this reader cannot say what it belongs to."""


class _Assembly:
    """Collections that are open, by column, while lines are added."""

    def __init__(self, scalars: Scalars) -> None:
        self._scalars = scalars
        self._stack: list[tuple[int, Any]] = []
        self._root: list[Any] = []
        # Where the next collection goes if it is indented below, or None: (mapping, key, column).
        self._open_key: tuple[dict[str, Any], str, int] | None = None

    def of(self, lines: list[_Line]) -> Any:
        try:
            for line in lines:
                self._add(line)
        except _Doubt:
            return DECLINED
        return self._root[0]

    def _add(self, line: _Line) -> None:
        spaces, dashes, key, plain, closed, item, closed_item = line
        column = len(spaces)
        if dashes:
            sequence = self._sequence(column)
            for _ in range(len(dashes) // 2 - 1):
                column += 2
                sequence = self._opened(sequence.append, column, [])
            column += 2
            if not key:
                sequence.append(self._scalars[item] if item else _closed_value(closed_item))
                self._open_key = None
                return
            mapping = self._opened(sequence.append, column, {})
        elif key:
            mapping = self._mapping(column)
        else:
            raise _Doubt  # a scalar alone: a document of text, or a line that continues another
        if key in mapping or type(self._scalars[key]) is not str:
            raise _Doubt
        if plain:
            mapping[key] = self._scalars[plain]
            self._open_key = None
        elif closed:
            mapping[key] = _closed_value(closed)
            self._open_key = None
        else:
            mapping[key] = None
            self._open_key = mapping, key, column

    def _sequence(self, column: int) -> list[Any]:
        """The list whose dashes stand at ``column``; a dash may stand right below its key."""
        if self._open_key is not None and column >= self._open_key[2]:
            return self._below_key(column, [])
        return self._at(column, list)

    def _mapping(self, column: int) -> dict[str, Any]:
        """The mapping whose keys stand at ``column``."""
        if self._open_key is not None and column > self._open_key[2]:
            return self._below_key(column, {})
        return self._at(column, dict)

    def _below_key(self, column: int, collection: _Collection) -> _Collection:
        assert self._open_key is not None
        mapping, key, _ = self._open_key
        mapping[key] = collection
        self._stack.append((column, collection))
        return collection

    def _at(self, column: int, kind: type[_Collection]) -> _Collection:
        """The innermost open collection at ``column``; deeper ones are closed."""
        stack = self._stack
        if stack and stack[-1][0] == column and type(stack[-1][1]) is kind:  # nearly every line
            return stack[-1][1]
        while stack and (stack[-1][0] > column or _ended_by_key(stack, column, kind)):
            stack.pop()
        if not stack and not self._root and column == 0:
            return self._opened(self._root.append, 0, kind())
        if not stack or stack[-1][0] != column or type(stack[-1][1]) is not kind:
            raise _Doubt
        found: _Collection = stack[-1][1]
        return found

    def _opened(
        self, place: Callable[[Any], None], column: int, collection: _Collection
    ) -> _Collection:
        if len(self._stack) >= MAX_DEPTH:
            raise _Doubt
        place(collection)
        self._stack.append((column, collection))
        return collection


def _ended_by_key(stack: list[tuple[int, Any]], column: int, kind: type[Any]) -> bool:
    """A list right below its key, at the same column, ends at the next key there."""
    return kind is dict and stack[-1][0] == column and type(stack[-1][1]) is list


def _closed_value(text: str) -> Any:
    if text == "{}":
        return {}
    return [] if text == "[]" else text[1:-1]
