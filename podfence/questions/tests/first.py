"""A first test file: what is true of a namespace now, for a person to edit.

Rule: the file passes as it is written (a law that tests check). Where the two IP versions differ,
what both allow is required and what one allows is optional.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from podfence.policy.flow import Direction
from podfence.questions.tests.decode import API_VERSION
from podfence.questions.tests.judge import is_closed
from podfence.questions.tests.reach import (
    PortsByClass,
    entries,
    everybody,
    is_to_come,
    received,
    sent,
)
from podfence.questions.tests.world import ClusterWorld
from podfence.sets import PortSet


def first_file(world: ClusterWorld, namespace: str, kind: str) -> Mapping[str, Any]:
    """The document; ``kind``: that of test files."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": namespace},
        "defaults": {"namespace": namespace},
        "tests": list(_First(world, namespace).tests()),
    }


class _First:
    def __init__(self, world: ClusterWorld, namespace: str) -> None:
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
                    "only": self._entries("from", received(world, [number])),
                }
            if policy.egress.tiers:
                yield {
                    "name": f"where {word} goes",
                    "from": word,
                    "only": self._entries("to", sent(world, [number])),
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

    def _entries(self, key: str, said: PortsByClass) -> list[Mapping[str, Any]]:
        words = [(word, [self._world.class_of[pods[0]]]) for word, pods in self._words]
        return entries(key, said, everybody(self._world, words, said), _required)


def _required(end: Any, ports: PortSet) -> PortSet:
    """Pods to come may be allowed, but need not be."""
    return PortSet() if is_to_come(end) else ports


def _words(world: ClusterWorld) -> Iterator[tuple[str, list[int]]]:
    """Existing pods by words that hold pods of one class each."""
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
