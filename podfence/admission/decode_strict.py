"""Strict decoding of what has Go structs: unknown fields, wrong JSON types, null items.

Rule: the server's text comes first, what would be right comes after ``; ``. This is the slow, exact
walk: it runs only over objects that do not conform to the schema as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import replace

from podfence.admission.gotime import time_complaint
from podfence.admission.refusals import quote, unescaped
from podfence.admission.schema import (
    LABEL_SELECTOR,
    NETWORK_POLICY,
    OBJECT_META,
    Anything,
    Boolean,
    Integer,
    IntOrString,
    ListOf,
    Struct,
    Text,
    TextMap,
    Timestamp,
    WireType,
)
from podfence.errors import Problem, Severity
from podfence.likeness import similar

_PLAIN_KEY = r"[A-Za-z0-9_-]+"
_LONGEST_SHOWN = 80


class _Cursor(msgspec.Struct, frozen=True):
    """Where the walk is. ``path`` has indexes; ``names`` and ``struct`` are as Go reports them.

    ``quote`` is how the server quotes an unknown field.
    """

    path: str = ""
    names: str = ""
    struct: str = ""
    quote: Callable[[str], str] = quote

    def field(self, struct: str, name: str) -> _Cursor:
        dot = "." if self.path else ""
        step = f"{dot}{name}" if re.fullmatch(_PLAIN_KEY, name) else bracketed(name)
        names = f"{self.names}.{name}" if self.names else name
        return _Cursor(f"{self.path}{step}", names, struct, self.quote)

    def index(self, index: int) -> _Cursor:
        return replace(self, path=f"{self.path}[{index}]")

    def key(self, key: str) -> _Cursor:
        return replace(self, path=f"{self.path}{bracketed(key)}")


def bracketed(key: str) -> str:
    """A map key as a step of a field path; quoted where the brackets alone would be ambiguous."""
    if key and key[0] != '"' and "]" not in key:
        return f"[{key}]"
    import json

    return f"[{json.dumps(key)}]"


def strict_problems(manifest: Mapping[str, Any]) -> Iterator[Problem]:
    """The findings of strict decoding for a NetworkPolicy manifest.

    PF201 unknown field, PF202 wrong type (both errors), PF204 null where a value belongs (warning).
    """
    yield from _walk(dict(manifest), NETWORK_POLICY, _Cursor())


def metadata_problems(metadata: Any) -> Iterator[Problem]:
    """The same about the metadata of a custom resource, which the server decodes by itself."""
    yield from _walk(metadata, OBJECT_META, _Cursor("metadata", quote=unescaped))


STRICT = "strict decoding error"


def _walk(value: Any, wire: WireType, cursor: _Cursor) -> Iterator[Problem]:
    if isinstance(wire, Struct) and isinstance(value, dict):
        yield from _walk_struct(value, wire, cursor)
    elif isinstance(wire, ListOf) and isinstance(value, list):
        yield from _walk_list(value, wire, cursor)
    elif isinstance(wire, TextMap) and isinstance(value, dict):
        yield from _walk_map(value, cursor)
    elif not wire.conforms(value):
        yield _wrong_type(value, wire, cursor)


def _walk_struct(value: dict[Any, Any], wire: Struct, cursor: _Cursor) -> Iterator[Problem]:
    for key, member in value.items():
        if not isinstance(key, str):
            yield _bad_key(key, cursor)
        elif key not in wire.fields:
            yield _unknown_field(key, wire, cursor)
        elif member is not None:
            yield from _walk(member, wire.fields[key], cursor.field(wire.name, key))


def _walk_list(value: list[Any], wire: ListOf, cursor: _Cursor) -> Iterator[Problem]:
    for index, item in enumerate(value):
        here = cursor.index(index)
        if item is None:
            yield _null(_null_item_text(cursor.names, wire.item), here)
        else:
            yield from _walk(item, wire.item, here)


def _walk_map(value: dict[Any, Any], cursor: _Cursor) -> Iterator[Problem]:
    for key, member in value.items():
        if not isinstance(key, str):
            yield _bad_key(key, cursor)
        elif member is None:
            text = 'null value is read as ""; give the value, or write "" if that is meant'
            yield _null(with_hint(text, missing_space(key)), cursor.key(key))
        elif not isinstance(member, str):
            yield _wrong_type(member, Text(), cursor.key(key))


# ---------------------------------------------------------------------------------- wrong types


def _wrong_type(value: Any, wire: WireType, cursor: _Cursor) -> Problem:
    text = _type_text(value, wire, cursor)
    hinted = with_hint(text, type_hint(value, wire))
    return Problem("PF202", Severity.ERROR, hinted, path=cursor.path)


def _type_text(value: Any, wire: WireType, cursor: _Cursor) -> str:
    if isinstance(wire, Timestamp) and isinstance(value, str):
        return time_complaint(value)
    where = f"Go struct field {cursor.struct}.{cursor.names}" if cursor.names else "Go value"
    return f"json: cannot unmarshal {_json_type(value, wire)} into {where} of type {wire.go}"


def _json_type(value: Any, wire: WireType) -> str:
    """Go's name of a JSON value's type; numbers that an integer field refuses are shown."""
    if is_number(value) and isinstance(wire, Integer | IntOrString):
        return f"number {plain(value)}"
    return json_type(value)


def json_type(value: Any) -> str:
    """The JSON type of a value, in Go's words."""
    if isinstance(value, bool):
        return "bool"
    if is_number(value):
        return "number"
    return {str: "string", list: "array", dict: "object", type(None): "null"}.get(
        type(value), type(value).__name__
    )


def is_number(value: Any) -> bool:
    """Whether a value is a JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain(value: Any) -> str:
    """A scalar as JSON shows it, cut to a readable length."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"of {value.bit_length()} bits"
    import json  # as Fields and validation: only bad input pays for it

    text = json.dumps(value) if isinstance(value, bool | int | float | str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."


def type_hint(value: Any, wire: WireType) -> str:
    """The right value in place of one of the wrong type; "" for no hint."""
    match wire:
        case Text() if isinstance(value, bool) or is_number(value):
            became = "boolean" if isinstance(value, bool) else "number"
            return f"unquoted, became {became} {plain(value)}: quote it"
        case Integer() | IntOrString():
            return _integer_hint(value)
        case ListOf():
            return 'expected a list, each item after "- "'
        case Struct():
            expected = f"expected an object with {_alternatives(list(wire.fields), 'or')}"
            return with_hint(expected, missing_space(value))
        case TextMap():
            return with_hint("expected an object of strings", missing_space(value))
        case Text():
            return "expected a string"
        case Timestamp():
            return "expected a time such as 2026-01-31T12:00:00Z"
        case Boolean():
            return "expected true or false"
        case Anything():
            return ""


_KEY_AND_VALUE = r"""["']?[A-Za-z0-9](?:[-\w./]*\w)?["']?:(?!//)\S"""


def missing_space(value: Any) -> str:
    """The hint for a text that was meant as ``key: value``, "" for any other."""
    if not isinstance(value, str) or not re.match(_KEY_AND_VALUE, value.lstrip()):
        return ""
    first, *_ = value.split()
    shown = first if len(first) <= _LONGEST_SHOWN else f"{first[:_LONGEST_SHOWN]}..."
    return f"a space is missing after the colon of `{shown}`"


def with_hint(text: str, hint: str) -> str:
    """The text, with the hint behind ``; `` if there is one."""
    return f"{text}; {hint}" if hint else text


def _integer_hint(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return f"expected an integer: {int(value)}" if abs(value) < 2**63 else ""
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return "quoted, became a string: remove the quotes"
    return "expected an integer"


def _bad_key(key: object, cursor: _Cursor) -> Problem:
    text = f"map key {plain(key)} is a {json_type(key)}, not a string; quote it"
    return Problem("PF202", Severity.ERROR, text, path=cursor.path)


# ------------------------------------------------------------------------------- unknown fields


def _unknown_field(key: str, wire: Struct, cursor: _Cursor) -> Problem:
    here = cursor.field(wire.name, key)
    dot = "." if cursor.path else ""
    text = f"{STRICT}: unknown field {cursor.quote(f'{cursor.path}{dot}{key}')}"
    hint = missing_space(key) or _field_hint(key, wire, cursor.names)
    return Problem("PF201", Severity.ERROR, with_hint(text, hint), path=here.path)


def _field_hint(key: str, wire: Struct, names: str) -> str:
    for name in wire.fields:
        if name.lower() == key.lower():
            return f'did you mean "{name}"? Case matters'
    if (key, names) == ("status", ""):
        return "NetworkPolicy has no status: delete it"
    if cursors := _known_fields().get(key):
        return f'"{key}" belongs in {_alternatives(_nearest(cursors, names), "or")}'
    if close := similar(key, wire.fields):
        return f'did you mean "{close[0]}"?'
    if wire is LABEL_SELECTOR:
        return 'labels go under "matchLabels"'
    return f"expected {_alternatives(list(wire.fields), 'or')}"


def _nearest(cursors: tuple[str, ...], names: str) -> list[str]:
    """The paths that share most with where the field was found, the least deep of them."""
    here = names.split(".")

    def shared(cursor: str) -> int:
        there = cursor.replace("[]", "").split(".")
        same = [mine == theirs for mine, theirs in zip(here, there, strict=False)]
        return same.index(False) if False in same else len(same)

    best = max((shared(cursor), -cursor.count(".")) for cursor in cursors)
    return [cursor for cursor in cursors if (shared(cursor), -cursor.count(".")) == best]


def _alternatives(words: list[str], conjunction: str) -> str:
    return f" {conjunction} ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _structs(wire: WireType, path: str) -> Iterator[tuple[str, Struct]]:
    if isinstance(wire, ListOf):
        yield from _structs(wire.item, f"{path}[]")
    elif isinstance(wire, Struct):
        yield path, wire
        for name, member in wire.fields.items():
            yield from _structs(member, f"{path}.{name}" if path else name)


@cache
def _known_fields() -> dict[str, tuple[str, ...]]:
    """Field name to every path of the schema that has such a field."""
    known: dict[str, list[str]] = {}
    for path, struct in _structs(NETWORK_POLICY, ""):
        for name in struct.fields:
            known.setdefault(name, []).append(path or "the object itself")
    return {name: tuple(paths) for name, paths in known.items()}


# ------------------------------------------------------------------------------------ null items

_NULL_ITEMS = {
    "spec.ingress": "null rule is read as {}: it allows every source and every port",
    "spec.egress": "null rule is read as {}: it allows every destination and every port",
    "spec.ingress.ports": "null port is read as {}: every TCP port",
    "spec.egress.ports": "null port is read as {}: every TCP port",
}


def _null_item_text(names: str, item: WireType) -> str:
    """NP-15a: the meaning of a null list item."""
    fallback = 'null item is read as ""' if isinstance(item, Text) else "null item is read as {}"
    return f"{_NULL_ITEMS.get(names, fallback)}; write what is meant or delete the lone dash"


def _null(text: str, cursor: _Cursor) -> Problem:
    return Problem("PF204", Severity.WARNING, text, path=cursor.path)
