"""The server's errors about a custom resource that does not have the shape of its schema.

Rule: one walk over the shapes. The server drops a null field before it looks (``without_nulls``),
refuses unknown fields when it is strict, and names every violation in generic words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from podfence.admission.crd_shapes import (
    LABEL_SELECTOR,
    Array,
    BoundedInteger,
    CrdType,
    Object,
    Opaque,
    String,
    StringMap,
    Unstored,
    ValidationRule,
)
from podfence.admission.decode_strict import (
    STRICT,
    bracketed,
    is_number,
    json_type,
    missing_space,
    plain,
    with_hint,
)
from podfence.admission.refusals import (
    quote,
    refused,
    required,
    shown_number,
    unescaped,
    unsupported,
)
from podfence.admission.schema import INT64
from podfence.errors import Problem, Severity
from podfence.likeness import similar

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
FAILS_CLOSED = "its rule fails closed: Accept matches nothing, Deny and Pass deny everything"


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
    if isinstance(value, dict) and isinstance(schema, StringMap):
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
    elif isinstance(value, dict) and isinstance(schema, StringMap):
        for name, member in value.items():
            if member is None and isinstance(name, str):
                text = (
                    "null value: the server drops this label, and the selector selects more; "
                    'give the value, or write "" if that is meant'
                )
                text = with_hint(text, missing_space(name))
                yield Problem("PF204", Severity.WARNING, text, path=f"{path}{bracketed(name)}")


def crd_problems(value: Any, schema: CrdType, path: str = "") -> Iterator[Problem]:
    """Everything that the server has against a value of which nulls are gone, path by path.

    PF201 unknown field, PF202 wrong type, PF203 violation: all are errors. A rule of the schema is
    evaluated only if no error in its fields keeps the server from evaluating rules; the server then
    evaluates none of the object.
    """
    match schema:
        case Object() if isinstance(value, dict):
            yield from _object(value, schema, path)
        case Array() if isinstance(value, list):
            yield from _array(value, schema, path)
        case StringMap() if isinstance(value, dict):
            yield from _text_map(value, path)
        case String() if isinstance(value, str):
            yield from _string(value, schema, path)
        case BoundedInteger() if _is_whole(value):
            yield from _integer(value, schema, path)
        case Opaque():
            pass
        case Unstored():
            yield from _unknown_fields(value, schema.value, path)
        case _:
            yield _wrong_type(value, schema, path)


def _is_whole(value: Any) -> bool:
    """Whether the server reads a number as an integer of 64 bits."""
    if isinstance(value, float):
        return value.is_integer() and INT64.start <= value < INT64.stop
    return type(value) is int and value in INT64


def member_path(path: str, name: str) -> str:
    """The path of a field; ambiguous names are in brackets."""
    if _PLAIN_KEY.fullmatch(name):
        return f"{path}.{name}" if path else name
    return f"{path}{bracketed(name)}"


# --------------------------------------------------------------------------------------- texts

_BLOCKING = frozenset(
    {"FieldValueRequired", "FieldValueNotSupported", "FieldValueTooLong", "FieldValueTooMany"}
)
"""Errors besides wrong types that keep rules from being evaluated."""
_TYPE_NAMES: Mapping[type[CrdType], str] = {
    String: "string",
    BoundedInteger: "integer",
    StringMap: "object",
    Object: "object",
    Array: "array",
}


def _invalid(path: str, shown: str, detail: str) -> Problem:
    return refused(path, "Invalid value", shown, f"{path} in body {detail}")


def _too_many(path: str, count: int, most: int) -> Problem:
    items = "item" if most == 1 else "items"
    return refused(path, "Too many", str(count), f"must have at most {most} {items}")


def _broken(rule: ValidationRule, path: str, *shown: str) -> Problem:
    """The value itself is shown where it is a scalar."""
    return refused(path or rule.at, "Invalid value", *shown, rule.text)


def _wrong_type(value: Any, schema: CrdType, path: str, shown_path: str = "") -> Problem:
    shown = shown_path or path
    given, wanted = quote(_type_name(value)), _TYPE_NAMES[type(schema)]
    if isinstance(schema, BoundedInteger) and isinstance(value, bool | dict | float | int):
        # The server reports the format if it cannot compare the types.
        given, wanted = quote("float64" if is_number(value) else ""), "int32"
    text = f"{shown}: Invalid value: {given}: {shown} in body must be of type {wanted}: {given}"
    text = with_hint(text, _type_hint(value, schema))
    return Problem("PF202", Severity.ERROR, text, path=path, reason="FieldValueTypeInvalid")


def _type_name(value: Any) -> str:
    """The type of a value as schemas call it; an integer of more than 64 bits is a number."""
    if type(value) is int and value in INT64:
        return "integer"
    name = json_type(value)
    return "boolean" if name == "bool" else name


def _type_hint(value: Any, schema: CrdType) -> str:
    if isinstance(schema, String) and isinstance(value, bool | int | float):
        return f"unquoted, became {_type_name(value)} {plain(value)}: quote it"
    if isinstance(schema, BoundedInteger) and isinstance(value, str) and value.isdecimal():
        return "quoted, became a string: remove the quotes"
    if isinstance(schema, Object | StringMap):
        return missing_space(value)
    return 'expected a list, each item after "- "' if isinstance(schema, Array) else ""


def _bad_key(key: object, path: str) -> Problem:
    text = f"map key {plain(key)} is a {json_type(key)}, not a string; quote it"
    return Problem("PF202", Severity.ERROR, text, path=path)


# ------------------------------------------------------------------------------------- the walk


def _string(text: str, schema: String, path: str) -> Iterator[Problem]:
    for problem in _string_faults(text, schema, path):
        problem = replace(problem, message=with_hint(problem.message, schema.hint(text)))
        yield replace(problem, refused_only=True) if schema.stored_before(text) else problem


def _string_faults(text: str, schema: String, path: str) -> Iterator[Problem]:
    if schema.enum and text not in schema.enum:
        yield unsupported(path, quote(text), schema.enum)
    if schema.longest is not None and len(text) > schema.longest:
        yield refused(path, "Too long", f"may not be more than {schema.longest} bytes")
    elif schema.pattern and not re.fullmatch(schema.pattern, text):
        yield _invalid(path, quote(text), f"should match '^{schema.pattern}$'")
    elif schema.rule and not schema.rule.holds(text):
        yield _broken(schema.rule, path, quote(text))


def _integer(number: int | float, schema: BoundedInteger, path: str) -> Iterator[Problem]:
    if number < schema.least:
        detail = f"should be greater than or equal to {schema.least}"
        yield _invalid(path, shown_number(number), detail)
    elif number > schema.most:
        yield _invalid(path, shown_number(number), f"should be less than or equal to {schema.most}")


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
    """A value that occurs several times is named once, at its second index."""
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
            found.append(required(here))
    yield from found
    if schema.rule and not any(p.code == "PF202" or p.reason in _BLOCKING for p in found):
        yield from _judged(value, schema, schema.rule, path)


def _judged(
    value: dict[Any, Any], schema: Object, rule: ValidationRule, path: str
) -> Iterator[Problem]:
    if any(isinstance(value[name], float) for name in rule.compares):
        detail = f"invalid data, expected int, got float64 evaluating rule: {rule.text}"
        problem = refused(path, "Invalid value", quote("object"), detail)
        yield replace(problem, refused_only=rule.holds(value))
    elif not rule.holds(value):
        yield replace(_broken(rule, path), refused_only=schema.stored_before(value))


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
    text = with_hint(f"{STRICT}: unknown field {_shown(name, path)}", _hint(name, schema))
    return Problem("PF201", Severity.ERROR, text, path=member_path(path, name))


def _unknown_element(name: str, schema: Object, path: str) -> Problem:
    """A server with a newer schema stores it, and then ``FAILS_CLOSED`` holds."""
    problem = _unknown_field(name, schema, path)
    text = f"{problem.message}; a server that has it stores it: {FAILS_CLOSED}"
    return replace(problem, message=text, refused_only=True)


def _unknown_fields(value: Any, schema: CrdType, path: str) -> Iterator[Problem]:
    """Unknown fields at any depth; the server reports none inside a value that should not be an
    object."""
    if isinstance(value, list):
        item = schema.item if isinstance(schema, Array) else _EMPTY
        for index, member in enumerate(value):
            yield from _unknown_fields(member, item, f"{path}[{index}]")
    elif isinstance(value, dict):
        known = schema if isinstance(schema, Object) else _EMPTY
        for name, member in value.items():
            if not isinstance(name, str):
                yield _bad_key(name, path)
            elif name in known.fields:
                yield from _unknown_fields(member, known.fields[name], member_path(path, name))
            else:
                yield _unknown_field(name, known, path)


_EMPTY = Object({})


def _shown(name: str, path: str) -> str:
    return unescaped(f"{path}.{name}" if path else name)


def _hint(name: str, schema: Object) -> str:
    if hint := missing_space(name):
        return hint
    for known in schema.fields:
        if known.lower() == name.lower():
            return f'did you mean "{known}"? Case matters'
    if name in schema.hints:
        return schema.hints[name]
    if close := similar(name, schema.fields):
        return f'did you mean "{close[0]}"?'
    if schema is LABEL_SELECTOR:
        return 'labels go under "matchLabels"'
    *others, last = schema.fields or ("",)
    expected = f"{', '.join(others)} or {last}" if others else last
    return f"expected {expected}" if expected else ""
