"""JSON text, one value or many, to plain values.

Rule: valid input is decoded once by msgspec; only input that it refuses is read piece by piece.
Repeated keys are found by counting: every key has one colon, so if the value, written again, has as
many colons as the text, no key was lost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from podfence.manifests.jsonpositions import line_and_column, repeated_keys, skip_blank
from podfence.manifests.parsed import (
    MAX_DEPTH,
    MAX_FINDINGS,
    Parsed,
    ParseProblem,
    surely_shallow,
    unreadable,
)
from podfence.manifests.yamlscalars import as_json, fits_64_bits, shown

_NEXT_START = re.compile(r"^(?=\{)", re.MULTILINE)
_ESCAPED_COLON = re.compile(r"\\u003[aA]")


class _BadNumber(ValueError):
    """A number that JSON does not have, or that no float can represent; ``token`` is its text."""

    def __init__(self, token: str, message: str) -> None:
        super().__init__(message)
        self.token = token


def _refuse_constant(text: str) -> Any:
    raise _BadNumber(text, f"{text} is not a number that JSON has: quote it")


def _integer(text: str) -> int | float:
    """Integers beyond 64 bits become floats, as they do at the API server."""
    if len(text) <= _LONGEST_INTEGER and fits_64_bits(value := int(text)):
        return value
    return _float(text)


_LONGEST_INTEGER: Final = len(str(-(2**64)))


def _float(text: str) -> float | int:
    """A number with a fraction or an exponent; the integer where kubectl would send one."""
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _BadNumber(text, f"the number {shown(text, 20)} is out of range: quote it")
    number: float | int = as_json(value)
    return number


_DECODER: Final = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_int=_integer, parse_float=_float
)


class JsonDocument(Struct, frozen=True):
    """One value of a JSON stream: offsets of its text, its first line, and its value."""

    start: int
    end: int
    line: int
    parsed: Parsed


def read_json(text: str, first_line: int, *, many: bool = True) -> list[JsonDocument]:
    """Every value of ``text``, which begins on ``first_line`` of its file.

    Values may follow one another with or without newlines. A broken one is reported, and reading
    goes on at the next line that begins with a brace. ``many``: whether kubectl reads more than the
    first; else the others are reported.
    """
    start = skip_blank(text, 0)
    line = first_line + text.count("\n", 0, start)
    try:
        parsed = _list_of_texts(text) or _checked(READER.decode(text), text, line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        found = list(_stream(text, start, line))
        return found if many else [found[0], *map(_not_first, found[1:])]
    return [JsonDocument(start, len(text), line, parsed)]


def _not_first(document: JsonDocument) -> JsonDocument:
    return replace(document, parsed=unreadable("PF101", _NOT_FIRST, document.line, 1))


_NOT_FIRST: Final = (
    "kubectl reads only the first JSON value of this document, because a comment or another "
    'document stands before it: write "---" before this one'
)


def _list_of_texts(text: str) -> Parsed | None:
    """A List whose items are texts, all valid JSON; None for any other value, and for one with
    findings.

    A large cluster is one List. The values of its items take several times the memory of the text,
    and most of the time that reading takes goes into getting that memory.
    """
    if not surely_shallow(text) or _ESCAPED_COLON.search(text):
        return None
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        if bytes(members["kind"]) != b'"List"':
            return None
        items = msgspec.json.decode(members.pop("items"), type=list[msgspec.Raw])
        value: dict[str, Any] = {k: READER.decode(raw) for k, raw in members.items()}
        colons = 1 + _colons(value) + sum(_colons(READER.decode(item)) for item in items)
    except (KeyError, msgspec.ValidationError, UnicodeEncodeError):
        return None
    return Parsed({**value, "items": items}) if colons == text.count(":") else None


READER: Final = msgspec.json.Decoder(float_hook=_float)
"""Decodes one valid value."""
_ENCODER: Final = msgspec.json.Encoder()


def _colons(value: Any) -> int:
    """The number of colons in the text of a value without repeated keys."""
    return _ENCODER.encode(value).count(b":")


def _stream(text: str, start: int, line: int) -> Iterator[JsonDocument]:
    failures = 0
    while start < len(text):
        end, parsed = _one(text, start, line)
        failures += not parsed.readable
        if failures > MAX_FINDINGS:  # each costs a search through the text: no further
            end, parsed = len(text), unreadable("PF105", _TOO_BROKEN, line, 1)
        yield JsonDocument(start, end, line, parsed)
        following = skip_blank(text, end)
        line += text.count("\n", start, following)
        start = following


def _one(text: str, start: int, line: int) -> tuple[int, Parsed]:
    """The value at ``start`` and its end; after an error, where reading can continue."""
    try:
        value, end = _DECODER.raw_decode(text, start)
        return end, _checked(value, text[start:end], line)
    except _BadNumber as error:
        code, message, offset = "PF108", str(error), text.find(error.token, start)
    except json.JSONDecodeError as error:
        code, message, offset = "PF101", f"invalid JSON: {_sentence(error.msg)}", error.pos
    except RecursionError:
        code, message, offset = "PF105", _TOO_DEEP, start
    resume = _NEXT_START.search(text, max(offset, start + 1))
    below, column = line_and_column(text, start, offset)
    end = resume.start() if resume else len(text)
    return end, unreadable(code, message, line + below, column)


_TOO_BROKEN: Final = (
    f"more than {MAX_FINDINGS} broken JSON values: the rest of the file is not read"
)
_TOO_DEEP: Final = f"nested more than {MAX_DEPTH} levels deep: no Kubernetes object is"


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:]


def _checked(value: Any, text: str, line: int) -> Parsed:
    """The value, with repeated keys reported; refused if it is too deep or not Unicode."""
    if not surely_shallow(text) and not _shallow(value):
        return unreadable("PF105", _TOO_DEEP, line, 1)
    try:
        colons = _colons(value)
    except UnicodeEncodeError:
        message = "a \\ud800 to \\udfff escape is not half of a pair: correct the character"
        return unreadable("PF108", message, line, 1)
    parsed = Parsed(value)
    if colons != text.count(":") or _ESCAPED_COLON.search(text):
        parsed.findings.extend(_duplicates(text, line))
    return parsed


def _shallow(value: Any) -> bool:
    """Whether no more than ``MAX_DEPTH`` mappings and lists nest."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [x for item in level for x in _children(item)]
        if not level:
            return True
    return False


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [x for x in value.values() if isinstance(x, (dict, list))]
    if isinstance(value, list):
        return [x for x in value if isinstance(x, (dict, list))]
    return []


def _duplicates(text: str, line: int) -> Iterator[ParseProblem]:
    for count, (steps, first, second) in enumerate(repeated_keys(text)):
        if count == MAX_FINDINGS:
            return
        first_below, first_column = line_and_column(text, 0, first)
        below, column = line_and_column(text, 0, second)
        where = f"it is already set at line {line + first_below}, column {first_column}"
        message = f'duplicate field "{{path}}": {where}; keep one of the two'
        yield ParseProblem("PF102", message, line + below, column, steps)
