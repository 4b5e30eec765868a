"""The laws at length find what is wrong: faults that are planted in the readers, each in a position
that random sequences come to seldom."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from podfence.live.localpolicies import LocalPolicies
from podfence.live.node import LiveIndex
from podfence.live.peerwords import WordPorts
from podfence.live.selections import Selections
from podfence.nft.contents import OperationRefused
from podfence.nft.lowering.assembly import Assembly
from podfence.nft.lowering.leads import GroupMaps
from podfence.nft.lowering.tightening import Tightening
from tests.live.atlength import node, run

pytestmark = pytest.mark.slow
MOST = 200
"""Sequences until a fault has to be found."""
Plant = Callable[[pytest.MonkeyPatch], None]


def nothing(of: type, name: str, answer: Any = None) -> Plant:
    """A method that does nothing."""
    return lambda patch: patch.setattr(of, name, lambda *_, **__: answer)


def first_alone(patch: pytest.MonkeyPatch) -> None:
    """Of several answers about port names, only one is asked for again."""
    refresh = WordPorts.refresh

    def some(self: WordPorts, asked: Iterable[Any]) -> list[Any]:
        return refresh(self, list(asked)[:1])

    patch.setattr(WordPorts, "refresh", some)


def owed(patch: pytest.MonkeyPatch) -> None:
    """What is to be revoked now is revoked later."""
    tightens = Assembly._tightens

    def late(self: Assembly, *args: Any) -> Tightening:
        found = tightens(self, *args)
        return Tightening.OWED if found is Tightening.NOW else found

    patch.setattr(Assembly, "_tightens", late)


@pytest.mark.parametrize(
    "plant",
    [
        pytest.param(nothing(WordPorts, "about", ()), id="port names of pods that come"),
        pytest.param(nothing(WordPorts, "about_namespace", set()), id="of namespaces"),
        pytest.param(nothing(WordPorts, "about_addresses", ()), id="of addresses in blocks"),
        pytest.param(nothing(WordPorts, "_doubtful", {}), id="NP-60a of contested addresses"),
        pytest.param(first_alone, id="the first port name alone"),
        pytest.param(nothing(LiveIndex, "_look_again"), id="nothing is looked at again"),
        pytest.param(nothing(LocalPolicies, "of_cluster", set()), id="CNP-18 nodes, NP-60a"),
        pytest.param(nothing(Selections, "relabelled"), id="a relabelled namespace"),
        pytest.param(nothing(GroupMaps, "changes", ()), id="an address here"),
        pytest.param(owed, id="what is taken away"),
    ],
)
def test_a_planted_fault_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, OperationRefused, KeyError)):
        run(node, range(MOST), 50)
