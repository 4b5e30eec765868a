"""Changes of one object, as a person would make them in its text, and what they make of its value.

Rule: paths are field paths of the object (``spec.ingress[0].ports``). A change says what the value
is afterwards; how it is written is another question.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from podfence.errors import Source

Json = Any


class Append(Struct, frozen=True):
    """``value`` becomes the last item of the list at ``path``, which need not be there yet."""

    path: str
    value: Json


class SetField(Struct, frozen=True):
    """The field at ``path`` is ``value``, whatever it was; its parent is there."""

    path: str
    value: Json


class Rename(Struct, frozen=True):
    """The key that ends ``path`` is called ``name``, and keeps its value."""

    path: str
    name: str


class Remove(Struct, frozen=True):
    """The list item that ``path`` ends with is no longer there; others of its list are.
    ``remarks``: whether comments in it may go with it."""

    path: str
    remarks: bool = True


FieldEdit = Append | SetField | Rename | Remove


class ObjectPatch(Struct, frozen=True):
    """Changes of the object that was read from ``source``."""

    source: Source
    changes: tuple[FieldEdit, ...]


class NewObject(Struct, frozen=True):
    """An object that is written behind the document of ``after``."""

    after: Source
    value: Json


def removals_last(changes: Iterable[FieldEdit]) -> tuple[FieldEdit, ...]:
    """Changes in an order in which every path keeps its meaning: removals of items go last, those
    at the end of a list first."""
    gone: list[FieldEdit] = []
    others: list[FieldEdit] = []
    for change in changes:
        (gone if isinstance(change, Remove) else others).append(change)
    gone.sort(key=lambda each: [at for at in steps(each.path) if isinstance(at, int)], reverse=True)
    return (*others, *gone)


def clash(some: Iterable[FieldEdit], others: Collection[FieldEdit]) -> bool:
    """Whether some changes take away or set otherwise what others are about."""
    return any(_undoes(a, b) or _undoes(b, a) for a in some for b in others)


def _undoes(change: FieldEdit, other: FieldEdit) -> bool:
    if isinstance(change, Remove):
        removed = steps(change.path)
        return steps(other.path)[: len(removed)] == removed
    if isinstance(change, SetField) and isinstance(other, SetField):
        return change.path == other.path and change.value != other.value
    return False


def applied(value: Json, changes: Sequence[FieldEdit]) -> Json:
    """The object with the changes made. Raises KeyError, IndexError or TypeError where a parent is
    not there."""
    found = _copied(value)
    for change in changes:
        *parents, last = steps(change.path)
        parent = found
        for step in parents:
            parent = parent[step]
        match change:
            case Append():
                before = _mapping(parent).get(last)
                if not isinstance(before, list | None):
                    raise TypeError(f"{change.path} is not a list")
                parent[last] = [*(before or ()), change.value]
            case SetField():
                parent[last] = change.value
            case Remove():
                if not isinstance(parent, list) or not isinstance(last, int) or len(parent) < 2:
                    raise TypeError(f"{change.path} is not an item beside others")
                del parent[last]
            case Rename():
                if change.name in _mapping(parent):
                    raise KeyError(change.name)  # a key twice: no server reads that
                renamed = {change.name if k == last else k: v for k, v in parent.items()}
                parent.clear()
                parent.update(renamed)
    return found


def _mapping(value: Json) -> dict[Json, Json]:
    if not isinstance(value, dict):
        raise TypeError("the parent is not a mapping")
    return value


def _copied(value: Json) -> Json:
    """Without parts in common: an alias of YAML is one value in two places."""
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


_STEP = re.compile(r"\[(\d+)\]|\[([^\]]+)\]|\.?([^.\[]+)")


def steps(path: str) -> tuple[str | int, ...]:
    """Keys and indexes of a path."""
    found = (match.groups() for match in _STEP.finditer(path))
    return tuple(int(index) if index else key or name for index, key, name in found)


def value_at(value: object, steps: Iterable[str | int]) -> object:
    """The value at the end of steps; None where there is none."""
    for step in steps:
        if isinstance(value, Mapping):
            value = value.get(str(step))
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value
