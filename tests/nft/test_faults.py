"""Deliberate faults in the writing of rules: each is noticed by comparing with the engine.

Rule: a judge that never found anything guilty proves nothing. Every fault is one small change, and
the same few clusters must show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from random import Random

import pytest
from msgspec.structs import replace

from podfence.nft.lowering import dispatch, groups, keyed, lower, ordered, ports, skeleton
from podfence.nft.lowering.groups import Groups, VerdictMatches
from podfence.nft.lowering.keyed import RunWriter
from podfence.nft.lowering.peers import PeerSets
from podfence.nft.lowering.ports import PortMatches, RuleMatch, Run, in_runs
from podfence.nft.lowering.tierchains import SharedTiers
from podfence.nft.lowering.views import DESTINATIONS, SOURCES, VIEWS, DirectionView
from podfence.nft.objects import (
    RETURN,
    Chain,
    ChainVerdict,
    Expression,
    Field,
    Key,
    Lookup,
    Rule,
)
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction, Flow
from podfence.policy.index import AddressPeers, CompiledTier, DirectionPolicy, PolicyIndex
from podfence.sets import IntervalSet, PortSet
from podfence.sets.ports import EVERYTHING
from tests.nft.test_engine_agrees import agree
from tests.support.random_clusters import TIERS, FlowSource, Size, random_cluster
from tests.support.random_tiers import NAMES

pytestmark = pytest.mark.law
SEEDS = range(60)
SIZES = (Size(pods=8, policies=20), Size(), TIERS)
"""Crowded ones for groups with many rules, plain ones, and ones with tiers."""


@pytest.fixture(autouse=True)
def few_rules_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small clusters have groups of both forms."""
    monkeypatch.setattr(keyed, "MAX_LINEAR", 3)


@cache
def cases() -> tuple[tuple[PolicyIndex, tuple[Flow, ...]], ...]:
    """The clusters that every fault is looked for in."""
    found = []
    for seed in SEEDS:
        rng = Random(seed)
        cluster = random_cluster(rng, SIZES[seed % len(SIZES)])
        source = FlowSource(cluster)
        flows = tuple(source.draw(rng) for _ in range(300))
        found.append((compile_cluster(cluster, NAMES), flows))
    return tuple(found)


def noticed() -> bool:
    """Whether some flow of some cluster is answered otherwise than by the engine."""
    try:
        for index, flows in cases():
            agree(index, flows)
    except AssertionError:
        return True
    return False


def test_the_rules_as_they_are_have_no_fault() -> None:
    assert not noticed()


Patch = Callable[[pytest.MonkeyPatch], None]
FAULTS: dict[str, Patch] = {}


def fault(name: str) -> Callable[[Patch], Patch]:
    """Registers a fault under the clause that it breaks."""

    def register(patch: Patch) -> Patch:
        FAULTS[name] = patch
        return patch

    return register


@fault("NP-7 what no rule allows is allowed")
def _(patch: pytest.MonkeyPatch) -> None:
    right = RunWriter.chains
    patch.setattr(
        RunWriter, "chains", lambda s, start, runs, _, view: right(s, start, runs, RETURN, view)
    )


@fault("NP-6 the ingress side is not asked")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(skeleton, "VIEWS", tuple(v for v in VIEWS if v.direction is Direction.EGRESS))


@fault("NP-41 replies are asked with the ports of the first packet")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DirectionView, "port", property(lambda _: Field.TH_DPORT))


@fault("NP-10 the peer is always the sender")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DirectionView, "peer", property(lambda _: SOURCES))


@fault("NP-54 a pod can block itself")
def _(patch: pytest.MonkeyPatch) -> None:
    right = Groups._deny_rules
    patch.setattr(Groups, "_deny_rules", lambda s, *names: right(s, *names)[2:])


@fault("NP-25 peers of the other family are forgotten")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lower, "spoken", lambda versions, pod_cidrs: [4])


@fault("NP-24 except is ignored where it cuts a block in two")
def _(patch: pytest.MonkeyPatch) -> None:
    right = PeerSets._block_set

    def hull(self: PeerSets, peers: AddressPeers) -> str:
        spans = peers.addresses.intervals
        whole = IntervalSet.of((spans[0][0], spans[-1][1]))
        return right(self, replace(peers, addresses=whole))

    patch.setattr(PeerSets, "_block_set", hull)


@fault("NP-37 endPort is not included")
def _(patch: pytest.MonkeyPatch) -> None:
    right = ports._inline

    def short(span: tuple[int, int, int], field: Field) -> tuple[Expression, ...]:
        protocol, low, high = span
        return right((protocol, low, max(low, high - 1)), field)

    patch.setattr(ports, "_inline", short)


@fault("NP-13 no ports means TCP alone")
def _(patch: pytest.MonkeyPatch) -> None:
    right = PortMatches.alternatives

    def tcp(self: PortMatches, asked: PortSet, field: Field) -> list[tuple[Expression, ...]]:
        return right(self, PortSet.protocol("TCP") if asked == EVERYTHING else asked, field)

    patch.setattr(PortMatches, "alternatives", tcp)


@fault("NP-5 the directions are swapped")
def _(patch: pytest.MonkeyPatch) -> None:
    right = skeleton.verdict_map

    def swapped(view: DirectionView, family: int) -> str:
        other = next(v for v in VIEWS if v.direction is not view.direction)
        return right(replace(other, reply=view.reply, audit=view.audit), family)

    patch.setattr(dispatch, "verdict_map", swapped)


@fault("NP-31 rules without numbered ports are forgotten")
def _(patch: pytest.MonkeyPatch) -> None:
    right = keyed._by_port

    def keys_only(
        entries: Iterable[RuleMatch],
    ) -> tuple[dict[Key, list[RuleMatch]], list[RuleMatch]]:
        return right(entries)[0], []

    patch.setattr(keyed, "_by_port", keys_only)


@fault("NP-7 the first of the peers of a port is dropped")
def _(patch: pytest.MonkeyPatch) -> None:
    right = keyed._united
    patch.setattr(keyed, "_united", lambda entries: list(right(entries))[1:])


@fault("CNP-1 Admin is not asked")
def _(patch: pytest.MonkeyPatch) -> None:
    right = groups._asked

    def without_admin(policy: DirectionPolicy) -> groups._Asked:
        tiers = (tier for tier in policy.tiers if tier.name != "Admin")
        return right(replace(policy, tiers=tuple(tiers)))

    patch.setattr(groups, "_asked", without_admin)


@fault("CNP-10 what Admin accepts is denied by isolation all the same")
def _(patch: pytest.MonkeyPatch) -> None:
    right = SharedTiers.asked

    def no_appeal(
        self: SharedTiers, tiers: Sequence[CompiledTier], view: DirectionView, *, isolated: bool
    ) -> tuple[list[str], str]:
        return right(self, tiers, view, isolated=isolated)[0], ""

    patch.setattr(SharedTiers, "asked", no_appeal)


@fault("CNP-12 Pass accepts")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SharedTiers, "_denied", lambda *_: RETURN)


@fault("CNP-13 isolation passes to Baseline")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DirectionPolicy, "in_force", property(lambda self: self.tiers))


@fault("CNP-7 the order of many rules is lost")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        ordered, "in_runs", lambda found: in_runs(sorted(found, key=lambda e: repr(e[0])))
    )


@fault("CNP-7 rules of all ports come after those of one port")
def _(patch: pytest.MonkeyPatch) -> None:
    right = ordered._holders

    def apart(
        entries: Sequence[ordered.Numbered],
    ) -> tuple[dict[Key, list[int]], list[ordered.Numbered]]:
        indices, others = right(entries)
        wide = {at for at, (_, entry) in enumerate(entries) if entry.ports == EVERYTHING}
        return {
            key: [at for at in found if at not in wide] for key, found in indices.items()
        }, others

    patch.setattr(ordered, "_holders", apart)


@fault("CNP-21 rules without protocols forget those without ports")
def _(patch: pytest.MonkeyPatch) -> None:
    right = ordered.by_port

    def lists_alone(runs: Sequence[Run], default: ChainVerdict) -> ordered.PortLists | None:
        found = right(runs, default)
        return None if found is None else replace(found, others=())

    patch.setattr(keyed, "by_port", lists_alone)


@fault("CNP-27 a pod that a Service leads back to itself is not judged by tiers")
def _(patch: pytest.MonkeyPatch) -> None:
    right = Groups._of_view

    def exempt(
        self: Groups,
        start: Chain,
        asked: groups._Asked,
        entries: VerdictMatches | None,
        view: DirectionView,
    ) -> Iterator[Chain]:
        for chain in right(self, start, asked, entries, view):
            itself = Rule((Lookup((SOURCES[4], DESTINATIONS[4]), "self4"), RETURN))
            starts = chain.name == f"{start.name}{view.suffix}"
            yield replace(chain, rules=(itself, *chain.rules)) if starts else chain

    patch.setattr(Groups, "_of_view", exempt)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS[name](monkeypatch)
    assert noticed()
