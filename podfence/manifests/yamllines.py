"""The plain block style that tools write, read line by line.

Rule: this reader answers only if every line has an unambiguous shape (a key, dashes, a simple
scalar), and then exactly as the full reader would; for anything else it declines. Most manifests
have this style, and it takes a fifth of the full reader's time (decisions 6 and 16 in docs). Most
lines of a large input repeat others, so each distinct line is parsed once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from podfence.manifests.parsed import MAX_DEPTH
from podfence.manifests.yamlscalars import Scalars

DECLINED: Final = object()
"""The result for text that needs the full reader."""

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
    rf"( *)((?:- ){{0,{MAX_DEPTH}}})"
    rf"(?:({_KEY}):(?: +(?:({_PLAIN})|({_CLOSED})))?|({_PLAIN})|({_CLOSED})) *"
)
"""Blanks, dashes, key, its plain or closed value, or else a plain or closed item."""

NO_KEY: Final = ""
_NOTHING_OPEN: Final = 1 << 30
"""A column behind every line."""
_MAX_REMEMBERED: Final = 50_000
_LONGEST_REMEMBERED: Final = 400

YamlLine = tuple[int, int, int, str, Any, int]
"""Column of the first dash or key; number of dashes; column behind them; key, or ``NO_KEY`` for an
item of a list; value; and the column again where a collection may follow below the key, else
``_NOTHING_OPEN``."""


class _Doubt(Exception):
    """The parent of a line is unclear to this reader."""


class Lines(dict[str, YamlLine]):
    """Parsed lines of all documents; their values are shared.

    Raises ``_Doubt`` for a line that is not of the plain style.
    """

    def __init__(self, scalars: Scalars) -> None:
        super().__init__()
        self.scalars = scalars

    def __missing__(self, text: str) -> YamlLine:
        line = self._read(text)
        if len(text) <= _LONGEST_REMEMBERED:
            if len(self) >= _MAX_REMEMBERED:
                self.clear()
            self[text] = line
        return line

    def _read(self, text: str) -> YamlLine:
        match = LINE.fullmatch(text)
        if match is None:
            raise _Doubt
        blanks, written, key, plain, closed, item, closed_item = match.groups()
        start, dashes = len(blanks), len(written) // 2
        column = start + len(written)
        if key is None:
            if not dashes:
                raise _Doubt  # a document of text, or a line that continues another
            value = _closed_value(closed_item) if item is None else self.scalars[item]
            return start, dashes, column, NO_KEY, value, _NOTHING_OPEN
        if type(self.scalars[key]) is not str:
            raise _Doubt
        if plain is not None:
            return start, dashes, column, key, self.scalars[plain], _NOTHING_OPEN
        if closed is not None:
            return start, dashes, column, key, _closed_value(closed), _NOTHING_OPEN
        return start, dashes, column, key, None, column


def _closed_value(text: str) -> Any:
    if text == "{}":
        return {}
    return [] if text == "[]" else text[1:-1]


def read_lines(text: str, lines: Lines) -> Any:
    """Value of one document, without its marker, or ``DECLINED``. Parts of it are shared with
    values of other documents."""
    try:
        return _assembled(map(lines.__getitem__, text.rstrip("\n ").split("\n")))
    except _Doubt:
        return DECLINED


def _assembled(lines: Iterable[YamlLine]) -> Any:
    """The collections that the lines make. Most lines continue the mapping of the line before, so
    the loop handles them without calls."""
    root: dict[str, Any] = {}
    columns: list[int] = []  # of the collections that are open, outermost first
    collections: list[Any] = []
    sequence: list[Any]
    inner: list[Any]
    mapping, here = root, _NOTHING_OPEN  # keys in the column ``here`` go on in ``mapping``
    parent, name, below = root, NO_KEY, -1  # a collection behind ``below`` is the value of ``name``
    for start, dashes, column, key, value, opens in lines:
        if column != here or dashes:
            if len(columns) + dashes >= MAX_DEPTH:
                raise _Doubt
            if dashes:
                if start >= below:  # a dash may stand right below its key
                    parent[name] = sequence = []
                    columns.append(start)
                    collections.append(sequence)
                else:
                    sequence = _reopened(columns, collections, start, list)
                for behind in range(start + 2, column, 2):
                    sequence.append(inner := [])
                    columns.append(behind)
                    collections.append(sequence := inner)
                if not key:
                    sequence.append(value)
                    here = below = _NOTHING_OPEN
                    continue
                sequence.append(mapping := {})
                columns.append(column)
                collections.append(mapping)
            elif column > below:
                parent[name] = mapping = {}
                columns.append(column)
                collections.append(mapping)
            else:
                mapping = _reopened(columns, collections, column, dict)
            here = column
        if key in mapping:
            raise _Doubt
        mapping[key] = value
        parent, name, below = mapping, key, opens
    return root[NO_KEY]


def _reopened(columns: list[int], collections: list[Any], column: int, kind: type[Any]) -> Any:
    """The open collection of a kind at ``column``; those inside it are closed. A list right below
    its key, in the same column, ends at the next key there."""
    while columns and (
        columns[-1] > column
        or (columns[-1] == column and kind is dict and type(collections[-1]) is list)
    ):
        columns.pop()
        collections.pop()
    if not columns or columns[-1] != column or type(collections[-1]) is not kind:
        raise _Doubt
    return collections[-1]
