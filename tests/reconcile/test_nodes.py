"""Changes of several nodes: which epoch they get, all or nothing, and what is put back."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from podfence.errors import NftError
from podfence.model.cluster import Cluster
from podfence.nft.difference import load
from podfence.nft.lowering.epoch import epoch
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.protocol import Nft
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction
from podfence.policy.compile import compile_cluster
from podfence.reconcile.nodes import NodeStep, commit
from podfence.testing.builders import peer, pod, policy, rule
from podfence.testing.fakenft import FakeNft

NODES = ("a", "b", "c")
WEB = pod("shop/web", {"app": "web"}, addresses=["10.0.0.1"])


def ruleset(*ports: int, clients: int = 1) -> Ruleset:
    """One pod that accepts connections of its clients to these ports."""
    allowed = rule(peer(pods={"app": "client"}), ports=ports)
    only = policy("shop/web", {"app": "web"}, ingress=[allowed])
    others = (
        pod(f"shop/c{n}", {"app": "client"}, addresses=[f"10.0.1.{n}"])
        for n in range(1, clients + 1)
    )
    index = compile_cluster(Cluster.of([WEB, only, *others]))
    return lower(index, LocalNode("node", frozenset({"shop/web"})))


class Nodes:
    """Nodes that enforce the same rules; those of ``refusing`` take no transaction from the
    ``after``-th on."""

    def __init__(self, rules: Ruleset, refusing: str = "", after: int = 0) -> None:
        self.kernels: Mapping[str, FakeNft] = {node: FakeNft() for node in NODES}
        self._refusing, self._after = refusing, after
        self.asked: list[str] = []
        for nft in self.kernels.values():
            nft.run(load(rules))

    def enforce(self, node: str, transaction: Transaction) -> None:
        self.asked.append(node)
        if node in self._refusing and self.asked.count(node) > self._after:
            raise NftError(f"{node} takes nothing")
        nft: Nft = self.kernels[node]
        nft.run(transaction)

    @property
    def rules(self) -> dict[str, Ruleset | None]:
        return {node: nft.list() for node, nft in self.kernels.items()}


def changes(current: Ruleset, wanted: Ruleset) -> dict[str, NodeStep]:
    return {node: NodeStep.between(current, wanted) for node in NODES}


@pytest.mark.parametrize(
    ("before", "after", "judges_again"),
    [
        pytest.param(1, 2, False, id="a-permission-comes"),
        pytest.param(2, 1, True, id="a-permission-goes"),
        pytest.param(1, 1, False, id="nothing-changes"),
    ],
)
def test_live_connections_are_judged_again_when_a_permission_goes(
    before: int, after: int, judges_again: bool
) -> None:
    change = NodeStep.between(ruleset(80, clients=before), ruleset(80, clients=after))
    assert change.judges_again is judges_again
    assert bool(change.transaction) is (before != after)


def test_every_node_gets_the_wanted_rules() -> None:
    nodes = Nodes(ruleset(80))
    done = commit(changes(ruleset(80), ruleset(443)), nodes.enforce)
    assert done.refused is None
    assert nodes.rules == done.rules
    assert {epoch(rules) for rules in done.rules.values()} == {2}


def test_a_node_without_a_change_is_not_asked() -> None:
    nodes = Nodes(ruleset(80))
    commit(changes(ruleset(80), ruleset(80)), nodes.enforce)
    assert nodes.asked == []


@pytest.mark.parametrize("refusing", NODES)
def test_what_one_node_refuses_no_node_keeps(refusing: str) -> None:
    nodes = Nodes(ruleset(80), refusing)
    done = commit(changes(ruleset(80), ruleset(443)), nodes.enforce)
    assert done.refused is not None
    assert done.refused.message == f"{refusing} takes nothing"
    assert nodes.rules == done.rules
    for node, rules in done.rules.items():
        again = NodeStep.between(ruleset(80), rules)
        assert not again.transaction or again.judges_again
        # A node that had the new rules for a moment judges what they allowed once more.
        assert epoch(rules) == (3 if node < refusing else 1)


def test_a_node_that_cannot_be_put_back_is_told() -> None:
    nodes = Nodes(ruleset(80), refusing="ab", after=1)
    nodes.asked.append("b")  # b has used up the one that it takes
    done = commit(changes(ruleset(80), ruleset(443)), nodes.enforce)
    assert done.refused is not None
    assert done.refused.message == (
        "b takes nothing; node a could not be put back: a takes nothing"
    )
    assert done.refused.code == "PF005"
    assert nodes.rules == done.rules
