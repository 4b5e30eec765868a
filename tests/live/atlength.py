"""The laws of the live readers, for as long as one likes.

    python -m tests.live.atlength node --sequences 20000 [--first 0] [--events 50]
    python -m tests.live.atlength cluster --sequences 20000
    python -m tests.live.atlength kernel --sequences 500
    python -m tests.live.atlength revocation --sequences 200

Rule: a sequence is a function of its number. Each is checked at its end and at some of its events,
against a compile of that state from nothing; the first that differs ends the run with its number.
What costs time and finds nothing is shared: objects that come newly are drawn from clusters that a
hundred sequences have in common. Smaller clusters would be cheaper, and find less: of ports that a
block names, they know too little.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import lru_cache, partial
from random import Random

from msgspec.structs import replace

from podfence.live.clusterevents import ClusterEvent
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.facts import Event
from podfence.model.objects import Pod
from podfence.nft.difference import load
from podfence.nft.lowering.tightening import Tightening
from podfence.policy.compile import compile_cluster
from tests.kernel.nft_namespace import NftNamespace, nft_namespace
from tests.live.test_cluster import Followed, agree, batches
from tests.live.test_node import SIZES, Node, wanted
from tests.support.live_worlds import Stock, World, stock_of
from tests.support.losses import losses
from tests.support.odd_clusters import moved_alike
from tests.support.random_clusters import TIERS, Size, random_cluster
from tests.support.random_events import cluster_after, random_events

CHECKED = 0.06
"""The part of the events after which all is compared; the last one always is."""
READ = 0.25
"""The same for what a kernel is read back after."""
STOCK = 40
"""Random clusters that are drawn from when something new comes, for ``SHARING`` sequences."""
SHARING = 100
TOLD = 100
"""Sequences between two lines of what was done."""


class Done:
    """What was checked so far."""

    def __init__(self) -> None:
        self.sequences = self.events = self.compared = self.losses = 0

    def __str__(self) -> str:
        return (
            f"{self.sequences} sequences, {self.events} events, {self.compared} comparisons, "
            f"{self.losses} losses"
        )


def size_of(number: int) -> Size:
    """Tiers in every other sequence."""
    return SIZES["tiers" if number % 2 else "policies"]


@lru_cache(maxsize=4)
def shared_stock(block: int, size: Size) -> Stock:
    """What comes newly in the sequences of a block."""
    return stock_of(Random(f"stock {block}"), size, STOCK, maker(block))


def maker(block: int) -> Callable[[Random, Size], Cluster]:
    """What makes the clusters of a block: every other has strange addresses and names."""
    return moved_alike(Random(f"move {block}")) if block % 2 else random_cluster


def world_of(law: str, number: int) -> World:
    """The cluster of a sequence."""
    size, block = size_of(number), number // SHARING
    rng = Random(f"{law} {number}")
    return World(rng, size, stock=shared_stock(block, size), make=maker(block))


def node(number: int, events: int, done: Done) -> None:
    """One node's reader; now and then several events at once."""
    world = world_of("node", number)
    rng = world.rng
    reader = Node(world.node, watchful=False)
    reader.take(*world.start())
    for step in range(events):
        told = [event for _ in range(rng.choice((1, 1, 1, 4))) for event in world.step()]
        reader.watchful = step == events - 1 or rng.random() < CHECKED
        reader.take(*told)
        done.events += len(told)
        if reader.watchful:
            done.compared += 1
            assert reader.applied == wanted(world)


def cluster(number: int, events: int, done: Done) -> None:
    """The reader of a whole cluster, with its pairs."""
    rng = Random(f"cluster {number}")
    followed, told = Followed(), list[ClusterEvent]()
    coming = list(random_events(rng, events, size_of(number)))
    for batch in batches(rng, coming):
        followed.take(batch)
        told += batch
        if len(told) == len(coming) or rng.random() < CHECKED:
            done.compared += 1
            agree(followed, cluster_after(told))
    done.events += events


def kernel(namespace: NftNamespace, number: int, events: int, done: Done) -> None:
    """What deltas leave in a kernel, read back after some of them and at the end."""
    world = world_of("kernel", number)
    reader = Node(world.node, watchful=False)
    reader.take(*world.start())
    namespace.table.run(load(reader.assembly.ruleset()))
    for step in range(events):
        told = world.step()
        delta = reader.take(*told)
        done.events += len(told)
        if delta.transaction:
            namespace.table.run(delta.transaction)
        if step == events - 1 or (delta.transaction and world.rng.random() < READ):
            done.compared += 1
            assert namespace.table.list() == reader.assembly.ruleset()


class AllHere(World):
    """A cluster of one node: what its pods lose, its rules take away."""

    def _scheduled(self, thing: ClusterObject) -> ClusterObject:
        return self._here(thing)

    def put(self, thing: ClusterObject) -> list[Event]:
        return super().put(self._here(thing))

    def _here(self, thing: ClusterObject) -> ClusterObject:
        return replace(thing, node=self.node) if isinstance(thing, Pod) else thing


def revocation(number: int, events: int, done: Done) -> None:
    """Every permission that an event takes away, asked of the engine, is said: at once, unless an
    end of it is gone."""
    world = AllHere(Random(f"revocation {number}"), TIERS)
    reader = Node(world.node, watchful=False)
    reader.take(*world.start())
    before = compile_cluster(world.cluster())
    for _ in range(events):
        told = world.step()
        delta = reader.take(*told)
        after = compile_cluster(world.cluster())
        done.events += len(told)
        done.compared += 1
        for loss in losses(before, after):
            done.losses += 1
            dead = any(
                int(end) in delta.released.get(end.version, ())
                for end in (loss.source, loss.destination)
            )
            assert delta.tightens >= (Tightening.OWED if dead else Tightening.NOW), loss
        before = after


LAWS: dict[str, Callable[[int, int, Done], None]] = {
    "node": node,
    "cluster": cluster,
    "revocation": revocation,
}


def main() -> None:
    """Run one law, and say how far it came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("law", choices=[*LAWS, "kernel"])
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--events", type=int, default=50)
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.sequences)
    if options.law == "kernel":
        with nft_namespace() as namespace:
            run(partial(kernel, namespace), numbers, options.events)
    else:
        run(LAWS[options.law], numbers, options.events)


def run(law: Callable[[int, int, Done], None], numbers: range, events: int) -> None:
    """All sequences of these numbers."""
    done = Done()
    for number in numbers:
        try:
            law(number, events, done)
        except BaseException:
            print(f"in sequence {number}; before it {done}", file=sys.stderr, flush=True)
            raise
        done.sequences += 1
        if done.sequences % TOLD == 0 or number == numbers[-1]:
            print(f"{done}, {time.process_time():.0f} s of CPU: no difference", flush=True)


if __name__ == "__main__":
    main()
