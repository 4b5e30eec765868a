"""Tiers are shared by what they mean, and numbered so that memos can hang on numbers."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.engine.evaluate import evaluate
from podfence.model.cluster import Cluster, ClusterObject
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Action, Direction, Flow
from podfence.policy.index import (
    EVERYONE,
    CompiledRule,
    CompiledTier,
    DirectionPolicy,
    Match,
    PolicyIndex,
)
from podfence.policy.origin import Origin
from podfence.sets.ports import EVERYTHING
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    peer,
    pod,
    policy,
    rule,
)
from tests.support.random_clusters import TIERS, random_cluster
from tests.support.random_tiers import NAMES

WEB = pod("n/web", {"app": "web"}, addresses=["10.0.0.1"])
DB = pod("n/db", {"app": "db"}, addresses=["10.0.0.2"], ports=["pg:5432"])
OLD = pod("n/old", {"app": "old"}, addresses=["10.0.0.3"], ports=["pg:5433"])
PODS = (namespace("n"), WEB, DB, OLD)


ANY = Match(EVERYONE, EVERYTHING, "")


def compiled(*objects: ClusterObject) -> PolicyIndex:
    return compile_cluster(Cluster.of([*PODS, *objects]))


def ingress_of(index: PolicyIndex, name: str) -> DirectionPolicy:
    return index.policies[index.endpoints[name].endpoint_class].ingress


def reaches(index: PolicyIndex, name: str) -> bool:
    source, destination = WEB.addresses[0], index.endpoints[name].addresses[0]
    return evaluate(index, Flow(source, destination, "TCP", 80)).allowed


# -- what is shared


def test_classes_of_the_same_policies_share_one_direction_policy() -> None:
    index = compiled(policy("n/all", ingress=[rule(peer(pods={"app": "web"}))]))
    assert ingress_of(index, "n/db") is ingress_of(index, "n/old")


def test_np_32_a_port_name_with_two_numbers_makes_two_of_them() -> None:
    index = compiled(policy("n/pg", ingress=[rule(ports=["pg"])]))
    db, old = ingress_of(index, "n/db"), ingress_of(index, "n/old")
    assert db.key != old.key
    assert [str(m.ports) for t in db.tiers for r in t.rules for m in r.matches] == ["TCP/5432"]
    assert [str(m.ports) for t in old.tiers for r in t.rules for m in r.matches] == ["TCP/5433"]


@pytest.mark.parametrize("first", ["n/a", "n/a n/b"])
def test_names_that_run_into_each_other_are_kept_apart(first: str) -> None:
    """A policy may be called ``a n/b`` where a server does not check names: it is not a and b."""
    names = ("n/a", "n/b", "n/a n/b")
    opened = [policy(name, {"app": "db"}, ingress=[rule()]) for name in names[:2]]
    closed = policy("n/a n/b", {"app": "old"}, types=["Ingress"])
    policies = [*opened, closed]
    policies.sort(key=lambda p: str(p.ref) != first)
    index = compiled(*policies)
    db, old = ingress_of(index, "n/db"), ingress_of(index, "n/old")
    assert (reaches(index, "n/db"), reaches(index, "n/old")) == (True, False)
    assert db.key != old.key
    verdicts = lower(index, LocalNode("x")).maps["in4"].elements
    assert verdicts[int(DB.addresses[0]),] != verdicts[int(OLD.addresses[0]),]


# -- numbers


def tiers_of(index: PolicyIndex) -> Iterator[CompiledTier]:
    return (tier for policy in index.direction_policies.values() for tier in policy.tiers)


@given(st.randoms(use_true_random=False))
def test_a_number_means_one_rule_one_tier_one_direction(rng: Random) -> None:
    index = compile_cluster(random_cluster(rng, TIERS), NAMES)
    rules: dict[int, CompiledRule] = {}
    tiers: dict[int, CompiledTier] = {}
    for tier in tiers_of(index):
        assert tiers.setdefault(tier.number, tier) is tier
        for each in tier.rules:
            assert rules.setdefault(each.number, each) is each
    for number, direction_policy in index.direction_policies.items():
        assert direction_policy.number == number
    keys = [direction_policy.key for direction_policy in index.direction_policies.values()]
    assert len(set(keys)) == len(keys)


# -- what a tier can do

EDGE = Origin(WEB.ref, "spec.ingress[0]")


def tier(*actions: Action, default: Action = Action.PASS) -> CompiledTier:
    rules = [CompiledRule(n, action, (ANY,), EDGE) for n, action in enumerate(actions)]
    return CompiledTier(0, "any", "any", tuple(rules), default)


@pytest.mark.parametrize(
    ("made", "accepts", "denies", "passes"),
    [
        (tier(default=Action.DENY), False, True, False),
        (tier(Action.ACCEPT, default=Action.DENY), True, True, False),
        (tier(Action.ACCEPT), True, False, True),
        (tier(Action.DENY, Action.PASS), False, True, True),
        (tier(Action.DENY, default=Action.ACCEPT), True, True, False),
    ],
)
def test_what_a_tier_can_do(made: CompiledTier, accepts: bool, denies: bool, passes: bool) -> None:
    assert (made.can_accept, made.can_deny, made.can_pass) == (accepts, denies, passes)


def test_a_rule_that_matches_nothing_does_nothing() -> None:
    dead = CompiledRule(0, Action.DENY, (), EDGE)
    assert not CompiledTier(0, "any", "any", (dead,), Action.PASS).can_deny


@pytest.mark.parametrize("action", [Action.DENY, Action.PASS])
def test_isolation_only_accepts(action: Action) -> None:
    with pytest.raises(ValueError, match="can only accept"):
        tier(action, default=Action.DENY)


def test_cnp_13_tiers_after_isolation_are_not_in_force() -> None:
    index = compiled(
        cluster_policy(
            "admin", namespaces={}, ingress=[cluster_rule("Pass", cluster_peer(namespaces={}))]
        ),
        cluster_policy(
            "base",
            namespaces={},
            tier="Baseline",
            ingress=[cluster_rule("Deny", cluster_peer(namespaces={}))],
        ),
        policy("n/db", {"app": "db"}, types=["Ingress"]),
    )
    db, old = ingress_of(index, "n/db"), ingress_of(index, "n/old")
    assert [t.name for t in db.in_force] == ["Admin", "NetworkPolicy"]
    assert [t.name for t in db.tiers] == ["Admin", "NetworkPolicy", "Baseline"]
    assert [t.name for t in old.in_force] == ["Admin", "Baseline"]


# -- flows


@pytest.mark.parametrize(
    ("source", "protocol", "port"),
    [
        ("fd00::1", "TCP", 80),
        ("10.0.0.1", "TPC", 80),
        ("10.0.0.1", "tcp", 80),
        ("10.0.0.1", "TCP", -4),
        ("10.0.0.1", "TCP", 65536),
        ("10.0.0.1", "OTHER", 7),
    ],
)
def test_a_flow_that_no_packet_can_be_is_refused(source: str, protocol: str, port: int) -> None:
    with pytest.raises(ValueError, match=r"IP families|port"):
        Flow(ip_address(source), DB.addresses[0], protocol, port)


@pytest.mark.parametrize("direction", Direction)
def test_directions_have_their_words_in_manifests(direction: Direction) -> None:
    one = rule()
    made = policy("n/p", **{direction.value: [one]})  # type: ignore[arg-type]
    other = next(d for d in Direction if d is not direction)
    assert made.rules_of(direction.policy_type) == (one,)
    assert made.rules_of(other.policy_type) == ()
