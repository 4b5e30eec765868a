"""Positions inside JSON text that is known to be valid.

Rule: values are skipped by the C decoder, never walked in Python, except where repeated keys are
looked for; then one pass over the tokens does it.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from podfence.manifests.fieldpaths import FieldSteps, PathStep

T = TypeVar("T")

_CONTAINERS: Final = 64
"""The most objects and lists whose content is cached."""

_BLANK = re.compile(r"[ \t\n\r]*")
_COLON = re.compile(r"[ \t\n\r]*:?[ \t\n\r]*")
_COMMA = re.compile(r"[ \t\n\r]*,?[ \t\n\r]*")
_SKIPPER: Final = json.JSONDecoder(parse_int=str, parse_float=str)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[][{},]')


def skip_blank(text: str, offset: int) -> int:
    """Offset of the first character from ``offset`` that is not white space."""
    return _past(_BLANK, text, offset)


def _past(pattern: re.Pattern[str], text: str, offset: int) -> int:
    match = pattern.match(text, offset)
    return match.end() if match else offset


def line_and_column(text: str, start: int, offset: int) -> tuple[int, int]:
    """Lines from ``start`` down to ``offset``, and the column there in its line, from 1."""
    return text.count("\n", start, offset), offset - text.rfind("\n", 0, offset)


class JsonSpans:
    """Finds fields in one text. The content of the containers last used is cached, so that many
    questions about one long list cost one pass over it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._members: OrderedDict[int, dict[str, tuple[int, int]]] = OrderedDict()
        self._elements: OrderedDict[int, list[int]] = OrderedDict()

    def find(self, start: int, steps: FieldSteps) -> int:
        """Offset of the key or element that ``steps`` lead to, or of its nearest existing
        parent."""
        named = value = skip_blank(self._text, start)
        for step in steps:
            found = self._below(value, step)
            if found is None:
                break
            named, value = found
        return named

    def span(self, start: int, steps: FieldSteps) -> tuple[int, int]:
        """Offsets where a field begins and ends, key and value; of one that does not exist, where
        the name of its nearest existing parent does: nothing for the root, which has none."""
        root = named = value = skip_blank(self._text, start)
        for step in steps:
            found = self._below(value, step)
            if found is None:
                if named == root:
                    return root, root
                value = named
                break
            named, value = found
        return named, _SKIPPER.raw_decode(self._text, value)[1]

    def _below(self, offset: int, step: PathStep) -> tuple[int, int] | None:
        """Where a member (its key) or an element is named, and where its value begins."""
        if self._text.startswith("{", offset):
            return _kept(self._members, offset, self._members_at).get(str(step))
        if self._text.startswith("[", offset) and isinstance(step, int):
            elements = _kept(self._elements, offset, self._elements_at)
            if step < len(elements):
                return elements[step], elements[step]
        return None

    def items(self, start: int) -> list[int]:
        """Offset of each element of ``items`` of the object at ``start``, none if there is no
        list."""
        found = self._below(skip_blank(self._text, start), "items")
        if found is None or not self._text.startswith("[", found[1]):
            return []
        return self._elements_at(found[1])

    def _members_at(self, offset: int) -> dict[str, tuple[int, int]]:
        """Of a repeated key the last one counts."""
        return {key: (at, value) for key, at, value in _members(self._text, offset)}

    def _elements_at(self, offset: int) -> list[int]:
        return list(_elements(self._text, offset))


def _kept(kept: OrderedDict[int, T], offset: int, make: Callable[[int], T]) -> T:
    if offset not in kept:
        kept[offset] = make(offset)
        if len(kept) > _CONTAINERS:
            kept.popitem(last=False)
    kept.move_to_end(offset)
    return kept[offset]


def _members(text: str, offset: int) -> Iterator[tuple[str, int, int]]:
    """Key, offset of the key and offset of the value of each member of an object."""
    at = skip_blank(text, offset + 1)
    while text[at] == '"':
        key, end = _SKIPPER.raw_decode(text, at)
        value = _past(_COLON, text, end)
        yield key, at, value
        at = _after(text, value)


def _elements(text: str, offset: int) -> Iterator[int]:
    """Offset of each element of the array at ``offset``."""
    at = skip_blank(text, offset + 1)
    while text[at] != "]":
        yield at
        at = _after(text, at)


def _after(text: str, value: int) -> int:
    """Offset of what follows a value and its comma."""
    return _past(_COMMA, text, _SKIPPER.raw_decode(text, value)[1])


class _Frame:
    """An open object or array: keys seen with their offsets, and the step it stands at."""

    __slots__ = ("expects_key", "keys", "step")

    def __init__(self, *, is_object: bool) -> None:
        self.keys: dict[str, int] | None = {} if is_object else None
        self.expects_key = is_object
        self.step: PathStep = "" if is_object else 0

    def next(self) -> None:
        """Go on after a comma."""
        self.expects_key = self.keys is not None
        if isinstance(self.step, int):
            self.step += 1


def repeated_keys(text: str) -> Iterator[tuple[FieldSteps, int, int]]:
    """Path, first offset and later offset of each key that an object already has."""
    stack: list[_Frame] = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "{[":
            stack.append(_Frame(is_object=token == "{"))
        elif token in "}]":
            stack.pop()
        elif token == ",":
            stack[-1].next()
        elif stack and stack[-1].expects_key:
            yield from _key(stack, token, match.start())


def _key(stack: list[_Frame], token: str, offset: int) -> Iterator[tuple[FieldSteps, int, int]]:
    frame = stack[-1]
    key = json.loads(token)
    frame.step, frame.expects_key = key, False
    first = (frame.keys or {}).get(key)
    if first is not None:
        yield tuple(each.step for each in stack), first, offset
    elif frame.keys is not None:
        frame.keys[key] = offset
