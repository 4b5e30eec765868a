"""The entries that lead to some pods, on some ports.

Rule: rows are cut to the pods that were asked about; their states stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from podfence.model.entries import Entries, EntryPoint
from podfence.questions.entryrows import EntryRow
from podfence.questions.tests.ends import ResolvedTarget
from podfence.questions.tests.form import PortSpec

if TYPE_CHECKING:
    from podfence.questions.tests.world import ClusterWorld


def near(entries: Entries, aims: Iterable[ResolvedTarget], world: ClusterWorld) -> Entries:
    """Without the entries that lead to other namespaces, which need not be judged."""
    pods = {number for aim in aims for number in aim.found.pods}
    spaces = {world.pods[number].partition("/")[0] for number in pods}
    return replace(entries, entries=tuple(e for e in entries.entries if _leads_to(e) in spaces))


def _leads_to(entry: EntryPoint) -> str:
    target = entry.service or entry.pods_of
    return "" if target is None else target.namespace


def leading_to(
    rows: Iterable[EntryRow], aims: Iterable[ResolvedTarget], world: ClusterWorld
) -> Iterator[EntryRow]:
    """The rows about these pods and ports, with these pods alone, whatever their state."""
    wanted = tuple(aims)
    for row in rows:
        pods = tuple(pod for pod in row.pods if any(_is_meant(row, pod, a, world) for a in wanted))
        if pods:
            yield replace(row, pods=pods)


def _is_meant(row: EntryRow, pod: str, aim: ResolvedTarget, world: ClusterWorld) -> bool:
    number = world.number_of[pod]
    return number in aim.found.pods and _is_about(aim.ports, row.port, number, world)


def _is_about(ports: PortSpec, shown: str, number: int, world: ClusterWorld) -> bool:
    """Whether the port of a row is one of these. ``shown``: ``TCP/8080``."""
    protocol, _, port = shown.partition("/")
    if (protocol, int(port)) in ports.numbers:
        return True
    named = {(name.name, name.protocol) for name in ports.names}
    return any(
        (each.name, each.protocol.value) in named
        and (each.protocol.value, each.port) == (protocol, int(port))
        for each in world.endpoint(number).pod.ports
    )
