"""What one node of a large cluster pays for its sets: making, writing, reading, comparing.

    python -m bench.largenode [--pods 100000] [--dual-stack]

Rule: CPU seconds, of this process and of the kernel for it, each step once. The local pods are
spread over all workloads, so the node knows many selectors. Moves into a network namespace of its
own first, and touches no other.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from bench.generate import Shape, generate
from bench.memory import resident
from podfence.kernel import netns
from podfence.kernel.nftables.encode import encode
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.manifests.load import load as load_files
from podfence.model.cluster import Cluster
from podfence.nft.difference import diff, load
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.lowering.tightening import tightening
from podfence.nft.objects import MemberSet
from podfence.nft.ruleset import Ruleset
from podfence.policy.compile import compile_cluster
from podfence.sets.members import Members

T = TypeVar("T")
LOCAL = 100
"""Pods of the measured node."""
SETS = 12
"""Sets that a remote pod is in."""


def made(pods: int, dual_stack: bool) -> Cluster:
    """The cluster, through a file, as every input comes."""
    shape = Shape(max(1, pods // 100), pods, pods // 10, 12, dual_stack=dual_stack)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "cluster.json"
        items = [item for part in generate(shape) for item in part]
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        return load_files([str(path)]).cluster


def measured(name: str, step: Callable[[], T]) -> T:
    """The result of a step, after its line of the table."""
    before, start = resident(), time.process_time()
    found = step()
    cpu = time.process_time() - start
    grown = (resident() - before) / 2**20
    print(f"{name:<44}{cpu:>9.3f} s{grown:>+9.1f} MiB", flush=True)
    return found


def elements(ruleset: Ruleset) -> int:
    """Of all sets of addresses."""
    return sum(len(item.elements) for item in ruleset.sets.values())


def without_a_pod(ruleset: Ruleset) -> Ruleset:
    """The rules after a remote pod has left some of its sets."""
    sets = dict(ruleset.sets)
    for name, item in [*sets.items()][:SETS]:
        if isinstance(item, MemberSet) and item.elements:
            first = Members.of(item.elements.family, [next(iter(item.elements))])
            sets[name] = replace(item, elements=item.elements - first)
    return replace(ruleset, sets=sets)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=100_000)
    parser.add_argument("--dual-stack", action="store_true")
    options = parser.parse_args()
    cluster = made(options.pods, options.dual_stack)
    index = compile_cluster(cluster)
    local = cluster.pods[:: max(1, len(cluster.pods) // LOCAL)]
    node = LocalNode("measured", frozenset(f"{pod.namespace}/{pod.name}" for pod in local))
    netns.enter_private_network()
    gc.freeze()
    ruleset = measured("lower, the first time", lambda: lower(index, node))
    print(f"{len(ruleset.sets):,} sets, {elements(ruleset):,} elements, {len(local)} local pods")
    kept = [lower(index, node), lower(index, node)]  # what the heap had free is used up
    kept.append(measured("lower, and keep it", lambda: lower(index, node)))
    fewer = without_a_pod(ruleset)
    measured("tightening, of both rulesets", lambda: tightening(ruleset, fewer))
    measured("encode", lambda: len([*encode(load(ruleset))]))
    with NftSocket() as socket:
        table = NetlinkNft(socket)
        measured("encode and write", lambda: table.replace(ruleset))
        found = measured("read back", table.list)
        assert found is not None
        same = measured("compare, difference", lambda: (found == ruleset, diff(found, ruleset)))
        assert same == (True, diff(ruleset, ruleset))


if __name__ == "__main__":
    main()
