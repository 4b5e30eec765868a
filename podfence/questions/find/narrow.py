"""A map narrowed to some sources, some destinations and some ports.

Rule: rows are those of the whole map, fewer and with fewer ports. A group stays whole, because no
policy distinguishes its pods: what holds for one of them holds for all.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from podfence.policy.index import PolicyIndex
from podfence.questions.connectivity import Connectivity, Group, Row
from podfence.questions.tests.ends import ResolvedEnd
from podfence.questions.tests.form import PortSpec
from podfence.questions.tests.world import ClusterWorld
from podfence.sets import PortSet


class RowFilter(Struct, frozen=True):
    """What is to be seen. None: any."""

    sources: ResolvedEnd | None = None
    destinations: ResolvedEnd | None = None
    ports: PortSpec | None = None


def narrowed(answer: Connectivity, world: ClusterWorld, wish: RowFilter) -> Connectivity:
    """The rows with one of the wanted ends. ``world``: of the same index."""
    near = _numbers(answer, world, wish.sources)
    far = _numbers(answer, world, wish.destinations)

    def rows() -> Iterator[Row]:
        for row in answer.rows():
            if row.destination.number not in far:
                continue
            sources = tuple(group for group in row.sources if group.number in near)
            ports = row.ports
            if wish.ports is not None:
                ports &= resolved(wish.ports, world.index, row.destination.endpoint_class)
            if sources and ports:
                yield Row(row.destination, ports, row.family, sources)

    asked = frozenset[int]() if wish.destinations is None else far
    return replace(answer, rows=rows, asked=asked)


def resolved(ports: PortSpec, index: PolicyIndex, number: int) -> PortSet:
    """Ports as numbers, on the pods of one class."""
    found = ports.numbers
    for port in index.classes[number].named_ports:
        if any((port.name, port.protocol.value) == (n.name, n.protocol) for n in ports.names):
            found |= PortSet.port(port.protocol.value, port.port)
    return found


def _numbers(
    answer: Connectivity, world: ClusterWorld, found: ResolvedEnd | None
) -> frozenset[int]:
    return frozenset(g.number for g in answer.groups if found is None or _holds(g, world, found))


def _holds(group: Group, world: ClusterWorld, found: ResolvedEnd) -> bool:
    if group.workload is None:
        return bool(group.addresses and group.addresses & found.addresses)
    space = group.workload.namespace
    return any(world.number_of[f"{space}/{pod}"] in found.pods for pod in group.pods)
