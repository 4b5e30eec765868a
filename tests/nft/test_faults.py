"""Deliberate faults in the writing of rules: each is noticed by comparing with the engine.

Rule: a judge that never found anything guilty proves nothing. Every fault is one small change, and
the same few clusters must show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from random import Random

import pytest

from podfence.nft import keyed, lower, ports, skeleton
from podfence.nft.groups import Groups
from podfence.nft.keyed import RunWriter
from podfence.nft.objects import (
    RETURN,
    Expression,
    Field,
    Key,
)
from podfence.nft.peers import PeerSets
from podfence.nft.ports import PortQuestions
from podfence.nft.runs import Entry
from podfence.nft.views import SOURCES, VIEWS, View
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction, Flow
from podfence.policy.index import Peers, PolicyIndex
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING
from tests.nft.test_engine_agrees import agree
from tests.random_clusters import FlowSource, Size, random_cluster

SEEDS = range(24)
CROWDED = Size(pods=8, policies=20)


@pytest.fixture(autouse=True)
def few_rules_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small clusters have groups of both forms."""
    monkeypatch.setattr(keyed, "MAX_LINEAR", 3)


@cache
def cases() -> tuple[tuple[PolicyIndex, tuple[Flow, ...]], ...]:
    """Small clusters, and crowded ones for groups with many rules."""
    found = []
    for seed in SEEDS:
        rng = Random(seed)
        cluster = random_cluster(rng, CROWDED if seed % 3 == 0 else Size())
        source = FlowSource(cluster)
        flows = tuple(source.draw(rng) for _ in range(120))
        found.append((compile_cluster(cluster), flows))
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
    patch.setattr(View, "port", property(lambda _: Field.TH_DPORT))


@fault("NP-10 the peer is always the sender")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(View, "peer", property(lambda _: SOURCES))


@fault("NP-54 a pod can block itself")
def _(patch: pytest.MonkeyPatch) -> None:
    right = Groups._deny_rules
    patch.setattr(Groups, "_deny_rules", lambda s, *names: right(s, *names)[2:])


@fault("NP-25 peers of the other family are forgotten")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lower, "_families", lambda local, node: [4])


@fault("NP-24 except is ignored where it cuts a block in two")
def _(patch: pytest.MonkeyPatch) -> None:
    right = PeerSets._block_set

    def hull(self: PeerSets, peers: Peers, family: int, spans: list[tuple[int, int]]) -> str:
        return right(self, peers, family, [(spans[0][0], spans[-1][1])])

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
    right = PortQuestions.alternatives

    def tcp(self: PortQuestions, asked: PortSet, field: Field) -> list[tuple[Expression, ...]]:
        return right(self, PortSet.protocol("TCP") if asked == EVERYTHING else asked, field)

    patch.setattr(PortQuestions, "alternatives", tcp)


@fault("NP-5 the directions are swapped")
def _(patch: pytest.MonkeyPatch) -> None:
    right = skeleton.verdict_map

    def swapped(view: View, family: int) -> str:
        other = next(v for v in VIEWS if v.direction is not view.direction)
        return right(replace(other, reply=view.reply), family)

    patch.setattr(lower, "verdict_map", swapped)


@fault("NP-31 rules without numbered ports are forgotten")
def _(patch: pytest.MonkeyPatch) -> None:
    right = keyed._by_port

    def keys_only(entries: Iterable[Entry]) -> tuple[dict[Key, list[Entry]], list[Entry]]:
        return right(entries)[0], []

    patch.setattr(keyed, "_by_port", keys_only)


@fault("NP-7 the first of the peers of a port is dropped")
def _(patch: pytest.MonkeyPatch) -> None:
    right = keyed._united
    patch.setattr(keyed, "_united", lambda entries: list(right(entries))[1:])


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FAULTS[name](monkeypatch)
    assert noticed()
