"""What a node's deltas leave in a real kernel is what the reader holds."""

from __future__ import annotations

from random import Random

import pytest

from podfence.live.node import LiveIndex
from podfence.nft.difference import load
from podfence.nft.lowering.assembly import Assembly
from podfence.nft.lowering.lower import LocalNode
from tests.kernel.nft_namespace import nft_namespace
from tests.support.live_worlds import World
from tests.support.random_clusters import TIERS, Size

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("size", [Size(pods=8, policies=6), TIERS], ids=["policies", "tiers"])
def test_the_kernel_holds_what_the_reader_holds(size: Size) -> None:
    with nft_namespace() as kernel:
        for seed in range(5):
            world = World(Random(seed), size)
            index = LiveIndex(world.node)
            assembly = Assembly(LocalNode(world.node), index.selections)
            kernel.table.run(load(assembly.ruleset()))
            for _ in range(30):
                delta = assembly.apply(index.apply(world.step()))
                if delta.transaction:
                    kernel.table.run(delta.transaction)
                    assert kernel.table.list() == assembly.ruleset()
