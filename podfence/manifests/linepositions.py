"""Positions of fields in the plain block style, without composing nodes.

Rule: this finder answers only for text that the line reader accepts, and then as ``yamlpositions``
would. Importing PyYAML for the position of one field takes longer than answering the question.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

from podfence.manifests.fieldpaths import FieldSteps, PathStep
from podfence.manifests.yamllines import DECLINED, Lines, read_lines


class _Token(Struct, frozen=True):
    """A dash, a key, or a scalar that stands for itself. ``line`` and ``column`` from 0."""

    line: int
    column: int
    is_dash: bool
    key: str | None


def find_in_lines(
    text: str, steps: FieldSteps, lines: Lines, *, is_plain: bool = False
) -> tuple[int, int] | None:
    """Line and column, from 0, of the field or of its nearest existing parent; None for text that
    has to be composed. ``text``: a document without its marker. ``lines``: cached lines.
    ``is_plain``: the line reader is known to accept the text."""
    if not is_plain and read_lines(text, lines) is DECLINED:
        return None
    tokens = list(_tokens(text.rstrip("\n "), lines))
    token = 0
    start: int | None = 0
    for step in steps:
        if start is None or (found := _below(tokens, start, step)) is None:
            break
        token, start = found
    return tokens[token].line, tokens[token].column


def _tokens(text: str, lines: Lines) -> Iterator[_Token]:
    for number, line in enumerate(text.split("\n")):
        start, _, column, key, *_ = lines[line]
        for dash in range(start, column, 2):
            yield _Token(number, dash, True, None)
        yield _Token(number, column, False, key or None)


def _below(tokens: list[_Token], start: int, step: PathStep) -> tuple[int, int | None] | None:
    """Where a member of the collection at ``start`` stands, its key or the content of the element,
    and where its value begins (None: a scalar behind a key)."""
    members = _members(tokens, start)
    if tokens[start].is_dash:
        dash = next(islice(members, step, None), None) if isinstance(step, int) else None
        return None if dash is None else (dash + 1, dash + 1)
    key = next((at for at in members if tokens[at].key == str(step)), None)
    return None if key is None else (key, _value_of(tokens, key))


def _members(tokens: list[_Token], start: int) -> Iterator[int]:
    """The dashes or keys of the collection that begins at ``start``."""
    first = tokens[start]
    for at in range(start, len(tokens)):
        token = tokens[at]
        if token.column == first.column and token.is_dash == first.is_dash:
            yield at
        elif token.column < first.column or (token.column == first.column and first.is_dash):
            return  # a list right below its key ends at the next key in the same column


def _value_of(tokens: list[_Token], key: int) -> int | None:
    """Where the collection below a key begins, None where a scalar stands behind it."""
    if key + 1 == len(tokens):
        return None
    token, following = tokens[key], tokens[key + 1]
    right_below = following.is_dash and following.column == token.column
    return key + 1 if following.column > token.column or right_below else None
