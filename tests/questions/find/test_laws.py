"""What ``find`` says of random clusters is what the engine says of one pair after the other."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from random import Random

import pytest
from pyroaring import FrozenBitMap

from podfence.engine.permitted import Permitted
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction, Flow, Reason
from podfence.questions.connectivity import connectivity
from podfence.questions.find.narrow import RowFilter, narrowed
from podfence.questions.find.path import PathHop, shortest
from podfence.questions.find.reach import ReachRow, ReachTable, RowEnd, everybody, reach
from podfence.questions.plan.newcomers import with_newcomers
from podfence.questions.tests.ends import Resolver
from podfence.questions.tests.form import TargetEnd
from podfence.questions.tests.words import read_end, read_port
from podfence.questions.tests.world import ClusterWorld
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING
from tests.support.random_clusters import TIERS, Size, random_cluster
from tests.support.random_tiers import NAMES
from tests.support.testlaws import End, Naive

ENDS = ("x/*", "y/app=a", "z/tier=b", "outside", "10.0.0.0/29", "fd00::/126", "*")
PLAIN = Size()
PORTS = ("any", "80", "53/udp", "80-8080", "icmp")


def world_of(seed: int, size: Size = PLAIN) -> ClusterWorld:
    cluster = random_cluster(Random(seed), size)
    return ClusterWorld(compile_cluster(with_newcomers(cluster, cluster.namespaces.keys()), NAMES))


def naive_of(world: ClusterWorld) -> Naive:
    certain = {address: endpoint.pod for address, endpoint in world.index.by_address.items()}
    return Naive(world.index.cluster, certain, NAMES)


def holds(side: RowEnd, end: End) -> bool:
    if end.pod is not None:
        return f"{end.pod.namespace}/{end.pod.name}" in side.pods
    return end.address in side.addresses


def covering(rows: Iterable[ReachRow], source: End, destination: End) -> list[ReachRow]:
    family = source.address.version
    return [
        row
        for row in rows
        if row.family in (None, family)
        and holds(row.sources, source)
        and holds(row.destinations, destination)
    ]


def asked(
    word: str, port: str, near: Direction, world: ClusterWorld, *, via: bool = False
) -> ReachTable | None:
    """None: nobody is called so, or nobody of them has an address of its own."""
    named = TargetEnd(read_end(word, "x"), read_port(port) if near is Direction.INGRESS else None)
    every = TargetEnd(everybody(world))
    pods = Resolver(world).found(named.end).pods
    if not any(world.endpoint(pod).addresses for pod in pods):
        return None
    ends = ([every], [named]) if near is Direction.INGRESS else ([named], [every])
    return reach(world, *ends, near, read_port(port), via=via)


@pytest.mark.parametrize("near", Direction)
@pytest.mark.parametrize("seed", range(8))
def test_rows_are_the_pairs_of_the_engine(seed: int, near: Direction) -> None:
    world, rng = world_of(seed, TIERS if seed % 2 else PLAIN), Random(seed)
    naive, permitted = naive_of(world), Permitted(world.index)
    for word in rng.sample(ENDS, 3):
        port = rng.choice(PORTS)
        found = asked(word, port, near, world)
        if found is None:
            continue
        wanted = read_port(port).numbers
        for source, destination in naive.pairs():
            own = destination if near is Direction.INGRESS else source
            rows = covering(found.rows, source, destination)
            said = PortSet.union(row.ports for row in rows)
            inside = naive.holds(word, own, coming=False)
            allowed = permitted.ports(source.address, destination.address) & wanted
            assert said == (allowed if inside else PortSet()), (word, source, destination)


@pytest.mark.law
def test_the_rules_of_a_row_are_those_that_decide() -> None:
    decided = 0
    for seed in range(8):
        world = world_of(seed, TIERS if seed % 2 else PLAIN)
        naive = naive_of(world)
        for near in Direction:
            found = asked("*", "any", near, world)
            if found is None:
                continue
            for source, destination in naive.pairs():
                rows = covering(found.rows, source, destination)
                for protocol, port in naive.ports if rows else ():
                    flow = Flow(source.address, destination.address, protocol, port)
                    verdict = world.judge.verdict(flow)
                    one = verdict.ingress if near is Direction.INGRESS else verdict.egress
                    hit = [row for row in rows if (protocol, port) in row.ports]
                    if not hit or one.reason not in (Reason.RULE, Reason.NOT_ISOLATED):
                        continue
                    rules = {rule for row in hit for rule in row.by.rules}
                    if one.reason is Reason.RULE:
                        assert set(one.origins) <= rules, (flow, one, hit)
                        decided += 1
                    else:
                        assert all(row.by.free for row in hit)
    assert decided > 500


@pytest.mark.parametrize("near", Direction)
@pytest.mark.parametrize("seed", range(4))
def test_both_ends_name_what_decides_there_and_the_pairs_stay_the_same(
    seed: int, near: Direction
) -> None:
    world = world_of(seed, TIERS if seed % 2 else PLAIN)
    naive = naive_of(world)
    plain, both = (asked("*", "any", near, world, via=via) for via in (False, True))
    assert plain is not None
    assert both is not None
    assert both.rest == plain.rest
    for source, destination in naive.pairs():
        rows = covering(both.rows, source, destination)
        ports = PortSet.union(row.ports for row in rows)
        assert ports == PortSet.union(r.ports for r in covering(plain.rows, source, destination))
        for protocol, port in naive.ports if rows else ():
            verdict = world.judge.verdict(Flow(source.address, destination.address, protocol, port))
            for row in (row for row in rows if (protocol, port) in row.ports):
                by = dict(row.via)
                assert by[near] == row.by or by.keys() != set(Direction)
                for direction, said in by.items():
                    one = verdict.egress if direction is Direction.EGRESS else verdict.ingress
                    if one.reason is Reason.RULE:
                        assert set(one.origins) <= set(said.rules)
                    elif one.reason is Reason.NOT_ISOLATED:
                        assert said.free


def test_who_has_no_row_has_no_connection() -> None:
    closed = 0
    for seed in range(60):
        world = world_of(seed)
        found = asked("x/*", "any", Direction.INGRESS, world)
        if found is None:
            continue
        seen = {pod for row in found.rows for pod in row.sources.pods}
        names = {world.names[n] for n, pod in enumerate(world.pods) if pod in seen}
        others = {
            world.names[pod]
            for pod in world.real
            if world.endpoint(pod).addresses and not world.pods[pod].startswith("x/")
        } - names
        assert found.rest.workloads == len(others), seed
        met = [row.sources.addresses for row in found.rows]
        assert not any(found.rest.outside & each for each in met)
        closed += len(others)
    assert closed > 20


@pytest.mark.parametrize("seed", range(12))
def test_a_narrowed_map_has_the_rows_of_the_whole_map_that_were_asked_for(seed: int) -> None:
    world = ClusterWorld(compile_cluster(random_cluster(Random(seed)), NAMES))
    whole = connectivity(world.index)
    resolver, ports = Resolver(world), read_port("80-8080")
    near, far = resolver.found(read_end("x/*", "x")), resolver.found(read_end("*/app=a", "x"))

    few = narrowed(whole, world, RowFilter(near, far, ports))

    def pods(side: tuple[str, ...], namespace: str) -> FrozenBitMap:
        return FrozenBitMap(world.number_of[f"{namespace}/{pod}"] for pod in side)

    said = {
        (row.destination.number, source.number, row.family, row.ports)
        for row in few.rows()
        for source in row.sources
    }
    wanted = {
        (row.destination.number, source.number, row.family, row.ports & ports.numbers)
        for row in whole.rows()
        for source in row.sources
        if source.workload and pods(source.pods, source.workload.namespace) & near.pods
        if row.destination.workload
        and pods(row.destination.pods, row.destination.workload.namespace) & far.pods
        if row.ports & ports.numbers
    }
    assert said == wanted


def _distance(
    world: ClusterWorld, sources: FrozenBitMap, targets: FrozenBitMap, family: int
) -> int:
    """Hops of a shortest way, pod by pod; 0 where there is none. Pods to come are none."""
    permitted = Permitted(world.index)
    pods = {
        number: address
        for number in world.real | sources | targets
        for address in world.endpoint(number).addresses
        if address.version == family
    }
    level, seen, hops = sources & FrozenBitMap(pods), set(sources), 0
    while level:
        hops += 1
        reached = {
            far
            for near in level
            for far in pods
            if near != far and permitted.ports(pods[near], pods[far])
        }
        if reached & set(targets):
            return hops
        level, seen = FrozenBitMap(reached - seen), seen | reached
    return 0


@pytest.mark.law
def test_a_way_is_a_shortest_one_and_each_hop_is_allowed() -> None:
    lengths = []
    size = Size(pods=20, policies=20, rules=3, admin_policies=0)
    for seed in range(60):
        world = world_of(seed, size)
        pods = [pod for pod in world.real if world.endpoint(pod).addresses]
        if len(pods) < 2:
            continue
        near, far = (FrozenBitMap((pod,)) for pod in Random(seed).sample(pods, 2))
        way = shortest(world, near, far, EVERYTHING, 9)
        shown = [d for f in world.families if (d := _distance(world, near, far, f))]
        assert len(way) == min(shown, default=0), seed
        assert all(_follows(one, other) for one, other in pairwise(way))
        lengths.append(len(way))
    assert lengths.count(0) > 2
    assert max(lengths) > 1


def _follows(one: PathHop, other: PathHop) -> bool:
    return bool(one.ports and other.ports) and one.family == other.family
