"""A first test file: what is true of a namespace now, for a person to edit.

Rule: the file passes as it is written (a law that tests hold it to). Where the two IP versions
differ, what both allow is required and what one allows is optional.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyroaring import BitMap, FrozenBitMap

from podfence.policy.flow import Direction
from podfence.questions.tests.decode import API_VERSION
from podfence.questions.tests.judge import is_closed
from podfence.questions.tests.world import Family, World
from podfence.sets import AddressSet, PortSet
from podfence.sets.addresses import EVERY_ADDRESS
from podfence.sets.ports import MAX_PORT, OTHER

_Said = dict[int, tuple[PortSet, PortSet]]
"""Classes with the ports that every IP version allows, and those that one does."""


def first_file(world: World, namespace: str, kind: str) -> Mapping[str, Any]:
    """The document; ``kind``: that of test files."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": namespace},
        "defaults": {"namespace": namespace},
        "tests": list(_First(world, namespace).tests()),
    }


class _First:
    def __init__(self, world: World, namespace: str) -> None:
        self._world = world
        self._namespace = namespace
        self._words = list(_words(world))

    def tests(self) -> Iterator[Mapping[str, Any]]:
        """One test a workload and direction in which policies close it, then pods to come."""
        world = self._world
        for word, pods in self._words:
            number = world.class_of[pods[0]]
            if world.pods[pods[0]].partition("/")[0] != self._namespace:
                continue
            if not any(number in family.everyone for family in world.families.values()):
                continue
            policy = world.index.policies[number]
            if policy.ingress.tiers:
                yield {
                    "name": f"who reaches {word}",
                    "to": word,
                    "only": self._entries("from", self._received(number)),
                }
            if policy.egress.tiers:
                yield {
                    "name": f"where {word} goes",
                    "from": word,
                    "only": self._entries("to", self._sent(number)),
                }
        yield from self._to_come()

    def _to_come(self) -> Iterator[Mapping[str, Any]]:
        world = self._world
        for pod in world.strangers:
            if world.pods[pod].partition("/")[0] != self._namespace:
                continue
            number = world.class_of[pod]
            closed = [
                direction.value
                for direction in (Direction.INGRESS, Direction.EGRESS)
                if is_closed(world.index.policies[number].of(direction), world, number, direction)
            ]
            if closed:
                name = f"{self._namespace} is closed for pods to come"
                yield {
                    "name": name,
                    "newcomers": {"namespace": self._namespace},
                    "isolated": closed,
                }

    # -- what one class receives and sends

    def _received(self, number: int) -> _Said:
        rows = {
            family: _by_class(family, family.row(number))
            for family in self._world.families.values()
            if number in family.everyone
        }
        return _joined(rows)

    def _sent(self, number: int) -> _Said:
        rows: dict[Family, dict[int, PortSet]] = {}
        for family in self._world.families.values():
            if number not in family.everyone:
                continue
            family.want(family.everyone)
            found = rows[family] = dict.fromkeys(family.everyone, PortSet())
            for destination in family.everyone:
                for ports, who in family.row(destination).items():
                    if number in who:
                        found[destination] = family.table.sets[ports]
        return _joined(rows)

    # -- entries

    def _entries(self, key: str, said: _Said) -> list[Mapping[str, Any]]:
        required: dict[PortSet, list[Any]] = {}
        optional: dict[PortSet, list[Any]] = {}
        for ends, numbers in self._ends(said):
            every = [said[number] for number in numbers if number in said]
            if not every:
                continue
            all_of, some_of = every[0]
            for each, other in every[1:]:
                all_of, some_of = all_of & each, some_of | other
            is_coming = isinstance(ends, str) and ends.endswith("/*")
            if all_of and not is_coming:
                required.setdefault(all_of, []).append(ends)
            if some_of and (is_coming or some_of != all_of):
                optional.setdefault(some_of, []).append(ends)
        entries: list[Mapping[str, Any]]
        entries = [{key: _one(ends), "ports": _ports(p)} for p, ends in required.items()]
        entries += [
            {key: _one(ends), "ports": _ports(p), "optional": True} for p, ends in optional.items()
        ]
        return entries

    def _ends(self, said: _Said) -> Iterator[tuple[Any, list[int]]]:
        """Everybody, as words with the classes that they mean."""
        world = self._world
        for word, pods in self._words:
            yield word, [world.class_of[pods[0]]]
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
                networks = [str(network) for network in whole.networks()]
                yield {"ends": networks, "except": "*"}, numbers


def _words(world: World) -> Iterator[tuple[str, list[int]]]:
    """Pods of today by words that hold pods of one class each."""
    found: dict[str, list[int]] = {}
    for pod in world.real:
        found.setdefault(world.names[pod], []).append(pod)
    for name, pods in found.items():
        if len({world.class_of[pod] for pod in pods}) == 1:
            yield name, pods
            continue
        for pod in pods:
            namespace, _, rest = world.pods[pod].partition("/")
            yield f"{namespace}/pod/{rest}", [pod]


def _by_class(family: Family, row: Mapping[int, BitMap | FrozenBitMap]) -> dict[int, PortSet]:
    found = dict.fromkeys(family.everyone, PortSet())
    for ports, who in row.items():
        found.update(dict.fromkeys(who, family.table.sets[ports]))
    return found


def _joined(rows: Mapping[Family, Mapping[int, PortSet]]) -> _Said:
    found: _Said = {}
    for row in rows.values():
        for number, ports in row.items():
            both = found.get(number, (ports, ports))
            found[number] = both[0] & ports, both[1] | ports
    return found


def _one(ends: list[Any]) -> Any:
    return ends[0] if len(ends) == 1 else ends


def _ports(ports: PortSet) -> list[str | int]:
    return ["any"] if ports.is_everything else list(_port_words(ports.ranges()))


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
