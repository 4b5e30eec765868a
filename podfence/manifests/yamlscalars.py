"""The value that one YAML scalar has for kubectl.

Rule: a scalar becomes the JSON value that ``kubectl`` would send for the same text (the resolver of
sigs.k8s.io/yaml, which is goyaml.v2), not what YAML 1.1 or 1.2 says. Nothing in here knows about
files or nodes.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any, Final

TAG_PREFIX: Final = "tag:yaml.org,2002:"

_TRUE = "y Y yes Yes YES true True TRUE on On ON".split()
_FALSE = "n N no No NO false False FALSE off Off OFF".split()
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(_TRUE, True),
    **dict.fromkeys(_FALSE, False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}
_MEANINGFUL_FIRST: Final = frozenset("+-.0123456789yYnNtTfFoO~")
_INTEGER = r"(?a)([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]?([0-7]+)|(0|[1-9][0-9]*))"
_INTEGER_BASES: Final = (16, 2, 8, 10)
_FLOAT = r"(?a)[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_MAX_DIGITS: Final = 64 + 3
"""Longest spelling of a 64-bit integer: binary digits, ``0b`` and a sign; longer is no integer."""


class BadScalar(ValueError):
    """An explicit tag asks for a type that the text does not have, or JSON has no such value."""


def resolve_plain(text: str) -> Any:
    """Value of an unquoted scalar.

    ``y``/``n``/``on``/``off`` are booleans, ``0777`` and ``0o777`` are octal, ``1e3`` is a float,
    dates and ``1:30`` stay strings, and so does a number too large for a float.
    """
    if not text:
        return None
    if text[0] not in _MEANINGFUL_FIRST:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0].isalpha():
        return text
    # A leading dot skips the integer rules, and with them the removal of underscores.
    digits = text if text[0] == "." else text.replace("_", "")
    number: int | float | None = _integer(digits)
    if number is None:
        number = _float(digits)
    return text if number is None else number


def _integer(digits: str) -> int | None:
    """A signed or unsigned 64-bit integer, else ``None`` (kubectl then tries a float)."""
    if len(digits) > _MAX_DIGITS:
        return None
    match = re.fullmatch(_INTEGER, digits)
    if match is None:
        return None
    sign, *spellings = match.groups()
    value = next(
        int(text, base) for text, base in zip(spellings, _INTEGER_BASES, strict=True) if text
    )
    value = -value if sign == "-" else value
    return value if fits_64_bits(value) else None


def fits_64_bits(value: int) -> bool:
    """Whether an int64 or an uint64 can hold ``value``."""
    return -(2**63) <= value < 2**64


def as_json(value: Any) -> Any:
    """A value as it stands in the JSON that kubectl sends: of a float without a fraction only the
    digits are left, so that ``80.0``, ``8e1`` and ``080`` are the port 80.
    """
    if type(value) is float and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    return value


_EXACT: Final = 2**53
"""Up to here every whole float is the number that its digits say."""


def key_text(value: float | bool) -> str:
    """The text of a number or boolean that is a key: of a float the shortest digits that 32 bits
    tell apart, with an exponent from a million on and below a ten-thousandth.
    """
    if type(value) is not float:
        return str(value).lower()
    if math.isnan(value):
        return ".nan"
    if abs(value) > _LARGEST_NARROW:
        return ".inf" if value > 0 else "-.inf"
    from decimal import Decimal

    narrow = _narrow(value)
    spellings = (f"{narrow:.{digits}e}" for digits in range(_NARROW_DIGITS))
    text = next(text for text in spellings if _narrow(float(text)) == narrow)
    if -4 <= int(text.partition("e")[2]) < 6:
        return format(Decimal(text), "f")
    return text


_NARROW_DIGITS: Final = 9
"""So many digits tell every two floats of 32 bits apart."""
_LARGEST_NARROW: Final = (2 - 2.0**-23) * 2.0**127


def _narrow(value: float) -> float:
    narrow: float = struct.unpack("f", struct.pack("f", value))[0]
    return narrow


def _float(digits: str) -> float | None:
    if not re.fullmatch(_FLOAT, digits):
        return None
    value = float(digits)
    return value if math.isfinite(value) else None


class Scalars(dict[str, Any]):
    """Plain scalars as JSON values, over all documents: equal texts share one value.

    A number that is not finite is never kept, so that every use of one is noticed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.not_finite = False

    def __missing__(self, text: str) -> Any:
        value = as_json(resolve_plain(text))
        if type(value) is float and not math.isfinite(value):
            self.not_finite = True
            return value
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        self[text] = value
        return value


_MAX_REMEMBERED: Final = 50_000


def resolve_tagged(tag: str, text: str) -> Any:
    """Value of a scalar with an explicit core tag such as ``!!int``.

    Raises ``BadScalar`` where the text is not of that type. ``tag`` is the full name
    (``tag:yaml.org,2002:int``).
    """
    name = tag.removeprefix(TAG_PREFIX)
    if name in ("str", "timestamp"):
        return text
    if name == "binary":
        return _binary(text)
    value = resolve_plain(text)
    if name == "float" and type(value) is int:
        return float(value)
    if _TYPE_NAMES.get(type(value)) == name:
        return value
    raise BadScalar(
        f"{shown(text)} is not of the type !!{name}: correct the value or remove !!{name}"
    )


_TYPE_NAMES: Final = {bool: "bool", int: "int", float: "float", type(None): "null"}

CORE_SCALAR_TAGS: Final = frozenset(
    TAG_PREFIX + name for name in ("str", "timestamp", "binary", "bool", "int", "float", "null")
)


def _binary(text: str) -> str:
    import base64
    import binascii

    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise BadScalar(
            "the value of !!binary is not base64 of UTF-8 text: write it as a string"
        ) from None


def shown(text: str, limit: int = 60) -> str:
    """``text`` in double quotes for a message: one line, printable, at most ``limit`` characters.

    Names come from hostile files; nothing that moves a cursor or reverses a line may pass.
    """
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    return '"' + "".join(map(_shown_character, cut)) + '"'


def _shown_character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "surrogatepass").decode()
