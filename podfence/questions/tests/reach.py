"""The connections of one workload, as the entries of an ``only`` test.

Rule: what both IP versions and all pods allow can be required; what only some allow is optional. So
a test that is written from the present state passes, whatever the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pyroaring import BitMap, FrozenBitMap

from podfence.questions.phrases.outside import shortest_blocks
from podfence.questions.tests.world import ClusterWorld, Family
from podfence.sets import AddressSet, PortSet
from podfence.sets.addresses import EVERY_ADDRESS
from podfence.sets.ports import MAX_PORT, OTHER

PortsByClass = dict[int, tuple[PortSet, PortSet]]
"""Classes with the ports that every IP version and every pod allows, and those that some allow."""
SourceEnds = tuple[Any, list[int]]
"""An end as a test file writes it, and the classes that it means."""
Needed = Callable[[Any, PortSet], PortSet]
"""What is required of an end, of the ports that all of it allow."""


def received(world: ClusterWorld, classes: Iterable[int]) -> PortsByClass:
    """Who reaches all pods of these classes on which ports, and who some."""
    return _joined(row for number in classes for row in _rows_to(world, number))


def sent(world: ClusterWorld, classes: Iterable[int]) -> PortsByClass:
    """The classes that all pods of these classes reach, with ports, and those that some reach."""
    return _joined(row for number in classes for row in _rows_from(world, number))


def common(said: PortsByClass, numbers: Iterable[int]) -> tuple[PortSet, PortSet] | None:
    """The common part of several classes, None where there is none."""
    return _meet([said[number] for number in numbers if number in said])


def entries(
    key: str, said: PortsByClass, ends: Iterable[SourceEnds], needed: Needed
) -> list[Mapping[str, Any]]:
    """The required entries, then the optional ones; ends with the same ports share one. ``key``:
    ``from`` or ``to``."""
    required: dict[PortSet, list[Any]] = {}
    optional: dict[PortSet, list[Any]] = {}
    for end, numbers in ends:
        both = common(said, numbers)
        if both is None:
            continue
        must = needed(end, both[0])
        if must:
            required.setdefault(must, []).append(end)
        if rest := both[1] - must:
            optional.setdefault(rest if _has_words(rest) else both[1], []).append(end)
    found: list[Mapping[str, Any]]
    found = [{key: _one(ends), "ports": port_words(ports)} for ports, ends in required.items()]
    found += [
        {key: _one(ends), "ports": port_words(ports), "optional": True}
        for ports, ends in optional.items()
    ]
    return found


def everybody(
    world: ClusterWorld, words: Iterable[SourceEnds], said: PortsByClass
) -> Iterator[SourceEnds]:
    """Existing pods by their words, pods to come by namespace, and outside addresses, grouped by
    equal connections."""
    yield from words
    for pod in world.strangers:
        yield f"{world.pods[pod].partition('/')[0]}/*", [world.class_of[pod]]
    by_ports: dict[tuple[PortSet, PortSet], list[int]] = {}
    for number in world.outside:
        if number in said and world.index.classes[number].outside:
            by_ports.setdefault(said[number], []).append(number)
    for numbers in by_ports.values():
        parts = (world.index.classes[n].outside or AddressSet() for n in numbers)
        whole = AddressSet.union(parts)
        if whole == EVERY_ADDRESS and not world.index.by_node_address:
            yield "outside", numbers
        else:
            yield _blocks(whole), numbers


def _blocks(addresses: AddressSet) -> Mapping[str, Any]:
    """Addresses outside as an end of a test file: blocks less other blocks, where that is short."""
    blocks = shortest_blocks(addresses)
    held = AddressSet.of(block.cidr for block in blocks)
    holes = [hole for block in blocks for hole in block.except_]
    if held - AddressSet.of(holes) != addresses:  # a block in a hole of another
        return {"ends": [str(network) for network in addresses.networks()], "except": "*"}
    without = ["*", *map(str, holes)] if holes else "*"
    return {"ends": [str(block.cidr) for block in blocks], "except": without}


def is_to_come(end: Any) -> bool:
    """Whether an end of ``everybody`` is about pods that do not exist yet."""
    return isinstance(end, str) and end.endswith("/*")


def port_words(ports: PortSet) -> list[str | int]:
    """Ports as a test file writes them."""
    return ["any"] if ports.is_everything else list(_port_words(ports.ranges()))


# -- rows


def _rows_to(world: ClusterWorld, number: int) -> Iterator[dict[int, PortSet]]:
    for family in world.families.values():
        if number in family.everyone:
            yield _by_class(family, family.row(number))


def _rows_from(world: ClusterWorld, number: int) -> Iterator[dict[int, PortSet]]:
    for family in world.families.values():
        if number not in family.everyone:
            continue
        family.want(family.everyone)
        found = dict.fromkeys(family.everyone, PortSet())
        for destination in family.everyone:
            for ports, who in family.row(destination).items():
                if number in who:
                    found[destination] = family.table.sets[ports]
        yield found


def _by_class(family: Family, row: Mapping[int, BitMap | FrozenBitMap]) -> dict[int, PortSet]:
    found = dict.fromkeys(family.everyone, PortSet())
    for ports, who in row.items():
        found.update(dict.fromkeys(who, family.table.sets[ports]))
    return found


def _joined(rows: Iterable[Mapping[int, PortSet]]) -> PortsByClass:
    found: PortsByClass = {}
    for row in rows:
        for number, ports in row.items():
            both = found.get(number, (ports, ports))
            found[number] = both[0] & ports, both[1] | ports
    return found


def _meet(every: list[tuple[PortSet, PortSet]]) -> tuple[PortSet, PortSet] | None:
    if not every:
        return None
    all_of, some_of = every[0]
    for each, other in every[1:]:
        all_of, some_of = all_of & each, some_of | other
    return all_of, some_of


# -- words


def _one(ends: list[Any]) -> Any:
    return ends[0] if len(ends) == 1 else ends


def _has_words(ports: PortSet) -> bool:
    """Whether a test file can express the ports: no word means port 0 alone."""
    return not any(high == 0 and protocol != OTHER for protocol, _, high in ports.ranges())


def _port_words(ranges: Iterable[tuple[str, int, int]]) -> Iterator[str | int]:
    for protocol, low, high in ranges:
        suffix = "" if protocol == "TCP" else f"/{protocol.lower()}"
        if protocol == OTHER:
            yield "icmp"
        elif (low, high) == (0, MAX_PORT):
            yield protocol.lower()
        elif low == high:
            yield f"{low}{suffix}" if suffix else low
        else:
            yield f"{low}-{high}{suffix}"
