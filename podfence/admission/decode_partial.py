"""Validation of what is left of a NetworkPolicy in which some fields have the wrong JSON type.

Rule: every problem reported here would also be one if those fields were right. The server stops at
the first field of a wrong type. Here the others are checked as well, so that one run shows all
that has to be fixed, except what depends on the unreadable fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from podfence.admission.schema import NETWORK_POLICY, ListOf, Struct, TextMap, WireType
from podfence.errors import Problem

_UNIT = r"metadata|.*(?:\.ipBlock|\.(?:ports|matchExpressions)\[\d+\])(?![^.\[])"
"""What is validated as one: a field of it that is not known makes the others doubtful."""
_MAP_ENTRY = r"(?s).*\.matchLabels\[.*\]"
_PARENT = r"(?:\.[^.\[\]]+|\[\d+\])\Z"


def readable_part(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest without unknown fields and with null in place of what has the wrong type."""
    part = _readable(dict(manifest), NETWORK_POLICY)
    return part if isinstance(part, dict) else {}


def _readable(value: Any, wire: WireType) -> Any:
    if isinstance(wire, Struct) and isinstance(value, dict):
        known = ((key, wire.fields.get(key)) for key in value if isinstance(key, str))
        return {key: _readable(value[key], field) for key, field in known if field is not None}
    if isinstance(wire, ListOf) and isinstance(value, list):
        return [_readable(item, wire.item) for item in value]
    if isinstance(wire, TextMap) and isinstance(value, dict):
        return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, str)}
    return value if value is not None and wire.conforms(value) else None


def independent(problems: Iterable[Problem], wrong: Iterable[str]) -> Iterator[Problem]:
    """Those problems that hold whatever the fields at the paths ``wrong`` should have been."""
    doubtful = [_doubts(path) for path in wrong if not re.fullmatch(_MAP_ENTRY, path)]
    return (p for p in problems if not any(doubt(p.path) for doubt in doubtful))


def _doubts(wrong: str) -> Callable[[str], bool]:
    """Whether a problem at a path may come from not knowing the field ``wrong``."""
    unit = re.match(_UNIT, wrong)
    root = unit[0] if unit else wrong
    parent = re.sub(_PARENT, "", wrong)
    return lambda path: path in (root, parent) or path.startswith((f"{root}.", f"{root}["))
