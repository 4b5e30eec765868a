"""Who was denied, and by what: as the engine says, in random clusters and in small ones."""

from __future__ import annotations

import pytest

from podfence.drops.attempt import Attempt
from podfence.drops.attribution import BLAMED, NEAREST, Attribution
from podfence.drops.record import PAST, Cause, FlowEnd, NamedRule
from podfence.live.node import LiveIndex
from podfence.model.cluster import ClusterObject
from podfence.model.facts import Gone, Put
from podfence.testing.builders import node, peer, pod, policy, rule
from podfence.testing.facts import facts_of
from tests.support.drop_worlds import compare
from tests.support.live_worlds import key_of

WEB = pod("shop/web", {"app": "web"}, addresses=["10.0.0.1"], node="n2")
DB = pod("shop/db", {"app": "db"}, addresses=["10.0.0.2"], node="n1")
FROM_API = policy(
    "shop/db-allow",
    {"app": "db"},
    ingress=[
        rule(peer(pods={"app": "api"}), ports=[5432]),
        rule(peer(pods={"app": "web"}), ports=[1]),
    ],
)
WEB_AT, DB_AT = (4, 0x0A000001), (4, 0x0A000002)
TO_DB = Attempt("in_0", WEB_AT, DB_AT, 6, "TCP", "TCP", 5432)


def asker(*things: ClusterObject) -> tuple[LiveIndex, Attribution]:
    live = LiveIndex("n1")
    live.apply([Put(facts_of(thing)) for thing in things])
    return live, Attribution(live, lambda _: "in_0")


@pytest.mark.parametrize("seed", range(12))
def test_the_cause_is_that_of_the_engine(seed: int) -> None:
    compare(seed, 60)


@pytest.mark.parametrize("seed", range(24))
def test_what_audited_policies_would_drop_has_the_cause_that_the_engine_has(seed: int) -> None:
    compare(seed, 60, audited=(0.4, 0.8)[seed % 2])


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_the_same_for_many_clusters(block: int) -> None:
    assert sum(compare(seed, 300) for seed in range(100 + block * 40, 140 + block * 40)) > 500


def test_isolation_names_policies_and_near_misses_the_nearest_first() -> None:
    _, asked = asker(WEB, DB, FROM_API)
    name = ("NetworkPolicy", "shop/db-allow")
    assert asked.cause(TO_DB) == Cause(
        "isolated",
        "NetworkPolicy",
        (NamedRule(*name, "spec.podSelector"),),
        (
            NamedRule(
                *name,
                "spec.ingress[1]",
                "near miss: the peer fits (spec.ingress[1].from[0]), but it allows only TCP/1",
            ),
            NamedRule(
                *name, "spec.ingress[0]", "near miss: the port fits (TCP/5432), but no peer does"
            ),
        ),
    )


def test_near_misses_are_few() -> None:
    rules = [rule(peer(pods={"app": f"x{number}"})) for number in range(NEAREST + 5)]
    _, asked = asker(WEB, DB, policy("shop/many", {"app": "db"}, ingress=rules))
    assert len(asked.cause(TO_DB).near) == NEAREST


def test_policies_that_isolate_are_few_and_the_others_are_counted() -> None:
    """Thousands of drops are kept, each with its cause."""
    many = [policy(f"shop/p{number:03}", {"app": "db"}, ingress=[]) for number in range(BLAMED + 3)]
    _, asked = asker(WEB, DB, *many)
    cause = asked.cause(TO_DB)
    assert (len(cause.policies), cause.more) == (BLAMED, 3)


def test_rules_that_are_gone_are_not_blamed() -> None:
    live, asked = asker(WEB, DB, FROM_API)
    live.apply([Gone(*key_of(FROM_API))])
    assert asked.cause(TO_DB) == Cause(PAST)
    live.apply([Gone(*key_of(DB))])
    assert asked.cause(TO_DB) == Cause(PAST)


@pytest.mark.parametrize("denier", ["unknown", "stateless", "closed"])
def test_what_no_policy_denies(denier: str) -> None:
    _, asked = asker(WEB, DB, FROM_API)
    cause = asked.cause(Attempt(denier, WEB_AT, DB_AT, 6, "TCP", "TCP", 5432))
    assert cause == Cause(denier)


def test_an_address_is_named_by_its_pod_node_or_neither() -> None:
    twin = pod("shop/twin", {"app": "web"}, addresses=["10.0.0.1"], node="n2")
    live, asked = asker(WEB, DB, twin, node("n2", "172.18.0.2"))
    assert asked.end(DB_AT) == FlowEnd("10.0.0.2", ("shop/db",))
    assert asked.end(WEB_AT) == FlowEnd("10.0.0.1", ("shop/twin", "shop/web"))
    assert asked.end((4, 0xAC120002)) == FlowEnd("172.18.0.2", (), "n2")
    assert asked.end((6, 1)) == FlowEnd("::1")
    live.apply([Gone("Node", "", "n2")])
    assert asked.end((4, 0xAC120002)) == FlowEnd("172.18.0.2")


def test_a_packet_whose_port_is_not_known_has_a_cause() -> None:
    _, asked = asker(WEB, DB, FROM_API)
    assert asked.cause(Attempt("in_0", WEB_AT, DB_AT, 6, "TCP", "TCP")).reason == "isolated"
