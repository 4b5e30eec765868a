"""The long run: the naive judge against the other judges over random clusters and flows.

    python bench/judge.py --samples 1000000 --seed 1 --jobs 2 --tiers --trace

The engine judges every flow; with ``--trace`` the kernel's form does, too, walked in memory.
Rule: every sample is reproducible. Cluster number ``k`` of seed ``n`` and its flows depend on
nothing but ``n``, ``k`` and ``--tiers``; ``--seed n --only k`` judges that cluster alone.
Exit 0: no difference; 1: some difference, the first ones printed whole.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from podfence.model.cluster import Cluster
from podfence.policy.flow import Flow
from tests.support.judges import Answer, Judge, ask_engine, ask_trace
from tests.support.oracle import OracleVerdict, rulings
from tests.support.random_clusters import FlowSource, Size, random_cluster
from tests.support.random_tiers import NAMES

FLOWS_PER_CLUSTER = 100
CLUSTERS_PER_BATCH = 50
SIZES = (Size(), Size(namespaces=2, pods=4, policies=3), Size(namespaces=3, pods=12, policies=12))
TIERED_SIZES = (
    Size(policies=3, admin_policies=4),
    Size(namespaces=2, pods=4, policies=2, admin_policies=2),
    Size(namespaces=3, pods=12, policies=8, admin_policies=8),
)
SHOWN = 3
"""Differences printed whole; the others are only counted."""


@dataclass(frozen=True)
class Difference:
    """One flow on which ``judge`` disagrees with the naive one."""

    cluster: int
    flow: Flow
    oracle: OracleVerdict
    judge: str
    said: Answer


@dataclass
class Tally:
    """Counts of one batch, or of all."""

    clusters: int = 0
    outcomes: Counter[OracleVerdict] = field(default_factory=Counter)
    deciders: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in the counts of another batch."""
        self.clusters += other.clusters
        self.outcomes += other.outcomes
        self.deciders += other.deciders
        self.differences += other.differences

    @property
    def samples(self) -> int:
        """Judged (cluster, flow) pairs."""
        return self.outcomes.total()


def make(seed: int, number: int, tiers: bool = False) -> tuple[Cluster, Iterator[Flow]]:
    """Cluster ``number`` of a seed and its endless flows."""
    rng = Random(f"{seed}:{number}")
    sizes = TIERED_SIZES if tiers else SIZES
    cluster = random_cluster(rng, sizes[number % len(sizes)])
    source = FlowSource(cluster)
    return cluster, iter(partial(source.draw, rng), None)


def judge_clusters(
    numbers: range,
    seed: int,
    flows: int = FLOWS_PER_CLUSTER,
    tiers: bool = False,
    judges: Sequence[Judge] = (ask_engine,),
) -> Tally:
    """The naive judge and all others on ``flows`` flows of each cluster."""
    tally = Tally(clusters=len(numbers))
    for number in numbers:
        cluster, source = make(seed, number, tiers)
        try:
            _judge_cluster(tally, number, cluster, tuple(islice(source, flows)), judges)
        except Exception as error:
            error.add_note(f"in cluster {number} of seed {seed}:\n{show(cluster)}")
            raise
    return tally


def _judge_cluster(
    tally: Tally, number: int, cluster: Cluster, flows: Sequence[Flow], judges: Sequence[Judge]
) -> None:
    verdicts = [_count(tally, cluster, flow) for flow in flows]
    for judge in judges:
        for flow, verdict, said in zip(flows, verdicts, judge(cluster, flows, NAMES), strict=True):
            if said is not None and contradicts(verdict, said):
                tally.differences.append(
                    Difference(number, flow, verdict, judge.__name__.removeprefix("ask_"), said)
                )


def _count(tally: Tally, cluster: Cluster, flow: Flow) -> OracleVerdict:
    """What the naive judge says, entered into the tally."""
    egress, ingress = rulings(
        cluster, flow.source, flow.destination, flow.protocol, flow.port, NAMES
    )
    both = egress.allowed and ingress.allowed
    verdict = OracleVerdict(both, egress.allowed, ingress.allowed)
    tally.outcomes[verdict] += 1
    tally.deciders.update((egress.tier, ingress.tier))
    return verdict


def contradicts(verdict: OracleVerdict, said: Answer) -> bool:
    """Whether a judge says otherwise; what it leaves open is no contradiction."""
    pairs = (
        (verdict.allowed, said.allowed),
        (verdict.egress_allowed, said.egress),
        (verdict.ingress_allowed, said.ingress),
    )
    return any(found is not None and found is not expected for expected, found in pairs)


def run(
    seed: int, samples: int, jobs: int, tiers: bool = False, judges: Sequence[Judge] = (ask_engine,)
) -> Tally:
    """Judge at least ``samples`` flows in batches over ``jobs`` processes."""
    clusters = -(-samples // FLOWS_PER_CLUSTER)
    batches = [
        range(start, min(start + CLUSTERS_PER_BATCH, clusters))
        for start in range(0, clusters, CLUSTERS_PER_BATCH)
    ]
    total = Tally()
    with ProcessPoolExecutor(jobs) as pool:
        judge_batch = partial(judge_clusters, seed=seed, tiers=tiers, judges=judges)
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


def explain(seed: int, difference: Difference, tiers: bool = False) -> str:
    """Everything that is needed to look into one difference."""
    flow = difference.flow
    return "\n".join(
        (
            f"--- difference: --seed {seed} --only {difference.cluster}" + " --tiers" * tiers,
            f"flow   {flow.source} -> {flow.destination} {flow.protocol}/{flow.port}",
            f"oracle {difference.oracle}",
            f"{difference.judge} {difference.said}",
            show(make(seed, difference.cluster, tiers)[0]),
        )
    )


def show(cluster: Cluster) -> str:
    """A cluster as YAML, defaults left out."""
    return yaml.safe_dump(_tree(cluster), sort_keys=False, default_flow_style=None, width=140)


def _tree(value: object) -> object:
    """Plain data of a model value; fields that hold their default are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        kept = ((f.name, getattr(value, f.name)) for f in fields(value))
        return {name: _tree(v) for name, v in kept if v not in (None, "", ()) and v is not False}
    if isinstance(value, Mapping):
        return {str(key): _tree(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_tree(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(str(_tree(item)) for item in value)
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, int | str) else str(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The naive judge against the others.")
    parser.add_argument("--samples", type=int, default=1_000_000, help="flows to judge")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--tiers", action="store_true", help="with ClusterNetworkPolicies")
    parser.add_argument("--trace", action="store_true", help="ask the kernel's form, too")
    parser.add_argument("--only", type=int, metavar="K", help="judge cluster K of the seed alone")
    return parser.parse_args()


def main() -> int:
    """Run, print the table and the first differences; see the module's docstring."""
    arguments = _arguments()
    started = time.perf_counter()
    judges = (ask_engine, ask_trace) if arguments.trace else (ask_engine,)
    if arguments.only is None:
        tally = run(arguments.seed, arguments.samples, arguments.jobs, arguments.tiers, judges)
    else:
        only = range(arguments.only, arguments.only + 1)
        tally = judge_clusters(only, arguments.seed, tiers=arguments.tiers, judges=judges)
    print(table(tally, arguments.seed, time.perf_counter() - started))
    for difference in tally.differences[:SHOWN]:
        print(explain(arguments.seed, difference, arguments.tiers))
    return 1 if tally.differences else 0


if __name__ == "__main__":
    sys.exit(main())
