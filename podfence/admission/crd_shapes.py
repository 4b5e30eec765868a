"""Shapes of custom resources: what their schema admits, as data.

Rule: the part of structural schemas that podfence's kinds need, and no more. ``crd`` speaks for the
server where a value has another shape. An ``Object`` that is ``open`` may be written for a newer
schema: if its single field is not known, it is clear what it means (CNP-25).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
class Unstored:
    """Something that the server drops after it looked for unknown fields: ``status``."""

    value: CrdType


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


CrdType = String | Integer | TextMap | Opaque | Unstored | Array | Object

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
