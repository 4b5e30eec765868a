"""The server's errors about a field, as text and as problems (PF203).

Rule: one form for all kinds: path, sort of error, value where the server shows it, what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from podfence.errors import Problem, Severity

_REASONS = {
    "Required value": "FieldValueRequired",
    "Invalid value": "FieldValueInvalid",
    "Unsupported value": "FieldValueNotSupported",
    "Duplicate value": "FieldValueDuplicate",
    "Forbidden": "FieldValueForbidden",
    "Too long": "FieldValueTooLong",
    "Too many": "FieldValueTooMany",
}


def refused(path: str, kind: str, *details: str) -> Problem:
    """A PF203 error; empty details are left out."""
    text = ": ".join(filter(None, (path, kind, *details)))
    return Problem("PF203", Severity.ERROR, text, path=path, reason=_REASONS[kind])


def required(path: str, detail: str = "") -> Problem:
    """A value has to be given."""
    return refused(path, "Required value", detail)


def forbidden(path: str, detail: str) -> Problem:
    """A value may not be given."""
    return refused(path, "Forbidden", detail)


def invalid(path: str, value: Any, *details: str) -> list[Problem]:
    """An error for each thing that is wrong with a value."""
    return [refused(path, "Invalid value", _printed(value), detail) for detail in details]


def unsupported(path: str, shown: str, supported: Iterable[str]) -> Problem:
    """A value, as it is shown, is none of those that there are."""
    known = ", ".join(map(quote, supported))
    return refused(path, "Unsupported value", shown, f"supported values: {known}")


# ---------------------------------------------------------------------------- values, as Go shows

_PLAIN = r"[ !#-\[\]-~]*"
_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f",
    "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip
_HTML = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})
"""Go's JSON is safe inside HTML."""


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"  # what the server's JSON reader makes of half a surrogate pair
    if char.isprintable():
        return char
    return (
        f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"
    )


def quote(text: str) -> str:
    """A string in the server's quotes (Go's ``%q``)."""
    return f'"{text if re.fullmatch(_PLAIN, text) else "".join(map(_escape, text))}"'


def unescaped(text: str) -> str:
    """A string in quotes that hide nothing: the names of unknown fields of custom resources."""
    return f'"{text}"'


def shown_number(value: float) -> str:
    """A number as Go prints it: a float of seven digits or more has an exponent (``%v``)."""
    if isinstance(value, int):
        return str(value)
    if 1e-4 <= abs(value) < 1e6 or not value:
        return f"{value:.17g}" if value.is_integer() else repr(value)
    from decimal import Decimal

    _, digits, power = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(power, int), "neither infinite nor no number"
    head, *tail = map(str, digits)
    sign = "-" if value < 0 else ""
    return f"{sign}{'.'.join(filter(None, (head, ''.join(tail))))}e{power + len(tail):+03d}"


def _printed(value: Any) -> str:
    return quote(value) if isinstance(value, str) else in_json(value)


def in_json(value: Any) -> str:
    """A value that is no plain string of Go, but a list, an object or a string of a named type."""
    if isinstance(value, str):
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    import json

    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(_HTML)
