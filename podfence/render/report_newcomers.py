"""Pods to come on the map of a report, as what they add to it.

Rule: what the map says already is not said again: an end of it stands as its number, and only rows
with a new end are here. Lists of sources stand once each, and rows by column and in their order,
for so they pack to a third.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from podfence.render.report_map import differences, steps

NEWCOMERS_SCHEMA = "podfence.report-newcomers/v1"
MapData = Mapping[str, Any]
"""What ``report_map.map_data`` gives."""
_Row = tuple[int, int, int, tuple[int, ...]]
"""Destination, ports, IP version and sources."""


def newcomers_data(today: MapData, later: MapData) -> dict[str, object]:
    """What ``later``, the map with pods to come, has that ``today`` has not. Blocks that only pods
    to come name cut outside addresses otherwise: these are new ends too."""
    known = {end["name"]: number for number, end in enumerate(today["endpoints"])}
    ends = later["endpoints"]
    is_new = [end["name"] not in known for end in ends]
    rows = _rows(later, is_new)
    order = _order(rows, is_new)
    number = {end: at for at, end in enumerate(order)}
    sets = {tuple(ports): at for at, ports in enumerate(today["ports"])}
    extra = [ports for ports in later["ports"] if tuple(ports) not in sets]
    sets |= {tuple(ports): len(sets) + at for at, ports in enumerate(extra)}
    lists: dict[tuple[int, ...], int] = {}
    found = []
    for to, ports, family, sources in rows:
        own = tuple(differences(number[source] for source in sources))
        index = sets[tuple(later["ports"][ports])]
        found.append((lists.setdefault(own, len(lists)), index, number[to], family))
    columns = list(zip(*sorted(found), strict=True)) or [(), (), (), ()]
    return {
        "schema": NEWCOMERS_SCHEMA,
        "namespaces": later["namespaces"],
        "endpoints": [
            {**ends[end], "classes": []} if is_new[end] else known[ends[end]["name"]]
            for end in order
        ],
        "ports": extra,
        "sources": [list(each) for each in lists],
        "rows": [steps(columns[0]), columns[1], columns[2], columns[3]],
    }


def _rows(later: MapData, is_new: Sequence[bool]) -> list[_Row]:
    found = []
    for to, ports, family, packed in later["rows"]:
        every = accumulate(packed)
        sources = tuple(each for each in every if is_new[to] or is_new[each])
        if sources:
            found.append((to, ports, family, sources))
    return found


def _order(rows: Iterable[_Row], is_new: Sequence[bool]) -> list[int]:
    """The old ends as they are, then the new ones: those that reach the same side by side."""
    reaches: dict[int, list[int]] = {end: [] for end, new in enumerate(is_new) if new}
    for at, (_, _, _, sources) in enumerate(rows):
        for source in sources:
            if is_new[source]:
                reaches[source].append(at)
    old = [end for end, new in enumerate(is_new) if not new]
    return [*old, *sorted(reaches, key=lambda end: (len(reaches[end]), reaches[end]))]
