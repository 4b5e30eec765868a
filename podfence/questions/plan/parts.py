"""Where two texts of one object differ, field by field.

Rule: the items of a list are matched by what they say, so that an item put in front is one item
more and not a change of all that follow. Only fields that can matter to a verdict are compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import msgspec
from msgspec import Struct

Json = Any

_MOST = 200
"""Longest list that is aligned; longer ones differ as a whole."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*\Z")
_FIELDS: Mapping[str, re.Pattern[str]] = {
    "NetworkPolicy": re.compile(r"spec\b"),
    "ClusterNetworkPolicy": re.compile(r"spec\b"),
    "AdminNetworkPolicy": re.compile(r"spec\b"),
    "BaselineAdminNetworkPolicy": re.compile(r"spec\b"),
    "Namespace": re.compile(r"metadata\.labels\b"),
    "Node": re.compile(r"metadata\.labels\b|status\.addresses\b"),
}
_OF_PODS = re.compile(
    r"(?:spec\.template\.)?(?:metadata\.labels\b|spec\.hostNetwork\b"
    r"|spec\.(?:initContainers|containers)\b(?!\[\d+\]\.(?!ports\b)))|status\.(?:podIPs?|phase)\b"
)
_NOUNS = (
    (re.compile(r"\.(?:from|to)\[\d+\]$"), "peer"),
    (re.compile(r"\.(?:ports|protocols)\[\d+\]$"), "port"),
    (re.compile(r"\.except\[\d+\]$"), "exception"),
    (re.compile(r"\.(?:ingress|egress)\[\d+\]$"), "rule"),
    (re.compile(r"\.labels(?:\.[\w-]+|\[.*\])$", re.DOTALL), "label"),
)


class FieldDifference(Struct, frozen=True):
    """One field that differs. ``old`` and ``new``: its path on either side, "" where it is not
    there. ``was``, ``now``: short values, "" for everything else. ``left``: the path in the new
    text of what is nearest to a removed field, "" for the whole object."""

    old: str
    new: str
    was: str = ""
    now: str = ""
    left: str = ""

    @property
    def words(self) -> str:
        """``spec.ingress[0].from[1]: peer added``."""
        path = self.new or self.old
        noun = next((noun for pattern, noun in _NOUNS if pattern.search(path)), "")
        if self.was and self.now:
            return f"{path}: {self.was} -> {self.now}"
        done = "changed" if self.old and self.new else "added" if self.new else "removed"
        said = f": {self.now or self.was}" if self.now or self.was else ""
        return f"{path}: {f'{noun} ' if noun else ''}{done}{said}"


def parts_of(
    kind: str, old: Mapping[str, Json], new: Mapping[str, Json]
) -> tuple[FieldDifference, ...]:
    """The fields that differ, in the order of the new text. ``kind``: of the object."""
    fields = _FIELDS.get(kind, _OF_PODS)
    found = _differences(old, new, "", "")
    return tuple(part for part in found if fields.match(part.new or part.old))


def _differences(old: Json, new: Json, at: str, to: str) -> Iterator[FieldDifference]:
    """``at``: the path in the old text, ``to``: in the new one."""
    if old == new and type(old) is type(new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _of_mappings(old, new, at, to)
    elif isinstance(old, list) and isinstance(new, list) and max(len(old), len(new)) <= _MOST:
        yield from _of_lists(old, new, at, to)
    else:
        yield FieldDifference(at, to, _short(old), _short(new))


def _of_mappings(
    old: Mapping[str, Json], new: Mapping[str, Json], at: str, to: str
) -> Iterator[FieldDifference]:
    for key in dict.fromkeys((*new, *old)):
        inner_at, inner_to = _below(at, key), _below(to, key)
        if key not in old:
            yield FieldDifference("", inner_to, "", _short(new[key]))
        elif key not in new:
            yield FieldDifference(inner_at, "", _short(old[key]), "", to)
        else:
            yield from _differences(old[key], new[key], inner_at, inner_to)


def _of_lists(
    old: Sequence[Json], new: Sequence[Json], at: str, to: str
) -> Iterator[FieldDifference]:
    matcher = SequenceMatcher(None, _texts(old), _texts(new), autojunk=False)
    for what, i, j, k, m in matcher.get_opcodes():
        if what == "equal":
            continue
        common = min(j - i, m - k) if what == "replace" else 0
        for n in range(common):
            yield from _differences(old[i + n], new[k + n], f"{at}[{i + n}]", f"{to}[{k + n}]")
        for n in range(k + common, m):
            yield FieldDifference("", f"{to}[{n}]", "", _short(new[n]))
        left = f"{to}[{max(m - 1, 0)}]" if new else to
        for n in range(i + common, j):
            yield FieldDifference(f"{at}[{n}]", "", _short(old[n]), "", left)


def _texts(items: Sequence[Json]) -> list[str]:
    return [msgspec.json.encode(item, order="sorted").decode("utf-8", "replace") for item in items]


def _below(path: str, key: str) -> str:
    if _PLAIN_KEY.match(key):
        return f"{path}.{key}" if path else key
    if key and key.isprintable() and not set('[]"') & set(key):
        return f"{path}[{key}]"
    return f"{path}[{msgspec.json.encode(key).decode()}]"


def _short(value: Json) -> str:
    """A single value as it is written; "" for a long one."""
    if isinstance(value, str | int) and not isinstance(value, bool) and len(str(value)) <= 60:
        return str(value)
    return ""
