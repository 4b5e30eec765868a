"""What a change takes away: nothing, what was left of addresses that nobody has, or more."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

import pytest
from msgspec.structs import replace

from podfence.model.cluster import ClusterObject
from podfence.nft.difference import apply, diff, load
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.lowering.polarity import ChainUses, Polarity
from podfence.nft.lowering.tightening import Differences, Tightening, judged, tightening
from podfence.nft.ruleset import Ruleset
from podfence.policy.compile import compile_cluster
from podfence.sets.members import Members
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    peer,
    pod,
    policy,
    rule,
)
from tests.nft.cases import CASES, DB_ALLOW, DENY_ALL, NODE, index_of
from tests.support.losses import changed, losses, released
from tests.support.random_clusters import TIERS, Size, random_cluster
from tests.support.random_tiers import NAMES

HERE = replace(NODE, pods=frozenset(f"shop/{name}" for name in ("web", "db", "job", "near")))
NO, OWED, NOW = Tightening.NO, Tightening.OWED, Tightening.NOW
FAR = pod("shop/far", {"app": "web"}, addresses=["10.9.0.7", "fd00:9::7"])
FAR_HEIR = pod("shop/heir", {"app": "other"}, addresses=["10.9.0.7", "fd00:9::7"])
FAR_MOVED = pod("shop/far", {"app": "moved"}, addresses=["10.9.0.7", "fd00:9::7"])
NEAR = pod("shop/near", {"app": "web"}, addresses=["10.1.0.9"])
MORE = policy("shop/db-more", {"app": "db"}, ingress=[rule(peer(pods={"app": "job"}), ports=[1])])
DB_MORE = replace(DB_ALLOW, ingress=(*DB_ALLOW.ingress, rule(peer(pods={"app": "job"}))))
OPEN_DB = policy("shop/db-allow", {"app": "db"}, ingress=[rule()])


def tier(*actions: str, name: str = "guard", app: str = "web") -> ClusterObject:
    """An Admin policy with a rule for each action, all about the same peers."""
    rules = [cluster_rule(action, cluster_peer(pods={"app": app})) for action in actions]
    return cluster_policy(name, ingress=rules)


DENY_WEB, ACCEPT_WEB, PASS_WEB = (tier(action) for action in ("Deny", "Accept", "Pass"))
PASS_ACCEPT = cluster_policy(
    "guard",
    ingress=[
        cluster_rule("Pass", cluster_peer(pods={"app": "web"})),
        cluster_rule("Accept"),
    ],
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param([DB_ALLOW], [DB_ALLOW, FAR], NO, id="a peer comes"),
        pytest.param([DB_ALLOW, FAR], [DB_ALLOW], OWED, id="a peer disappears"),
        pytest.param([DB_ALLOW, FAR], [DB_ALLOW, FAR_HEIR], NOW, id="its address has an heir"),
        pytest.param([DB_ALLOW, FAR], [DB_ALLOW, FAR_MOVED], NOW, id="a peer is relabelled"),
        pytest.param([DB_ALLOW, NEAR], [DB_ALLOW], OWED, id="a local pod disappears"),
        pytest.param([DB_ALLOW, MORE], [DB_ALLOW], NOW, id="a policy goes"),
        pytest.param([DB_ALLOW], [DB_MORE], NO, id="a policy allows more"),
        pytest.param([DB_ALLOW, FAR], [DB_MORE, FAR_MOVED], NOW, id="more, and a peer less"),
        pytest.param([DB_ALLOW, FAR], [DB_MORE], OWED, id="more, and a peer is gone"),
        pytest.param([DB_ALLOW, MORE, FAR], [DB_ALLOW], NOW, id="a policy and a peer go"),
        pytest.param([DENY_WEB], [DENY_WEB, FAR], NOW, id="CNP-11 a pod joins a set that denies"),
        pytest.param([DENY_WEB, FAR], [DENY_WEB], NO, id="CNP-11 one leaves it and is gone"),
        pytest.param([DENY_WEB, FAR], [DENY_WEB, FAR_MOVED], NO, id="CNP-11 one leaves it"),
        pytest.param(
            [ACCEPT_WEB, DENY_ALL], [ACCEPT_WEB, DENY_ALL, NEAR], NO, id="CNP-10 accepted"
        ),
        pytest.param(
            [ACCEPT_WEB, DENY_ALL, FAR], [ACCEPT_WEB, DENY_ALL, FAR_MOVED], NOW, id="CNP-10 no more"
        ),
        pytest.param(
            [PASS_ACCEPT, DENY_ALL, FAR_MOVED],
            [PASS_ACCEPT, DENY_ALL, FAR],
            NOW,
            id="CNP-12 passed before it is accepted",
        ),
        pytest.param(
            [DENY_WEB, DB_ALLOW], [DENY_WEB, DB_ALLOW, MORE], NO, id="NP-7 more behind Deny"
        ),
        pytest.param(
            [PASS_ACCEPT, DB_ALLOW],
            [PASS_ACCEPT, DB_ALLOW, MORE],
            NO,
            id="NP-7 more behind an appeal that passes",
        ),
        pytest.param(
            [DENY_WEB, DB_ALLOW, FAR],
            [DENY_WEB, OPEN_DB, FAR_MOVED],
            NO,
            id="more behind a tier that denies fewer",
        ),
        pytest.param([DENY_WEB, DENY_ALL], [DENY_WEB], NO, id="NP-2 isolation behind a tier ends"),
        pytest.param(
            [DENY_WEB], [DENY_WEB, DENY_ALL], NOW, id="NP-5 isolation behind a tier begins"
        ),
        pytest.param(
            [tier("Deny", "Deny")], [tier("Deny")], NO, id="CNP-3 a rule that denies goes"
        ),
        pytest.param(
            [DENY_WEB], [tier("Accept", "Deny")], NO, id="CNP-7 a rule that accepts comes first"
        ),
        pytest.param(
            [tier("Accept", "Deny")], [DENY_WEB], NOW, id="CNP-7 a rule that accepts goes"
        ),
        pytest.param([DENY_WEB], [tier("Deny", app="job")], NOW, id="a tier denies others"),
    ],
)
def test_what_a_change_takes_away(
    before: list[ClusterObject], after: list[ClusterObject], expected: Tightening
) -> None:
    old, new = index_of(*before), index_of(*after)
    found = tightening(lower(old, HERE), lower(new, HERE), released(old, new))
    assert found is expected


def test_what_was_released_is_taken_away_now_when_nobody_says_so() -> None:
    old, new = (lower(index_of(*found), HERE) for found in ([DB_ALLOW, FAR], [DB_ALLOW]))
    assert tightening(old, new) is NOW
    other = {4: Members.of(4, [int(ip_address("10.9.0.8"))]), 6: Members(6)}
    assert tightening(old, new, other) is NOW


def test_a_whole_table_is_judged_anew() -> None:
    ruleset = CASES[2].ruleset
    touched = Differences.by(load(ruleset), ruleset, ruleset)
    assert judged(ruleset, ruleset, touched, ChainUses(ruleset.chains.values())) is NOW


# --- the law -----------------------------------------------------------------------------------


def step(rng: Random) -> None:
    """A few events of one cluster. Each loss is said; NOW, unless an end of it is gone; and what
    the operations say is no less than what the comparison of both rulesets says."""
    size = rng.choice((TIERS, TIERS, Size()))
    cluster, other = random_cluster(rng, size), random_cluster(rng, size)
    index = compile_cluster(cluster, NAMES)
    rules = lower(index, LocalNode("n"))
    for _ in range(4):
        cluster = changed(rng, cluster, other)
        following = compile_cluster(cluster, NAMES)
        wanted = lower(following, LocalNode("n"))
        gone = released(index, following)
        said = tightening(rules, wanted, gone)
        for loss in losses(index, following):
            ends = (loss.source, loss.destination)
            dead = any(int(end) in gone[end.version] for end in ends)
            assert said >= (OWED if dead else NOW), loss
        assert by_operations(rules, wanted, gone) is said
        index, rules = following, wanted


def by_operations(rules: Ruleset, wanted: Ruleset, gone: dict[int, Members]) -> Tightening:
    change = diff(rules, wanted)
    touched = Differences.by(change, rules, wanted)
    if touched.made:  # the table was replaced for a comment
        return tightening(rules, wanted, gone)
    return judged(rules, apply(rules, change), touched, ChainUses(rules.chains.values()), gone)


@pytest.mark.parametrize("seed", range(20))
def test_no_loss_is_missed(seed: int) -> None:
    """NP-42, on every flow between all addresses of small clusters."""
    for number in range(5):
        step(Random(f"{seed} {number}"))


@pytest.mark.slow
def test_no_loss_is_missed_in_two_thousand_events() -> None:
    for seed in range(500):
        step(Random(f"tightening {seed}"))


# --- polarity ----------------------------------------------------------------------------------


def polarities(*objects: ClusterObject) -> dict[str, Polarity]:
    """Of the sets of pods, by what their comment says of the selector."""
    ruleset = lower(index_of(*objects), NODE)
    uses = ChainUses(ruleset.chains.values())
    return {
        item.comment: uses.of_set(name)
        for name, item in ruleset.sets.items()
        if name.startswith("p4_")
    }


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param([DB_ALLOW], {Polarity.ACCEPTS}, id="isolation"),
        pytest.param([DENY_WEB], {Polarity.DENIES}, id="Deny"),
        pytest.param([ACCEPT_WEB, DENY_ALL], {Polarity.ACCEPTS}, id="Accept, asked on appeal"),
        pytest.param([PASS_ACCEPT, DENY_ALL], set(Polarity), id="Pass, asked on appeal; Accept"),
        pytest.param([tier("Pass", "Deny")], {Polarity.BOTH}, id="Pass and Deny of the same pods"),
    ],
)
def test_polarity_of_sets(objects: list[ClusterObject], expected: set[Polarity]) -> None:
    assert set(polarities(*objects).values()) == expected


def test_uses_follow_the_chains() -> None:
    one, other = (lower(index_of(*found), NODE) for found in ([DB_ALLOW], [DENY_WEB, DENY_ALL]))
    uses = ChainUses(one.chains.values())
    for chain in one.chains.values():
        uses.remove(chain)
    for chain in other.chains.values():
        uses.add(chain)
    fresh = ChainUses(other.chains.values())
    for name in {*one.sets, *other.sets}:
        assert uses.of_set(name) == fresh.of_set(name)
    for name in {*one.maps, *other.maps}:
        assert uses.of_map(name) == fresh.of_map(name)
    assert uses.bases == fresh.bases


def test_a_chain_can_be_left_out() -> None:
    ruleset = lower(index_of(DB_ALLOW), NODE)
    uses = ChainUses(ruleset.chains.values())
    (name,) = {n for n in ruleset.sets if n.startswith("p4_") and uses.of_set(n)}
    users = {n for n, chain in ruleset.chains.items() if name in str(chain.rules)}
    assert uses.of_set(name) is Polarity.ACCEPTS
    assert not uses.of_set(name, frozenset(users))
