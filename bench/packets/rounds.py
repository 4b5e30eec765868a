"""Which rulesets are measured, and in what order.

Rule: all are loaded before the first packet, and every round visits all of them in a new random
order, the baselines several times; so what the machine does besides falls on all alike. Many short
visits, not few long ones: what disturbs a visit then disturbs one of many.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import median
from time import monotonic

from bench.packets import triple
from bench.packets.chains import policy_chains
from bench.packets.scenario import Scenario, cluster
from bench.packets.traffic import Pair, Sender
from bench.packets.variants import conntrack_only, linear, ours
from podfence.kernel import netns
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.kernel.nftcli import run_nft
from podfence.nft.ruleset import Ruleset

NONE, TRACKED, TWIN = "no rules at all", "conntrack only", "conntrack only, once more"
TRACKED_BY = {4: TRACKED, 6: "conntrack only, IPv6"}
"""What a ruleset's packets are compared with, by their IP version."""
BASELINES = (NONE, TRACKED, TWIN, TRACKED_BY[6])
VISITS = 3
"""Visits of a baseline in a round; its value is their median."""


@dataclass(frozen=True)
class Effort:
    """How much is measured: the grid, rounds, packets and connections of a visit."""

    local_pods: tuple[int, ...]
    policies: tuple[int, ...]
    selecting: tuple[int, ...]
    linear: tuple[Scenario, ...]
    chains: tuple[Scenario, ...]
    tiers: tuple[Scenario, ...]
    six: tuple[Scenario, ...]
    rounds: int
    slots: int
    connects: int
    deadline: float
    """Seconds after which no new round begins."""
    budget: int = 30_000_000
    """Nanoseconds of one measurement of a visit, for rulesets that are very slow."""

    def grid(self) -> list[Scenario]:
        """Every possible combination."""
        numbers = product(self.local_pods, self.policies, self.selecting)
        return [s for s in (Scenario(*each) for each in numbers) if s.possible]


FULL = Effort(
    local_pods=(10, 110, 250),
    policies=(10, 100, 1_000, 10_000),
    selecting=(1, 10, 100),
    linear=tuple(Scenario(110, policies, 1) for policies in (10, 100, 1_000, 10_000)),
    chains=(
        Scenario(10, 1_000, 1),
        *(Scenario(110, 1_000, k) for k in (1, 10, 100)),
        Scenario(250, 1_000, 1),
        Scenario(110, 10_000, 10),
    ),
    tiers=(Scenario(110, 1_000, 1, 50), Scenario(110, 1_000, 10, 50)),
    six=(
        *(Scenario(110, 1_000, k, family=6) for k in (1, 10, 100)),
        Scenario(110, 1_000, 10, 50, family=6),
    ),
    rounds=61,
    slots=150,
    connects=150,
    deadline=300.0,
)
QUICK = Effort(
    local_pods=(10, 250),
    policies=(10, 1_000),
    selecting=(1, 10, 100),
    linear=(Scenario(110, 100, 1), Scenario(110, 1_000, 1)),
    chains=(Scenario(110, 1_000, 1), Scenario(110, 1_000, 10)),
    tiers=(Scenario(250, 1_000, 1, 50),),
    six=(Scenario(10, 10, 1, family=6), Scenario(250, 1_000, 10, family=6)),
    rounds=21,
    slots=80,
    connects=100,
    deadline=40.0,
)


@dataclass(frozen=True)
class Subject:
    """One ruleset. ``load`` puts it into the network namespace of the calling thread; ``enforced``:
    it denies what no policy allows."""

    name: str
    load: Callable[[], None]
    enforced: bool = True
    scenario: Scenario | None = None
    """Set for ours: a point of the grid."""
    family: int = 4
    """The IP version of its packets."""


@dataclass
class Series:
    """What the rounds measured of one ruleset, a value a round: nanoseconds."""

    established: list[float] = field(default_factory=list)
    one_way: list[float] = field(default_factory=list)
    connect: list[float] = field(default_factory=list)
    cycle: list[float] = field(default_factory=list)


Visit = tuple[float, float, float, float]
"""Established, one-way, connect, cycle."""


def subjects(effort: Effort) -> Iterator[Subject]:
    """Every ruleset, in the order of the tables."""
    yield Subject(NONE, _nothing, enforced=False)
    for name in (TRACKED, TWIN):
        yield Subject(name, _track, enforced=False)
    for scenario in effort.grid():
        yield Subject(f"ours, {scenario}", _loader(ours, scenario), scenario=scenario)
    for scenario in effort.tiers:
        yield Subject(f"ours, {scenario}", _loader(ours, scenario))
    if effort.six:
        yield Subject(TRACKED_BY[6], _track, enforced=False, family=6)
    for scenario in effort.six:
        yield Subject(f"ours, {scenario}", _loader(ours, scenario), family=6)
    for scenario in effort.linear:
        yield Subject(f"linear rules, {scenario}", _loader(linear, scenario))
    for scenario in effort.chains:
        yield Subject(f"chains and sets, {scenario}", _chain_loader(scenario))


def _nothing() -> None:
    """No table, no hook, no connection tracking."""


def _track() -> None:
    program(conntrack_only())


def _loader(make: Callable[..., Ruleset], scenario: Scenario) -> Callable[[], None]:
    return lambda: program(make(cluster(scenario)))


def _chain_loader(scenario: Scenario) -> Callable[[], None]:
    return lambda: run_nft(policy_chains(cluster(scenario)))


def program(ruleset: Ruleset) -> None:
    """Load a ruleset into the network namespace of the calling thread. Raises NftError."""
    with NftSocket() as opened:
        NetlinkNft(opened).replace(ruleset)


def pair(subject: Subject, sender: Sender) -> Pair:
    """The sockets of a new triple with a subject's rules, which do what they should.

    Raises LabError, NftError, or TrafficError.
    """
    made = triple.build(subject.family)
    with netns.inside(made.node):
        subject.load()
        triple.keep_closed_connections_briefly()
    found = Pair(made, sender, subject.family)
    found.check(subject.enforced)
    return found


def measure(
    pairs: Mapping[str, Pair], effort: Effort, say: Callable[[str], None]
) -> dict[str, Series]:
    """All rounds, or as many as there is time for."""
    found = {name: Series() for name in pairs}
    source = random.Random(1)
    ends = monotonic() + effort.deadline
    gc.collect()
    gc.disable()
    for number in range(effort.rounds):
        if monotonic() > ends:
            say(f"time is up after {number} of {effort.rounds} rounds")
            break
        for name, visits in one_round(pairs, effort, source).items():
            _keep(found[name], visits)
    gc.enable()
    return found


def one_round(
    pairs: Mapping[str, Pair], effort: Effort, source: random.Random
) -> dict[str, list[Visit]]:
    """Every pair once, the baselines ``VISITS`` times."""
    order = [name for name in pairs for _ in range(VISITS if name in BASELINES else 1)]
    source.shuffle(order)
    found: dict[str, list[Visit]] = {name: [] for name in pairs}
    for name in order:
        found[name].append(_visit(pairs[name], effort))
    return found


def _visit(visited: Pair, effort: Effort) -> Visit:
    established = visited.established(effort.slots, effort.budget)
    one_way = visited.one_way(effort.slots, effort.budget)
    return (established, one_way, *visited.connects(effort.connects, effort.budget))


def _keep(series: Series, visits: Sequence[Visit]) -> None:
    values = (series.established, series.one_way, series.connect, series.cycle)
    for kept, measured in zip(values, zip(*visits, strict=True), strict=True):
        kept.append(median(measured))
