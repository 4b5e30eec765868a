"""What one event costs a compiled cluster: the next state, and all pairs of it.

    python -m bench.live [--namespaces 604 --pods 5413 --policies 13678 --replicas 6] [--events 120]

Rule: CPU time alone, of this process, without what reading the object from its text would cost.
Beside every row stands the yardstick Y of ``bench.run``, measured in this process in between.
Every event is followed by its opposite, unmeasured, so that all meet the same cluster.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from random import Random
from statistics import median
from time import process_time

from msgspec import Struct
from msgspec.structs import replace

from bench.generate import Shape, generate
from podfence.collector import collector_paused
from podfence.engine.allpairs import all_pairs
from podfence.engine.clusterpairs import ClusterPairs
from podfence.errors import Source
from podfence.intake.build import Reading, build_cluster
from podfence.intake.documents import Document
from podfence.live.clusterevents import ClusterEvent, gone, put
from podfence.live.clusterindex import ClusterIndex
from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    Peer,
    RuleAction,
    Subject,
    Tier,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyRule,
    PolicyType,
)
from podfence.model.objects import Pod
from podfence.model.selectors import LabelSelector
from podfence.policy.compile import compile_cluster

FAMILY = 4


class World(Struct):
    """The state that events are tried on."""

    live: ClusterIndex
    pairs: ClusterPairs
    random: Random

    @property
    def cluster(self) -> Cluster:
        """Its objects."""
        return self.live.objects.cluster


class Cost(Struct):
    """CPU seconds of one event: the next state, and the pairs of it; and how many rows changed."""

    state: float
    pairs: float
    rows: int


Draw = Callable[[World], list[ClusterEvent]]


def any_policy(world: World) -> NetworkPolicy:
    """One that selects somebody: another changes nothing and is quick."""
    while True:
        policy = world.random.choice(world.cluster.policies)
        if world.live.index.selected[policy.ref]:
            return policy


def edited(world: World) -> list[ClusterEvent]:
    """A policy as somebody would change it: gone, another selector, a rule more or less, other
    peers, other ports, another direction."""
    random, policy, other = world.random, any_policy(world), any_policy(world)
    rules = (*other.ingress, *other.egress) or (NetworkPolicyRule(),)
    match random.randrange(6):
        case 0:
            return [gone(policy.ref)]
        case 1:
            return [put(replace(policy, pod_selector=other.pod_selector))]
        case 2:
            return [put(replace(policy, ingress=(), egress=()))]
        case 3:
            types = policy.policy_types ^ {random.choice(tuple(PolicyType))}
            return [put(replace(policy, policy_types=types or frozenset(PolicyType)))]
        case 4 if PolicyType.EGRESS in policy.policy_types:
            return [put(replace(policy, egress=(*policy.egress, random.choice(rules))))]
        case 5:
            swapped = tuple(replace(rule, ports=rules[0].ports) for rule in policy.ingress)
            return [put(replace(policy, ingress=swapped))]
    return [put(replace(policy, ingress=(*policy.ingress, random.choice(rules))))]


def new_block(world: World) -> list[ClusterEvent]:
    """A rule with an ipBlock that cuts addresses where nothing cut them before."""
    policy, number = any_policy(world), world.random.randrange(1 << 16)
    block = IPBlock(ip_network(f"172.{16 + number // 8192}.{number % 256}.0/27"))
    rule = NetworkPolicyRule((NetworkPolicyPeer(ip_block=block),))
    return [put(replace(policy, egress=(*policy.egress, rule)))]


def pod_more(world: World) -> list[ClusterEvent]:
    """One more pod of a workload that is there."""
    pod = world.random.choice(world.cluster.pods)
    address = ip_address(f"10.70.{world.random.randrange(256)}.{world.random.randrange(1, 255)}")
    return [put(replace(pod, name=f"{pod.name}-more", addresses=(address,)))]


def pod_of_its_own(world: World) -> list[ClusterEvent]:
    """One more pod, with labels that no other pod has."""
    [event] = pod_more(world)
    assert isinstance(event.thing, Pod)
    labels = dict(event.thing.labels) | {"version": f"v{world.random.randrange(10, 99)}"}
    return [put(replace(event.thing, labels=tuple(sorted(labels.items()))))]


def pod_less(world: World) -> list[ClusterEvent]:
    """A pod is gone."""
    return [gone(world.random.choice(world.cluster.pods).ref)]


def namespace(world: World) -> list[ClusterEvent]:
    """A namespace gets another label."""
    found = world.random.choice(list(world.cluster.namespaces.values()))
    labels = dict(found.labels) | {"stage": world.random.choice(("prod", "staging", "dev", "new"))}
    return [put(replace(found, labels=tuple(sorted(labels.items()))))]


def tier(world: World) -> list[ClusterEvent]:
    """A ClusterNetworkPolicy for all pods of one stage."""
    label = (("stage", world.random.choice(("prod", "staging", "dev"))),)
    ref = ObjectRef("ClusterNetworkPolicy", "", "bench")
    rule = TierRule(RuleAction.DENY, (Peer(networks=(ip_network("192.0.2.16/28"),)),))
    subject = Subject(namespaces=LabelSelector(label))
    return [put(ClusterNetworkPolicy(ref, Tier.ADMIN, 10, subject, (), (rule,)))]


ROWS: Sequence[tuple[str, str, Draw]] = (
    ("a NetworkPolicy is edited", "p50 <= 15 ms, max <= 50 ms", edited),
    ("... with a new ipBlock", "", new_block),
    ("a pod more of a workload", "", pod_more),
    ("a pod of a new class", "", pod_of_its_own),
    ("a pod less", "", pod_less),
    ("a namespace is relabelled", "", namespace),
    ("a ClusterNetworkPolicy for a third of the namespaces", "", tier),
)


def measured(world: World, draw: Draw) -> Cost:
    """One event on the world, which stays as it was."""
    events = draw(world)
    start = process_time()
    live, affected = world.live.apply(events)
    between = process_time()
    pairs = world.pairs.after(live.index, affected)
    return Cost(between - start, process_time() - between, len(pairs.changed))


def yardstick() -> float:
    """Y: CPU seconds of ten million additions."""
    start = process_time()
    total = 0
    for _ in range(10_000_000):
        total += 1  # noqa: SIM113 - the addition is what is measured
    return process_time() - start


def made(shape: Shape) -> Cluster:
    """A made-up cluster."""
    manifests = (each for part in generate(shape) for each in part)
    documents = (Document(Source("bench.yaml", n), data) for n, data in enumerate(manifests))
    return build_cluster(Reading(tuple(documents))).cluster


def line(name: str, target: str, costs: Sequence[Cost], yard: float) -> str:
    """One line of the table."""
    sums = sorted(cost.state + cost.pairs for cost in costs)
    p90 = sums[int(len(sums) * 0.9)]
    cells = (
        name,
        target,
        *(f"{1000 * seconds:.1f}" for seconds in (median(sums), p90, sums[-1])),
        f"{median(sums) / yard:.3f} Y",
        f"{1000 * median(cost.state for cost in costs):.1f}",
        f"{1000 * median(cost.pairs for cost in costs):.1f}",
        f"{median(cost.rows for cost in costs):.0f}",
    )
    return f"| {' | '.join(cells)} |"


HEADER = """| event | target | p50 ms | p90 ms | max ms | p50 / Y | state | pairs | rows |
|---|---|---:|---:|---:|---:|---:|---:|---:|"""


def from_nothing(cluster: Cluster) -> Iterator[str]:
    """What the same answers cost without a state before."""
    start = process_time()
    index = compile_cluster(cluster)
    compiled = process_time()
    all_pairs(index, FAMILY)
    pairs = process_time()
    yield f"From nothing: compiled in {compiled - start:.2f} s,"
    yield f"all pairs in {pairs - compiled:.2f} s;"


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=main.__doc__)
    for name, default in (("namespaces", 604), ("pods", 5413), ("policies", 13678)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--replicas", type=int, default=6)
    parser.add_argument("--events", type=int, default=120, help="of each kind")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    options = parser.parse_args(given)
    shape = Shape(options.namespaces, options.pods, options.policies, options.replicas)
    cluster = made(shape)
    with collector_paused():
        print(*from_nothing(cluster))
        start = process_time()
        live = ClusterIndex.of(cluster)
        compiled = process_time()
        pairs = ClusterPairs.of(live.index, FAMILY)
        print(f"first state in {compiled - start:.2f} s, its pairs in", end=" ")
        print(f"{process_time() - compiled:.2f} s, {len(live.index.classes)} classes. CPU.\n")
        print(HEADER, flush=True)
        for name, target, draw in ROWS:
            if options.only in name:
                world = World(live, pairs, Random(1))
                yards, costs = [], []
                for number in range(options.events):
                    if number % 40 == 0:
                        yards.append(yardstick())
                    costs.append(measured(world, draw))
                print(line(name, target, costs, median(yards)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
