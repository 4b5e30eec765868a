"""Questions of ``find`` and of a page's server, answered without the pairs that are not certain."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podfence.cli.common import without_verdict
from podfence.errors import PodfenceError
from podfence.manifests.load import Loaded
from podfence.policy.flow import Direction
from podfence.questions.certainty import Certainty
from podfence.questions.find.reach import ReachTable, everybody, reach
from podfence.questions.tests.ends import Resolver
from podfence.questions.tests.form import ALL_PORTS, NamedEnd, PortSpec, TargetEnd, UnionEnd
from podfence.questions.tests.world import ClusterWorld


def reached(
    world: ClusterWorld,
    loaded: Loaded,
    sources: list[TargetEnd] | None,
    targets: list[TargetEnd] | None,
    near: Direction,
    ports: PortSpec = ALL_PORTS,
    *,
    via: bool = False,
) -> tuple[ReachTable, frozenset[str]]:
    """The connections, and the pods that are left out because objects could not be read. None:
    everybody. ``via``: with the rules of both ends.

    Raises UnknownObject for an end that means nobody, PodfenceError (PF007) where nothing is
    certain of the end that was asked about.
    """
    open_pods: frozenset[str] = frozenset()
    if loaded.doubts:
        open_pods = Certainty(world.index).open_pods()
        _require_somebody(world, targets if sources is None else sources, open_pods, loaded)
    every = [TargetEnd(everybody(world))]
    answer = reach(
        world,
        _without(world, every if sources is None else sources, open_pods),
        _without(world, every if targets is None else targets, open_pods),
        near,
        ports,
        via=via,
    )
    return answer, open_pods


def _require_somebody(
    world: ClusterWorld, named: list[TargetEnd] | None, pods: frozenset[str], loaded: Loaded
) -> None:
    """Raises PodfenceError where nothing is certain of the end that was asked about."""
    resolver = Resolver(world)
    for each in named or ():
        found = resolver.found(each.end)
        if (
            found.pods
            and not found.addresses
            and pods.issuperset(world.pods[n] for n in found.pods)
        ):
            said = without_verdict(loaded, loaded.doubts)
            raise PodfenceError(f"no answer: {said}", code="PF007")


def _without(world: ClusterWorld, targets: list[TargetEnd], pods: Iterable[str]) -> list[TargetEnd]:
    """The ends less pods about which nothing is certain."""
    less = tuple(NamedEnd(pod, pod, pod.partition("/")[0]) for pod in sorted(pods))
    if not less:
        return targets
    resolver = Resolver(world)
    return [
        each
        if resolver.is_service(each.end)
        else TargetEnd(UnionEnd(each.end.text, (each.end,), less), each.ports)
        for each in targets
    ]


def spoken_of(world: ClusterWorld, answer: ReachTable, named: Iterable[TargetEnd]) -> Iterator[str]:
    """The pods that were asked about, and those that an answer names."""
    resolver = Resolver(world)
    for each in named:
        if not resolver.is_service(each.end):
            yield from (world.pods[pod] for pod in resolver.found(each.end).pods)
    for row in answer.rows:
        yield from (*row.sources.pods, *row.destinations.pods)
