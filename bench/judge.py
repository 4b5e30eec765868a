"""The long run: the naive judge against the other judges over random clusters and flows.

    python bench/judge.py --samples 1000000 --seed 1 --jobs 2 --tiers --trace

The engine judges every flow; with ``--trace`` the kernel's form does, too, walked in memory.
Rule: every sample is reproducible. Cluster number ``k`` of seed ``n`` and its flows depend on
nothing but ``n``, ``k``, ``--tiers`` and ``--odd``; ``--seed n --only k`` judges that cluster
alone.
Exit 0: no difference; 1: some difference, the first ones printed whole.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.judges import Judge, ask_engine, ask_trace
from tests.support.judging import (
    FLOWS_PER_CLUSTER,
    Difference,
    Tally,
    judge_clusters,
    make,
    show,
)
from tests.support.oracle import OracleVerdict

CLUSTERS_PER_BATCH = 50
SHOWN = 3
"""Differences printed whole; the others are only counted."""


def run(
    seed: int,
    samples: int,
    jobs: int,
    tiers: bool = False,
    judges: Sequence[Judge] = (ask_engine,),
    odd: bool = False,
) -> Tally:
    """Judge at least ``samples`` flows in batches over ``jobs`` processes."""
    clusters = -(-samples // FLOWS_PER_CLUSTER)
    batches = [
        range(start, min(start + CLUSTERS_PER_BATCH, clusters))
        for start in range(0, clusters, CLUSTERS_PER_BATCH)
    ]
    total = Tally()
    with ProcessPoolExecutor(jobs) as pool:
        judge_batch = partial(judge_clusters, seed=seed, tiers=tiers, judges=judges, odd=odd)
        for done, tally in enumerate(pool.map(judge_batch, batches), 1):
            total.add(tally)
            if sys.stderr.isatty():
                print(f"\r{done}/{len(batches)} batches", end="", file=sys.stderr)
    return total


def table(tally: Tally, seed: int, seconds: float) -> str:
    """The result as lines of a table."""
    outcomes = tally.outcomes
    allowed = sum(n for verdict, n in outcomes.items() if verdict.allowed)
    rows = {
        "seed": str(seed),
        "clusters": f"{tally.clusters:,}",
        "samples": f"{tally.samples:,}",
        "allowed": f"{allowed:,}",
        "denied": f"{tally.samples - allowed:,}",
        "  by egress only": f"{outcomes[OracleVerdict(False, False, True)]:,}",
        "  by ingress only": f"{outcomes[OracleVerdict(False, True, False)]:,}",
        "  by both": f"{outcomes[OracleVerdict(False, False, False)]:,}",
        **{f"ends: {tier or 'no tier'}": f"{n:,}" for tier, n in sorted(tally.deciders.items())},
        "differences": f"{len(tally.differences):,}",
        "seconds": f"{seconds:.1f}",
    }
    return "\n".join(f"{name:<20}{value:>12}" for name, value in rows.items())


def explain(seed: int, difference: Difference, tiers: bool = False, odd: bool = False) -> str:
    """Everything that is needed to look into one difference."""
    flow = difference.flow
    return "\n".join(
        (
            f"--- difference: --seed {seed} --only {difference.cluster}"
            + " --tiers" * tiers
            + " --odd" * odd,
            f"flow   {flow.source} -> {flow.destination} {flow.protocol}/{flow.port}",
            f"oracle {difference.oracle}",
            f"{difference.judge} {difference.said}",
            show(make(seed, difference.cluster, tiers, odd)[0]),
        )
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The naive judge against the others.")
    parser.add_argument("--samples", type=int, default=1_000_000, help="flows to judge")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--tiers", action="store_true", help="with ClusterNetworkPolicies")
    parser.add_argument("--odd", action="store_true", help="of objects that are odd but legal")
    parser.add_argument("--trace", action="store_true", help="ask the kernel's form, too")
    parser.add_argument("--only", type=int, metavar="K", help="judge cluster K of the seed alone")
    return parser.parse_args()


def main() -> int:
    """Run, print the table and the first differences; see the module's docstring."""
    arguments = _arguments()
    started = time.perf_counter()
    judges = (ask_engine, ask_trace) if arguments.trace else (ask_engine,)
    tiers, odd = arguments.tiers, arguments.odd
    if arguments.only is None:
        tally = run(arguments.seed, arguments.samples, arguments.jobs, tiers, judges, odd)
    else:
        only = range(arguments.only, arguments.only + 1)
        tally = judge_clusters(only, arguments.seed, tiers=tiers, judges=judges, odd=odd)
    print(table(tally, arguments.seed, time.perf_counter() - started))
    for difference in tally.differences[:SHOWN]:
        print(explain(arguments.seed, difference, tiers, odd))
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())
