"""Parts of a page's map for programs: some namespaces of it, or namespaces as its lines.

Rule: nothing is judged here. Both are made of the map that the page has, and say the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, product
from typing import Any

from pyroaring import BitMap

from podfence.render.report_map import differences

NAMESPACES_SCHEMA = "podfence.namespace-map/v1"
MapData = Mapping[str, Any]
"""What ``report_map.map_data`` gives, as JSON values."""


def of_namespaces(whole: MapData, wanted: Collection[str]) -> dict[str, Any]:
    """The map of the workloads of some namespaces and of the outside addresses that talk with them;
    numbers are its own. Raises KeyError for a namespace that is not on the map."""
    numbers = {name: number for number, name in enumerate(whole["namespaces"])}
    chosen = {numbers[name] for name in wanted}
    ends = whole["endpoints"]
    inside = {n for n, end in enumerate(ends) if end.get("namespace") in chosen}
    rows = [(to, ports, family, [*accumulate(from_)]) for to, ports, family, from_ in whole["rows"]]
    outside: set[int] = set()
    for to, _, _, sources in rows:
        if to in inside:
            outside.update(source for source in sources if "namespace" not in ends[source])
        elif "namespace" not in ends[to] and not inside.isdisjoint(sources):
            outside.add(to)
    kept = sorted(inside | outside)
    own = {number: at for at, number in enumerate(kept)}
    left = [
        (own[to], ports, family, differences(own[each] for each in sources if each in own))
        for to, ports, family, sources in rows
        if to in own
    ]
    found = {name: value for name, value in whole.items() if name != "picture"}
    return found | {
        "endpoints": [ends[number] for number in kept],
        "rows": [row for row in left if row[3]],
    }


def by_namespace(whole: MapData) -> dict[str, Any]:
    """How many pairs are allowed between namespaces: ``[from, to, allowed, all, unknown]`` where
    one is, or may be. The number after the last namespace is everything outside."""
    ends = whole["endpoints"]
    outside = len(whole["namespaces"])
    group = [end.get("namespace", outside) for end in ends]
    talking = [BitMap() for _ in ends]
    for to, _, _, sources in whole["rows"]:
        talking[to].update(accumulate(sources))
    allowed: Counter[tuple[int, int]] = Counter()
    for to, sources in enumerate(talking):
        allowed.update((group[source], group[to]) for source in sources)
    pairs = _pairs(ends, group)
    certain = [number for number, end in enumerate(ends) if not end.get("open")]
    known = _pairs([ends[number] for number in certain], [group[number] for number in certain])
    return {
        "schema": NAMESPACES_SCHEMA,
        "namespaces": whole["namespaces"],
        "rows": [
            (*pair, allowed[pair], number, is_open)
            for pair, number in sorted(pairs.items())
            if (is_open := number > known.get(pair, 0)) or allowed[pair]
        ],
    }


def _pairs(ends: Sequence[Mapping[str, Any]], group: Sequence[int]) -> dict[tuple[int, int], int]:
    """How many pairs there are: not of two addresses outside, not of a pod alone with itself, and
    only of ends that share an IP version."""
    alike = Counter(
        (of, tuple(end["families"]), "namespace" not in end)
        for of, end in zip(group, ends, strict=True)
    )
    found: Counter[tuple[int, int]] = Counter()
    for ((a, one, out), n), ((b, other, far), m) in product(alike.items(), repeat=2):
        if not (out and far) and not set(one).isdisjoint(other):
            found[a, b] += n * m
    for of, end in zip(group, ends, strict=True):
        if len(end.get("pods", ())) == 1 and end["families"]:
            found[of, of] -= 1
    return {pair: number for pair, number in found.items() if number}
