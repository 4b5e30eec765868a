"""Groups with many rules: the same answers, and questions that do not grow with them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podfence.model.cluster import ClusterObject
from podfence.nft.difference import diff
from podfence.nft.lowering import keyed, ordered
from podfence.nft.lowering.lower import lower
from podfence.nft.lowering.ports import split_ports
from podfence.nft.objects import ChainVerdict, Lookup, VerdictMap, Vmap
from podfence.nft.ruleset import Ruleset
from podfence.nft.trace import trace
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from podfence.sets import PortSet
from podfence.testing.builders import (
    cluster_policy,
    cluster_rule,
    peer,
    pod,
    policy,
    rule,
)
from tests.nft.cases import DB, MANY_RULES, NODE, WEB, index_of
from tests.nft.test_engine_agrees import agree, tiered
from tests.nft.test_epoch import test_no_connection_outlives_its_permission as follow
from tests.support.losses import removes_permission
from tests.support.random_clusters import TIERS, FlowSource, Size, random_cluster
from tests.support.random_tiers import NAMES

CROWDED = Size(pods=10, policies=25, rules=4, items=4)


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_engine_and_trace_agree_on_many_rules(rng: Random) -> None:
    cluster = random_cluster(rng, CROWDED)
    source = FlowSource(cluster)
    agree(compile_cluster(cluster), tuple(source.draw(rng) for _ in range(40)))


CROWDED_TIERS = Size(policies=3, admin_policies=12, rules=4, items=3)


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_engine_and_trace_agree_on_many_ordered_rules(rng: Random) -> None:
    cluster = random_cluster(rng, CROWDED_TIERS)
    source = FlowSource(cluster)
    agree(compile_cluster(cluster, NAMES), tuple(source.draw(rng) for _ in range(40)))


@pytest.mark.law
@pytest.mark.parametrize(
    ("limit", "copies"),
    [
        pytest.param(0, 100, id="a port alone"),
        pytest.param(2, 100, id="a port alone, few rules in turn"),
        pytest.param(1, 2, id="ports together"),
        pytest.param(1, 0, id="all in turn"),
    ],
)
def test_engine_and_trace_agree_when_every_group_has_many(
    limit: int, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed, "MAX_LINEAR", limit)
    monkeypatch.setattr(ordered, "MAX_COPIES", copies)
    monkeypatch.setattr(ordered, "SHARED", 3)
    for seed in range(16):
        rng = Random(seed)
        cluster = random_cluster(rng, CROWDED_TIERS if seed % 2 else Size())
        source = FlowSource(cluster)
        flows = tuple(source.draw(rng) for _ in range(40))
        index = compile_cluster(cluster, NAMES)
        agree(index, flows)
        agree(tiered(index, rng), flows)


@pytest.mark.parametrize(
    ("actions", "passes"),
    [
        pytest.param(("Pass", "Deny"), True, id="CNP-12 asked whether it denies"),
        pytest.param(("Accept", "Deny"), True, id="CNP-10 asked whether it denies"),
        pytest.param(("Deny", "Accept"), False, id="CNP-11 asked whether it denies"),
    ],
)
@pytest.mark.parametrize("isolated", [False, True])
def test_a_rule_of_one_port_hides_one_of_all_ports(
    actions: tuple[str, str], passes: bool, isolated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CNP-7, and on appeal: what Pass hides is not accepted."""
    monkeypatch.setattr(keyed, "MAX_LINEAR", 0)
    first, second = actions
    rules = [cluster_rule(first, protocols=["80/TCP"]), cluster_rule(second)]
    if isolated:
        rules.append(cluster_rule("Accept"))
    isolation = [policy("shop/closed", {}, types=["Ingress"])] if isolated else []
    ruleset = ruleset_of(cluster_policy("hides", ingress=rules), *isolation)
    asked = Flow(WEB.addresses[0], DB.addresses[0], "TCP", 80)
    expected = passes and not (isolated and first == "Pass")
    assert trace(ruleset, asked).accepted is expected
    assert trace(ruleset, asked, reply=True).accepted is expected


@pytest.mark.law
def test_no_connection_outlives_its_permission_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """NP-42."""
    monkeypatch.setattr(keyed, "MAX_LINEAR", 1)
    for seed in range(40):
        follow.hypothesis.inner_test(TIERS if seed % 2 else Size(), Random(seed))


MAX_DEPTH = 13
"""Chains on one way through a ruleset; kernels refuse more than 16."""


def depth(ruleset: Ruleset, name: str) -> int:
    targets = {
        target
        for r in ruleset.chains[name].rules
        for part in r.parts
        for target in (
            {v.chain for v in ruleset.maps[part.map].elements.values()}
            if isinstance(part, Vmap)
            else {part.chain}
            if isinstance(part, ChainVerdict)
            else set()
        )
    }
    return 1 + max((depth(ruleset, target) for target in targets if target), default=0)


def test_no_way_is_deeper_than_kernels_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "MAX_LINEAR", 0)
    deepest = 0
    for seed in range(30):
        index = compile_cluster(random_cluster(Random(seed), TIERS), NAMES)
        ruleset = lower(index, NODE)
        deepest = max(deepest, depth(ruleset, "forward"), depth(ruleset, "input"))
    assert 8 < deepest <= MAX_DEPTH


def ruleset_of(*objects: ClusterObject) -> Ruleset:
    return lower(index_of(*objects), NODE)


def longest_way(ruleset: Ruleset, flow: Flow) -> int:
    """Rules that a flow's first packet meets in group chains, at most."""
    steps = trace(ruleset, flow).steps
    met = [step for step in steps if step.chain.startswith("in_")]
    return sum(step.rule + 1 for step in met)


@pytest.mark.parametrize("count", [17, 100, 1000])
@pytest.mark.parametrize("spread", [True, False], ids=["a port each", "one port"])
def test_the_way_does_not_grow_with_the_rules(count: int, spread: bool) -> None:
    policies = [
        policy(
            f"shop/p{n}",
            {"app": "db"},
            ingress=[rule(peer(pods={"n": str(n)}), ports=[1000 + n if spread else 1000])],
        )
        for n in range(count)
    ]
    last = pod("shop/last", {"n": str(count - 1)}, addresses=["10.1.0.9"])
    ruleset = ruleset_of(*policies, last)
    port = 1000 + count - 1 if spread else 1000
    allowed = Flow(last.addresses[0], DB.addresses[0], "TCP", port)
    refused = Flow(WEB.addresses[0], DB.addresses[0], "TCP", port)
    assert trace(ruleset, allowed).accepted
    assert not trace(ruleset, refused).accepted
    assert longest_way(ruleset, allowed) <= 4
    assert longest_way(ruleset, refused) <= 10


def test_ports_of_equal_peers_share_a_chain() -> None:
    (found,) = [m for m in keyed_maps(ruleset_of(MANY_RULES)) if "_r_" not in m.name]
    by_port = {key: verdict.chain for key, verdict in found.elements.items()}
    assert by_port[6, 22] == by_port[6, 23] == by_port[6, 24]
    assert by_port[6, 80] != by_port[6, 443]
    assert (6, 8000) not in by_port


def test_no_set_is_written_that_no_rule_asks() -> None:
    ruleset = ruleset_of(MANY_RULES)
    parts = [part for c in ruleset.chains.values() for r in c.rules for part in r.parts]
    assert {part.set for part in parts if isinstance(part, Lookup)} == ruleset.sets.keys()


def keyed_maps(ruleset: Ruleset) -> list[VerdictMap]:
    return [found for found in ruleset.maps.values() if found.name.startswith("in_")]


def test_a_pod_that_comes_changes_elements_only_and_no_epoch() -> None:
    before = ruleset_of(MANY_RULES)
    after = ruleset_of(MANY_RULES, pod("shop/x", {"n": "7"}, addresses=["10.1.0.9"]))
    assert after.chains == before.chains
    assert diff(before, after)
    assert not removes_permission(before, after)


def test_a_port_that_is_added_keeps_the_epoch() -> None:
    before = ruleset_of(MANY_RULES)
    more = policy("shop/more", {"app": "db"}, ingress=[rule(peer(pods={"app": "job"}), ports=[7])])
    assert not removes_permission(before, ruleset_of(MANY_RULES, more))
    assert removes_permission(ruleset_of(MANY_RULES, more), before)


@pytest.mark.parametrize(
    ("ports", "keys", "rest"),
    [
        pytest.param(PortSet.port("TCP", 80), [(6, 80)], "none", id="one port"),
        pytest.param(PortSet.port("UDP", 1, 3), [(17, 1), (17, 2), (17, 3)], "none", id="few"),
        pytest.param(PortSet.port("SCTP", 1, 17), [], "SCTP/1-17", id="a wide range"),
        pytest.param(PortSet.protocol("TCP"), [], "TCP", id="a protocol"),
        pytest.param(PortSet.protocol("OTHER"), [], "other", id="no ports"),
        pytest.param(PortSet.port("TCP", 9) | PortSet.protocol("UDP"), [(6, 9)], "UDP", id="both"),
    ],
)
def test_ports_that_can_be_looked_up(
    ports: PortSet, keys: list[tuple[int, int]], rest: str
) -> None:
    found, left = split_ports(ports)
    assert (found, str(left)) == (keys, rest)
