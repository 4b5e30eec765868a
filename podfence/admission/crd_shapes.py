"""Shapes of custom resources: their schema as data.

Rule: the part of structural schemas that podfence's kinds need, and no more. ``crd`` gives the
server's errors for other shapes. An ``Object`` that is ``open`` may be written for a newer schema:
if its single field is unknown, its meaning is clear (CNP-25).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

Check = Callable[[Any], bool]


class ValidationRule(Struct, frozen=True):
    """A validation rule of the schema: it is broken when ``holds`` is false of a value.

    ``at`` is the field to name where the server names none: a rule of the whole object.
    ``compares`` are integers that the server also stores as fractions (``80.0``), but then cannot
    compare.
    """

    text: str
    holds: Check
    at: str = ""
    compares: tuple[str, ...] = ()


def never(value: Any) -> bool:
    """Always false: the check of a rule that no value meets."""
    return False


def _no_hint(text: str) -> str:
    return ""


class String(Struct, frozen=True):
    """A string."""

    enum: tuple[str, ...] = ()
    """Empty: any."""
    longest: int | None = None
    """In characters."""
    pattern: str = ""
    """As published."""
    rule: ValidationRule | None = None
    stored_before: Check = never
    """Of values that are refused: whether an older version of the schema stored them, so that it is
    clear what they mean."""
    hint: Callable[[str], str] = _no_hint
    """The right value in place of a refused one, "" for no hint."""


class BoundedInteger(Struct, frozen=True):
    """An integer from ``least`` to ``most``."""

    least: int
    most: int


class StringMap(Struct, frozen=True):
    """An object of strings."""


class Opaque(Struct, frozen=True):
    """A value that is not checked here."""


class Unstored(Struct, frozen=True):
    """A field that the server drops after the check for unknown fields: ``status``."""

    value: CrdType


class Array(Struct, frozen=True):
    """A list of ``least`` to ``most`` items (None: no bound); ``distinct`` ones if it is a set."""

    item: CrdType
    least: int = 0
    most: int | None = None
    distinct: bool = False


class Object(Struct, frozen=True, eq=False):
    """An object with known fields, of which ``least`` to ``most`` are given (None: no bound).

    ``open``: a single unknown field makes it unknown as a whole. ``hints``: what to write instead
    of a field that older versions had.
    """

    fields: Mapping[str, CrdType]
    required: tuple[str, ...] = ()
    least: int = 0
    most: int | None = None
    open: bool = False
    defaults: Mapping[str, str] = {}
    hints: Mapping[str, str] = {}
    rule: ValidationRule | None = None
    stored_before: Check = never
    """Of values that break the rule: as for ``String``."""

    def unknown_field(self, value: Mapping[Any, Any]) -> str | None:
        """The single field of an open object, if it is unknown; otherwise None."""
        if not self.open or len(value) != 1:
            return None
        (name,) = value
        return name if isinstance(name, str) and name not in self.fields else None


CrdType = String | BoundedInteger | StringMap | Opaque | Unstored | Array | Object

_GONE = "the API no longer has it: select namespaces by their own labels"
LABEL_SELECTOR = Object(
    {
        "matchLabels": StringMap(),
        "matchExpressions": Array(
            Object(
                {"key": String(), "operator": String(), "values": Array(String())},
                required=("key", "operator"),
            )
        ),
    },
    hints=dict.fromkeys(("sameLabels", "notSameLabels"), _GONE),
)
