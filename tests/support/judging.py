"""The naive judge against the other judges, on numbered random clusters and flows.

Rule: every sample is reproducible. Cluster number ``k`` of seed ``n`` and its flows depend on
nothing but ``n``, ``k`` and whether there are tiers and odd things.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from itertools import islice
from random import Random

import yaml
from msgspec import Struct
from msgspec.structs import fields

from podfence.model.cluster import Cluster
from podfence.policy.flow import Flow
from tests.support.judges import Answer, Judge, ask_engine
from tests.support.odd_clusters import LONG, odd_cluster
from tests.support.oracle import OracleVerdict, rulings
from tests.support.random_clusters import FlowSource, Size, random_cluster
from tests.support.random_tiers import NAMES

FLOWS_PER_CLUSTER = 100
SIZES = (Size(), Size(namespaces=2, pods=4, policies=3), Size(namespaces=3, pods=12, policies=12))
TIERED_SIZES = (
    Size(policies=3, admin_policies=4),
    Size(namespaces=2, pods=4, policies=2, admin_policies=2),
    Size(namespaces=3, pods=12, policies=8, admin_policies=8),
)


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


def make(
    seed: int, number: int, tiers: bool = False, odd: bool = False
) -> tuple[Cluster, Iterator[Flow]]:
    """Cluster ``number`` of a seed and its endless flows."""
    rng = Random(f"{seed}:{number}")
    sizes = (*(TIERED_SIZES if tiers else SIZES), *((LONG,) if odd else ()))
    cluster = (odd_cluster if odd else random_cluster)(rng, sizes[number % len(sizes)])
    source = FlowSource(cluster)
    return cluster, iter(partial(source.draw, rng), None)


def judge_clusters(
    numbers: range,
    seed: int,
    flows: int = FLOWS_PER_CLUSTER,
    tiers: bool = False,
    judges: Sequence[Judge] = (ask_engine,),
    odd: bool = False,
) -> Tally:
    """The naive judge and all others on ``flows`` flows of each cluster."""
    tally = Tally(clusters=len(numbers))
    for number in numbers:
        cluster, source = make(seed, number, tiers, odd)
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


def show(cluster: Cluster) -> str:
    """A cluster as YAML, defaults left out."""
    return yaml.safe_dump(_tree(cluster), sort_keys=False, default_flow_style=None, width=140)


def _tree(value: object) -> object:
    """Plain data of a model value; fields that hold their default are left out."""
    if isinstance(value, Struct):
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
