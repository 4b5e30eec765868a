"""Shapes of custom resources: what their schema admits, and the server's texts where it does not.

Rule: the part of structural schemas that podfence's kinds need, as data, and one walk over it. The
server drops a null field before it looks (``without_nulls``), refuses unknown fields when it is
strict, and names every violation in generic words. An ``Object`` that is ``open`` may be written
for a newer schema: a single field that is not known is then no error, but a remark (CNP-25).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from podfence.admission.decode_strict import bracketed, json_type, plain
from podfence.admission.validate import quote
from podfence.errors import Problem, Severity

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
FAILS_CLOSED = "its rule fails closed: Accept matches nothing, Deny and Pass deny everything"

Check = Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """A validation rule of the schema: it is broken when ``holds`` is false of a value.

    ``at`` is the field to name where the server names none: a rule of the whole object.
    """

    text: str
    holds: Check
    at: str = ""


def never(value: Any) -> bool:
    """False: the check of what no value is."""
    return False


def _no_hint(text: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class String:
    """A string."""

    enum: tuple[str, ...] = ()
    """Empty: any."""
    longest: int | None = None
    """In characters."""
    pattern: str = ""
    """As published."""
    rule: Rule | None = None
    stored_before: Check = never
    """Of values that are refused: whether an older version of the schema stored them, so that it is
    clear what they mean."""
    hint: Callable[[str], str] = _no_hint
    """What would be right instead of a value that is refused, "" when there is nothing to add."""


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer from ``least`` to ``most``."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class TextMap:
    """An object of strings."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something that is not looked into, or looked into elsewhere."""


@dataclass(frozen=True, slots=True)
class Array:
    """A list of ``least`` to ``most`` items (None: no bound); ``distinct`` ones if it is a set."""

    item: CrdType
    least: int = 0
    most: int | None = None
    distinct: bool = False


@dataclass(frozen=True, slots=True)
class Object:
    """An object with known fields, of which ``least`` to ``most`` are given (None: no bound).

    ``open``: a single unknown field makes it unknown as a whole. ``hints``: what to write instead
    of a field that older versions had.
    """

    fields: Mapping[str, CrdType] = field(hash=False)
    required: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None
    open: bool = False
    defaults: Mapping[str, str] = field(default_factory=dict, hash=False)
    hints: Mapping[str, str] = field(default_factory=dict, hash=False)
    rule: Rule | None = None
    stored_before: Check = never
    """Of values that break the rule: as for ``String``."""

    def unknown_field(self, value: Mapping[Any, Any]) -> str | None:
        """The single field of an open object that nobody here knows, else None."""
        if not self.open or len(value) != 1:
            return None
        (name,) = value
        return name if isinstance(name, str) and name not in self.fields else None


CrdType = String | Integer | TextMap | Opaque | Array | Object

_GONE = "the API no longer has it: select namespaces by their own labels"
LABEL_SELECTOR = Object(
    {
        "matchLabels": TextMap(),
        "matchExpressions": Array(
            Object(
                {"key": String(), "operator": String(), "values": Array(String())},
                required=("key", "operator"),
            )
        ),
    },
    hints=dict.fromkeys(("sameLabels", "notSameLabels"), _GONE),
)


def without_nulls(value: Any, schema: CrdType) -> Any:
    """A copy as the server sees it: known fields that are null are gone, defaults are filled in."""
    if isinstance(value, dict) and isinstance(schema, Object):
        fields = schema.fields
        kept = {
            name: without_nulls(member, fields[name]) if name in fields else member
            for name, member in value.items()
            if member is not None or name not in fields
        }
        return {**schema.defaults, **kept}
    if isinstance(value, dict) and isinstance(schema, TextMap):
        return {name: member for name, member in value.items() if member is not None}
    if isinstance(value, list) and isinstance(schema, Array):
        return [without_nulls(item, schema.item) for item in value]
    return value


def dropped_labels(value: Any, schema: CrdType, path: str = "") -> Iterator[Problem]:
    """A warning (PF204) for every label requirement whose value is null: it is not stored."""
    if isinstance(value, dict) and isinstance(schema, Object):
        for name, member_schema in schema.fields.items():
            if name in value:
                yield from dropped_labels(value[name], member_schema, member_path(path, name))
    elif isinstance(value, list) and isinstance(schema, Array):
        for index, item in enumerate(value):
            yield from dropped_labels(item, schema.item, f"{path}[{index}]")
    elif isinstance(value, dict) and isinstance(schema, TextMap):
        for name, member in value.items():
            if member is None and isinstance(name, str):
                text = (
                    "null value: the server drops this label, and the selector selects more; "
                    'give the value, or write "" if that is meant'
                )
                yield Problem("PF204", Severity.WARNING, text, path=f"{path}{bracketed(name)}")


def crd_problems(value: Any, schema: CrdType, path: str = "") -> Iterator[Problem]:
    """Everything that the server has against a value of which nulls are gone, place by place.

    PF201 unknown field, PF202 wrong type, PF203 violation (errors), PF209 unknown element (a
    warning). A rule of the schema is judged where all parts that it may look at are sound; the
    server judges none as long as anything else is wrong.
    """
    match schema:
        case Object() if isinstance(value, dict):
            yield from _object(value, schema, path)
        case Array() if isinstance(value, list):
            yield from _array(value, schema, path)
        case TextMap() if isinstance(value, dict):
            yield from _text_map(value, path)
        case String() if isinstance(value, str):
            yield from _string(value, schema, path)
        case Integer() if type(value) is int or (isinstance(value, float) and value.is_integer()):
            yield from _integer(int(value), schema, path)
        case Opaque():
            pass
        case _:
            yield _wrong_type(value, schema, path)


def member_path(path: str, name: str) -> str:
    """The path of a field; names that would make it ambiguous are bracketed."""
    if _PLAIN_KEY.fullmatch(name):
        return f"{path}.{name}" if path else name
    return f"{path}{bracketed(name)}"


# --------------------------------------------------------------------------------------- texts

_REASONS = {
    "Required value": "FieldValueRequired",
    "Invalid value": "FieldValueInvalid",
    "Unsupported value": "FieldValueNotSupported",
    "Duplicate value": "FieldValueDuplicate",
    "Too long": "FieldValueTooLong",
    "Too many": "FieldValueTooMany",
}
_TYPE_NAMES: Mapping[type[CrdType], str] = {
    String: "string",
    Integer: "integer",
    TextMap: "object",
    Object: "object",
    Array: "array",
}


def refused(path: str, kind: str, *details: str) -> Problem:
    """A PF203 error in the server's form."""
    text = ": ".join((path, kind, *details))
    return Problem("PF203", Severity.ERROR, text, path=path, reason=_REASONS[kind])


def _invalid(path: str, shown: str, detail: str) -> Problem:
    return refused(path, "Invalid value", shown, f"{path} in body {detail}")


def _too_many(path: str, count: int, most: int) -> Problem:
    items = "item" if most == 1 else "items"
    return refused(path, "Too many", str(count), f"must have at most {most} {items}")


def _broken(rule: Rule, path: str, type_name: str) -> Problem:
    return refused(path or rule.at, "Invalid value", quote(type_name), rule.text)


def _wrong_type(value: Any, schema: CrdType, path: str, shown_path: str = "") -> Problem:
    given, shown = quote(_type_name(value)), shown_path or path
    wanted = _TYPE_NAMES[type(schema)]
    text = f"{shown}: Invalid value: {given}: {shown} in body must be of type {wanted}: {given}"
    if hint := _type_hint(value, schema):
        text = f"{text}; {hint}"
    return Problem("PF202", Severity.ERROR, text, path=path, reason="FieldValueTypeInvalid")


def _type_name(value: Any) -> str:
    """The type of a value as schemas call it."""
    name = json_type(value)
    return {"bool": "boolean", "number": "integer" if type(value) is int else name}.get(name, name)


def _type_hint(value: Any, schema: CrdType) -> str:
    if isinstance(schema, String) and isinstance(value, bool | int | float):
        return f"unquoted, became {_type_name(value)} {plain(value)}: quote it"
    if isinstance(schema, Integer) and isinstance(value, str) and value.isdecimal():
        return "quoted, became a string: remove the quotes"
    return 'expected a list, each item after "- "' if isinstance(schema, Array) else ""


def _bad_key(key: object, path: str) -> Problem:
    text = f"map key {plain(key)} is a {json_type(key)}, not a string; quote it"
    return Problem("PF202", Severity.ERROR, text, path=path)


# ------------------------------------------------------------------------------------- the walk


def _string(text: str, schema: String, path: str) -> Iterator[Problem]:
    for problem in _string_faults(text, schema, path):
        if hint := schema.hint(text):
            problem = replace(problem, message=f"{problem.message}; {hint}")
        yield replace(problem, refused_only=True) if schema.stored_before(text) else problem


def _string_faults(text: str, schema: String, path: str) -> Iterator[Problem]:
    if schema.enum and text not in schema.enum:
        supported = ", ".join(map(quote, schema.enum))
        yield refused(path, "Unsupported value", quote(text), f"supported values: {supported}")
    if schema.longest is not None and len(text) > schema.longest:
        yield refused(path, "Too long", f"may not be more than {schema.longest} bytes")
    elif schema.pattern and not re.fullmatch(schema.pattern, text):
        yield _invalid(path, quote(text), f"should match '^{schema.pattern}$'")
    elif schema.rule and not schema.rule.holds(text):
        yield _broken(schema.rule, path, "string")


def _integer(number: int, schema: Integer, path: str) -> Iterator[Problem]:
    if number < schema.least:
        detail = f"should be greater than or equal to {schema.least}"
        yield _invalid(path, plain(number), detail)
    elif number > schema.most:
        yield _invalid(path, plain(number), f"should be less than or equal to {schema.most}")


def _text_map(value: dict[Any, Any], path: str) -> Iterator[Problem]:
    for key, member in value.items():
        if not isinstance(key, str):
            yield _bad_key(key, path)
        elif not isinstance(member, str):
            yield _wrong_type(member, String(), f"{path}{bracketed(key)}", f"{path}.{key}")


def _array(items: list[Any], schema: Array, path: str) -> Iterator[Problem]:
    if schema.most is not None and len(items) > schema.most:
        yield _too_many(path, len(items), schema.most)
    if len(items) < schema.least:
        yield _invalid(path, str(len(items)), f"should have at least {schema.least} items")
    for index, item in enumerate(items):
        yield from crd_problems(item, schema.item, f"{path}[{index}]")
    if schema.distinct:
        yield from _duplicates(items, path)


def _duplicates(items: list[Any], path: str) -> Iterator[Problem]:
    """A value that occurs several times is named once, at its second place."""
    seen: Counter[str] = Counter()
    for index, item in enumerate(items):
        if isinstance(item, str):
            seen[item] += 1
            if seen[item] == 2:
                yield refused(f"{path}[{index}]", "Duplicate value", quote(item))


def _object(value: dict[Any, Any], schema: Object, path: str) -> Iterator[Problem]:
    if (unknown := schema.unknown_field(value)) is not None:
        yield _unknown_element(unknown, schema, path)
        return
    found = [*_names(value, schema, path), *_bounds(value, schema, path)]
    for name, member_schema in schema.fields.items():
        here = member_path(path, name)
        if name in value:
            found += crd_problems(value[name], member_schema, here)
        elif name in schema.required:
            found.append(refused(here, "Required value"))
    yield from found
    sound = all(p.code not in ("PF202", "PF203") or p.refused_only for p in found)
    if schema.rule and sound and not schema.rule.holds(value):
        broken = _broken(schema.rule, path, "object")
        yield replace(broken, refused_only=True) if schema.stored_before(value) else broken


def _names(value: dict[Any, Any], schema: Object, path: str) -> Iterator[Problem]:
    for name in value:
        if not isinstance(name, str):
            yield _bad_key(name, path)
        elif name not in schema.fields:
            yield _unknown_field(name, schema, path)


def _bounds(value: dict[Any, Any], schema: Object, path: str) -> Iterator[Problem]:
    known = sum(name in schema.fields for name in value)
    if known < schema.least:
        yield _invalid(path, str(known), f"should have at least {schema.least} properties")
    if schema.most is not None and known > schema.most:
        yield _too_many(path, known, schema.most)


# ------------------------------------------------------------------------------- unknown fields


def _unknown_field(name: str, schema: Object, path: str) -> Problem:
    text = f"unknown field {_shown(name, path)}; {_hint(name, schema)}"
    return Problem("PF201", Severity.ERROR, text, path=member_path(path, name))


def _unknown_element(name: str, schema: Object, path: str) -> Problem:
    text = f"unknown field {_shown(name, path)}: {FAILS_CLOSED}; {_hint(name, schema)}"
    return Problem("PF209", Severity.WARNING, text, path=member_path(path, name))


def _shown(name: str, path: str) -> str:
    return quote(f"{path}.{name}" if path else name)


def _hint(name: str, schema: Object) -> str:
    for known in schema.fields:
        if known.lower() == name.lower():
            return f'did you mean "{known}"? Case matters'
    if name in schema.hints:
        return schema.hints[name]
    if close := get_close_matches(name, schema.fields, n=1):
        return f'did you mean "{close[0]}"?'
    if schema is LABEL_SELECTOR:
        return 'labels go under "matchLabels"'
    *others, last = schema.fields
    return f"expected {', '.join(others)} or {last}" if others else f"expected {last}"
