"""Openness: pods that no policy isolates, and whether new pods would be isolated.

Rule: closed means that what no rule allows is denied, as for ``isolated`` in test files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set

from msgspec import Struct

from podfence.policy.flow import Direction
from podfence.questions.tests.judge import is_closed
from podfence.questions.tests.world import ClusterWorld


class Openness(Struct, frozen=True):
    """Pods of a workload, in which directions nothing closes them. ``pods``: ``namespace/name``."""

    name: str
    pods: tuple[str, ...]
    open: tuple[Direction, ...]


def unprotected(world: ClusterWorld, without: Set[str] = frozenset()) -> tuple[Openness, ...]:
    """Existing pods that are open in some direction. ``without``: pods that are uncertain."""
    return tuple(each for each in _openness(world, world.real, without) if each.open)


def newcomers(world: ClusterWorld, without: Set[str] = frozenset()) -> tuple[Openness, ...]:
    """Each pod to come, whether it would be open or not."""
    return tuple(_openness(world, world.newcomers, without))


def _openness(world: ClusterWorld, pods: Iterable[int], without: Set[str]) -> Iterator[Openness]:
    found: dict[tuple[str, tuple[Direction, ...]], list[str]] = defaultdict(list)
    known: dict[int, tuple[Direction, ...]] = {}
    for pod in (each for each in pods if world.pods[each] not in without):
        number = world.class_of[pod]
        if number not in known:
            known[number] = tuple(d for d in Direction if not _is_closed(world, number, d))
        found[world.names[pod], known[number]].append(world.pods[pod])
    for (name, open_), members in sorted(found.items(), key=lambda item: item[0][0]):
        yield Openness(name, tuple(sorted(members)), open_)


def _is_closed(world: ClusterWorld, number: int, direction: Direction) -> bool:
    return is_closed(world.index.policies[number].of(direction), world, number, direction)
