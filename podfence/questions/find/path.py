"""A way from one pod to another over pods that connect onward: how far a break-in could go.

Rule: each hop is a connection that the policies allow; which of several pods of a class takes it
does not matter, so the search runs over classes.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.permitted import is_one_pod
from podfence.engine.porttable import NOTHING_ID
from podfence.errors import QuestionError
from podfence.policy.flow import Direction
from podfence.questions.find.deciding import Via, deciding
from podfence.questions.tests.world import ClusterWorld, Family
from podfence.sets import PortSet


class PathHop(Struct, frozen=True):
    """One connection. Names are of workloads; ``via``: the rules that allow it at both ends."""

    source: str
    destination: str
    ports: PortSet
    family: int
    via: Via = ()


def check_ends(sources: FrozenBitMap, targets: FrozenBitMap) -> None:
    """Raises QuestionError for ends that are no pods, and for one pod and itself (NP-54)."""
    if not sources or not targets:
        raise QuestionError("a way leads from pods to pods; find to and find from take addresses")
    if sources == targets and is_one_pod(sources):
        raise QuestionError("SRC and DST are the same pod, and a pod always reaches itself")


def shortest(
    world: ClusterWorld, sources: FrozenBitMap, targets: FrozenBitMap, ports: PortSet, hops: int
) -> tuple[PathHop, ...]:
    """The hops of a shortest way from one of ``sources`` to one of ``targets``, all over one IP
    version; () where there is none of at most ``hops``. ``ports``: the ports that each hop may
    use."""
    found = [_shortest(world, family, sources, targets, ports, hops) for family in _all(world)]
    ways = [way for way in found if way]
    return min(ways, key=len) if ways else ()


def _all(world: ClusterWorld) -> tuple[Family, ...]:
    return tuple(world.families.values())


def _shortest(
    world: ClusterWorld,
    family: Family,
    sources: FrozenBitMap,
    targets: FrozenBitMap,
    ports: PortSet,
    hops: int,
) -> tuple[PathHop, ...]:
    """Backwards from the targets: rows are by destination."""
    usable, pods = family.table.number(ports), family.partitions.pods
    pods &= FrozenBitMap(world.class_of[pod] for pod in world.real | sources | targets)
    start = FrozenBitMap(world.class_of[pod] for pod in sources) & pods
    goal = FrozenBitMap(world.class_of[pod] for pod in targets) & pods
    onward: dict[int, tuple[int, int]] = {}
    frontier = goal
    for _ in range(hops):
        family.want(frontier)
        reached = BitMap()
        for destination in frontier:
            for number, who in family.row(destination).items():
                both = family.table.intersection(number, usable)
                for source in (who & pods) if both != NOTHING_ID else ():
                    if source in onward or (source in goal and source not in start):
                        continue
                    if source != destination or _has_two(world, source, sources, targets):
                        onward[source] = destination, both
                        reached.add(source)
        if first := start & reached:
            return tuple(_hops(world, family, min(first), onward, (sources, targets)))
        frontier = FrozenBitMap(reached)
    return ()


def _has_two(
    world: ClusterWorld, number: int, sources: FrozenBitMap, targets: FrozenBitMap
) -> bool:
    """Whether a pod of a class can connect to another pod of it, from a source to a target."""
    members = world.members[number]
    near, far = members & sources, members & targets
    return bool(near and far) and len(near | far) > 1


def _hops(
    world: ClusterWorld,
    family: Family,
    here: int,
    onward: dict[int, tuple[int, int]],
    ends: tuple[FrozenBitMap, FrozenBitMap],
) -> Iterator[PathHop]:
    sources, targets = ends
    near = (world.members[here] & sources)[0]
    while True:
        there, number = onward[here]
        last = world.members[there] & targets
        if last == FrozenBitMap((near,)):  # a pod and itself are no hop
            near = (world.members[here] & sources - last)[0]
        far = next(pod for pod in last or world.members[there] & world.real if pod != near)
        ports = family.table.sets[number]
        via = _via(world, (here, there), family.number, ports)
        yield PathHop(world.names[near], world.names[far], ports, family.number, via)
        if last:
            return
        here, near = there, far


def _via(world: ClusterWorld, ends: tuple[int, int], family: int, ports: PortSet) -> Via:
    (source, to), policies = ends, world.index.policies
    return (
        (Direction.EGRESS, deciding(policies[source].egress, to, family, ports)),
        (Direction.INGRESS, deciding(policies[to].ingress, source, family, ports)),
    )
