"""The part of JSON Schema that docs/schemas uses, and no more: an unknown keyword is an error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"

_SILENT = {"$schema", "$id", "$defs", "title", "description"}
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def violations(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[str]:
    """What is wrong with ``value``, each with its position; empty when it is valid."""
    return list(_Validator(root).check(value, schema, "$"))


class _Validator:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def check(self, value: Any, schema: Mapping[str, Any], at: str) -> Iterator[str]:
        for keyword, wanted in schema.items():
            if keyword in _SILENT or keyword in ("properties", "additionalProperties"):
                continue
            yield from getattr(self, f"_{keyword.strip('$')}")(value, wanted, at)
        if isinstance(value, dict):
            yield from self._members(value, schema, at)

    def _members(self, value: Any, schema: Mapping[str, Any], at: str) -> Iterator[str]:
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        for key, member in value.items():
            if key in properties:
                yield from self.check(member, properties[key], f"{at}.{key}")
            elif others is False:
                yield f"{at}: unexpected {key!r}"
            elif others is not True:
                yield from self.check(member, others, f"{at}.{key}")

    def _type(self, value: Any, wanted: str | list[str], at: str) -> Iterator[str]:
        names = [wanted] if isinstance(wanted, str) else wanted
        fits = any(isinstance(value, _TYPES[name]) for name in names)
        if not fits or (isinstance(value, bool) and "boolean" not in names):
            yield f"{at}: {value!r} is not {wanted}"

    def _required(self, value: Any, wanted: list[str], at: str) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (f"{at}: lacks {key!r}" for key in wanted if key not in value)

    def _items(self, value: Any, wanted: Mapping[str, Any] | bool, at: str) -> Iterator[str]:
        """Of a tuple (``prefixItems``) ``false``: it has no more items than these."""
        for number, item in enumerate(value if isinstance(value, list) else ()):
            if isinstance(wanted, dict):
                yield from self.check(item, wanted, f"{at}[{number}]")

    def _prefixItems(self, value: Any, wanted: list[Mapping[str, Any]], at: str) -> Iterator[str]:
        if not isinstance(value, list):
            return
        if len(value) > len(wanted):
            yield f"{at}: more than {len(wanted)} items"
        for number, (item, schema) in enumerate(zip(value, wanted, strict=False)):
            yield from self.check(item, schema, f"{at}[{number}]")

    def _minItems(self, value: Any, wanted: int, at: str) -> Iterator[str]:
        if isinstance(value, list) and len(value) < wanted:
            yield f"{at}: fewer than {wanted} items"

    def _enum(self, value: Any, wanted: list[Any], at: str) -> Iterator[str]:
        if value not in wanted:
            yield f"{at}: {value!r} is not one of {wanted}"

    def _const(self, value: Any, wanted: Any, at: str) -> Iterator[str]:
        if value != wanted:
            yield f"{at}: {value!r} is not {wanted!r}"

    def _pattern(self, value: str, wanted: str, at: str) -> Iterator[str]:
        if not re.search(wanted, value):
            yield f"{at}: {value!r} does not match {wanted}"

    def _minimum(self, value: int, wanted: int, at: str) -> Iterator[str]:
        if value < wanted:
            yield f"{at}: {value} is less than {wanted}"

    def _oneOf(self, value: Any, wanted: list[Any], at: str) -> Iterator[str]:
        found = [list(self.check(value, schema, at)) for schema in wanted]
        if sum(not each for each in found) != 1:
            yield f"{at}: fits not exactly one of: {found}"

    def _ref(self, value: Any, wanted: str, at: str) -> Iterator[str]:
        """Into the same schema, or to another one, as a whole or into it."""
        file, _, fragment = wanted.partition("#")
        name = fragment.removeprefix("/$defs/")
        if file:
            other = json.loads((SCHEMAS / file).read_text("utf-8"))
            part = other["$defs"][name] if name else other
            yield from _Validator(other).check(value, part, at)
            return
        yield from self.check(value, self._root["$defs"][name], at)
