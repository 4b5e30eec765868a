"""No connection outlives its permission, and none is judged again without need."""

from __future__ import annotations

from ipaddress import ip_network
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Pod
from podfence.nft.difference import apply, diff
from podfence.nft.lowering.epoch import epoch, mark_mask, most, with_epoch
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.objects import ACCEPT, CtMark, CtStateBit, Rule
from podfence.nft.ruleset import Ruleset
from podfence.nft.trace import first_packet, reply_packet, trace_packet
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from podfence.policy.index import PolicyIndex
from podfence.reconcile.bumps import EpochBumps
from podfence.reconcile.nodes import NodeStep
from podfence.reconcile.states import is_ours
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    peer,
    pod,
    policy,
    rule,
)
from tests.nft.cases import CASES, DB_ALLOW, DENY_ALL, NODE, WEB_OUT, index_of
from tests.nft.test_engine_agrees import tiered
from tests.support.losses import removes_permission
from tests.support.random_clusters import TIERS, FlowSource, Size, objects_of, random_cluster
from tests.support.random_tiers import NAMES

RANGES = ((ip_network("10.0.0.0/28"), ip_network("fd00::/16")), (ip_network("10.0.0.0/30"),), ())


def changed(rng: Random, cluster: Cluster, other: Cluster) -> Cluster:
    """A cluster with one object less, or with one of another cluster more."""
    kept = list(objects_of(cluster))
    taken = {k for item in kept for k in (key(item), *addresses(item))}
    new = [item for item in objects_of(other) if not {key(item), *addresses(item)} & taken]
    if new and rng.random() < 0.4:
        return Cluster.of([*kept, rng.choice(new)])
    named = [item for item in kept if isinstance(item, Pod | NetworkPolicy | ClusterNetworkPolicy)]
    gone = rng.choice(named or [None])
    return Cluster.of(item for item in kept if item is not gone)


def key(item: ClusterObject) -> object:
    return type(item), getattr(item, "ref", None) or (
        getattr(item, "namespace", ""),
        getattr(item, "name", ""),
    )


def addresses(item: ClusterObject) -> tuple[object, ...]:
    return getattr(item, "addresses", ())


def passes(ruleset: Ruleset, flow: Flow, mark: int, reply: bool) -> bool:
    """Whether a packet of a connection that carries ``mark`` passes."""
    first = replace(first_packet(flow), state=CtStateBit.ESTABLISHED, mark=mark)
    packet = reply_packet(flow, mark) if reply else first
    return trace_packet(ruleset, packet).accepted


def check_succession(rulesets: list[Ruleset], flows: list[Flow]) -> None:
    """Connections opened under the first ruleset, followed through all the others."""
    current = rulesets[0]
    opened = {flow: trace_packet(current, first_packet(flow)) for flow in flows}
    marks = {flow: outcome.mark for flow, outcome in opened.items() if outcome.accepted}
    for wanted in rulesets[1:]:
        after = NodeStep.between(current, wanted).wanted
        current = apply(current, diff(current, after))
        for flow, mark in marks.items():
            for reply in (False, True):
                allowed = passes(current, flow, 0, reply)
                assert passes(current, flow, mark, reply) is allowed, flow


@pytest.mark.parametrize("size", [Size(), TIERS], ids=["policies", "tiers"])
@given(rng=st.randoms(use_true_random=False))
def test_no_connection_outlives_its_permission(size: Size, rng: Random) -> None:
    """NP-42."""
    cluster, other = random_cluster(rng, size), random_cluster(rng, size)
    local = frozenset(f"{p.namespace}/{p.name}" for p in cluster.pods if rng.random() < 0.6)
    source = FlowSource(cluster)
    flows = [source.draw(rng) for _ in range(25)]
    ranges = RANGES[rng.randrange(3)]
    rulesets = []
    for _ in range(6):
        ranges = ranges if rng.random() < 0.9 else RANGES[rng.randrange(3)]
        node = LocalNode("n", pods=local, pod_cidrs=ranges)
        rulesets.append(lower(compile_cluster(cluster, NAMES), node))
        cluster = changed(rng, cluster, other)
    check_succession(rulesets, flows)


@given(st.randoms(use_true_random=False))
def test_no_connection_outlives_its_permission_in_ordered_tiers(rng: Random) -> None:
    cluster, other = random_cluster(rng), random_cluster(rng)
    source = FlowSource(cluster)
    flows = [source.draw(rng) for _ in range(20)]
    index = tiered(compile_cluster(cluster), rng)
    grown = tiered(compile_cluster(changed(rng, cluster, other)), rng)
    more = with_members_of(index, rng)
    check_succession([lower(i, LocalNode("n")) for i in (index, more, grown)], flows)


def with_members_of(index: PolicyIndex, rng: Random) -> PolicyIndex:
    """The same rules, with pods that left: sets shrink under chains that do not change."""
    gone = {id(e) for e in index.endpoints.values() if rng.random() < 0.2}
    left = {a: e for a, e in index.by_address.items() if id(e) not in gone}
    members = tuple(tuple(e for e in found if id(e) not in gone) for found in index.members)
    return replace(index, by_address=left, members=members)


NEW = pod("shop/new", {"app": "web"}, addresses=["10.1.0.7"])
FAR = pod("shop/far", {"app": "web"}, addresses=["10.9.0.7"])
JOB2 = pod("shop/job2", {"app": "job"}, addresses=["10.1.0.8"])
NO_JOB = cluster_policy("no-job", ingress=[cluster_rule("Deny", cluster_peer(pods={"app": "job"}))])
ALL_PODS = cluster_policy("pods", ingress=[cluster_rule("Accept")], egress=[cluster_rule("Accept")])
MORE = policy("shop/db-more", {"app": "db"}, ingress=[rule(peer(pods={"app": "job"}), ports=[1])])


@pytest.mark.parametrize(
    ("before", "after", "bumped"),
    [
        pytest.param([DB_ALLOW], [DB_ALLOW], False, id="nothing"),
        pytest.param([DB_ALLOW], [DB_ALLOW, NEW], False, id="a local pod comes"),
        pytest.param([DB_ALLOW], [DB_ALLOW, FAR], False, id="an open pod from elsewhere comes"),
        pytest.param([DENY_ALL], [DENY_ALL, FAR], True, id="an isolated pod from elsewhere comes"),
        pytest.param([DENY_ALL], [DENY_ALL, NEW], False, id="an isolated pod comes"),
        pytest.param([DB_ALLOW, NEW], [DB_ALLOW], True, id="a pod goes"),
        pytest.param([DB_ALLOW], [], False, id="NP-2 isolation ends"),
        pytest.param([], [DB_ALLOW], True, id="NP-5 isolation begins"),
        pytest.param([DB_ALLOW], [DB_ALLOW, MORE], False, id="NP-7 a policy that allows more"),
        pytest.param([DB_ALLOW, MORE], [DB_ALLOW], True, id="NP-7 a policy less"),
        pytest.param([WEB_OUT], [WEB_OUT, DENY_ALL], True, id="the other direction is isolated"),
        pytest.param([NO_JOB, DB_ALLOW], [NO_JOB, DB_ALLOW], False, id="nothing, with a tier"),
        pytest.param([DB_ALLOW], [NO_JOB, DB_ALLOW], True, id="CNP-1 a tier that denies comes"),
        pytest.param([NO_JOB, DB_ALLOW], [DB_ALLOW], False, id="CNP-3 a tier that denies goes"),
        pytest.param([NO_JOB], [NO_JOB, NEW], False, id="a pod comes that a tier asks nothing of"),
        pytest.param([NO_JOB], [NO_JOB, JOB2], True, id="CNP-11 a pod comes that a tier denies"),
        pytest.param(
            [NO_JOB, DB_ALLOW], [NO_JOB, DB_ALLOW, MORE], False, id="NP-7 more behind a tier"
        ),
        pytest.param(
            [NO_JOB, DB_ALLOW, MORE], [NO_JOB, DB_ALLOW], True, id="NP-7 less behind a tier"
        ),
        pytest.param([DENY_ALL, ALL_PODS], [DENY_ALL], True, id="CNP-10 a tier that accepts goes"),
        pytest.param(
            [DENY_ALL], [DENY_ALL, ALL_PODS], False, id="CNP-10 a tier that accepts comes"
        ),
    ],
)
def test_epoch_changes_when_a_permission_goes(
    before: list[ClusterObject], after: list[ClusterObject], bumped: bool
) -> None:
    node = replace(NODE, epoch=7)
    current, wanted = lower(index_of(*before), node), lower(index_of(*after), NODE)
    assert epoch(NodeStep.between(current, wanted).wanted) == (8 if bumped else 7)


def test_a_remote_pod_that_comes_keeps_the_epoch() -> None:
    here = replace(NODE, pods=frozenset({"shop/db"}))
    current, wanted = (lower(index_of(*found), here) for found in ([DB_ALLOW], [DB_ALLOW, FAR]))
    assert not removes_permission(current, wanted)
    assert removes_permission(wanted, current)


def test_an_epoch_changes_three_chains_only() -> None:
    ruleset = CASES[2].ruleset
    after = with_epoch(ruleset, 8)
    changed = {n for n, c in after.chains.items() if c != ruleset.chains[n]}
    assert changed == {"forward", "input", "stamp"}


@pytest.mark.parametrize(
    ("mask", "number", "following"),
    [(0xFFFF0000, 7, 8), (0xFFFF0000, 0xFFFF, 1), (0x0FF0, 0xFF, 1), (0xFFFFFFFF, 2**32 - 1, 1)],
)
def test_epoch_count_round_and_skip_zero(mask: int, number: int, following: int) -> None:
    ruleset = lower(index_of(), LocalNode("n", epoch=number, mark_mask=mask))
    assert epoch(ruleset) == number
    bumped = EpochBumps(number, most(ruleset)).bumped(0.0)
    assert bumped.epoch == following
    expected = lower(index_of(), LocalNode("n", epoch=following, mark_mask=mask))
    assert with_epoch(ruleset, bumped.epoch) == expected


@pytest.mark.parametrize("at", [0, 1, 4], ids=["before", "between", "behind"])
def test_rules_of_others_in_a_base_chain_leave_the_epoch_readable(at: int) -> None:
    ruleset = with_epoch(CASES[2].ruleset, 8)
    base = ruleset.chains["forward"]
    edited = replace(base, rules=(*base.rules[:at], Rule((ACCEPT,)), *base.rules[at:]))
    found = replace(ruleset, chains={**ruleset.chains, "forward": edited})
    assert (mark_mask(found), epoch(found)) == (0xFFFF0000, 8)
    assert removes_permission(found, ruleset), "what it let pass is judged again"


@pytest.mark.parametrize("mark", [CtMark(0xFFFF0000, 0x70000), CtMark(0xFF, 7)])
def test_another_mark_in_a_base_chain_is_no_epoch(mark: CtMark) -> None:
    ruleset = CASES[2].ruleset
    base = ruleset.chains["input"]
    edited = replace(base, rules=(Rule((mark, ACCEPT)), *base.rules))
    assert not mark_mask(replace(ruleset, chains={**ruleset.chains, "input": edited}))


@pytest.mark.parametrize("gone", ["forward", "input"])
def test_a_table_without_a_base_chain_is_read(gone: str) -> None:
    ruleset = CASES[2].ruleset
    chains = {name: chain for name, chain in ruleset.chains.items() if name != gone}
    assert mark_mask(replace(ruleset, chains=chains)) == 0xFFFF0000
    assert not is_ours(replace(ruleset, chains=chains), 0xFFFF0000)


def test_an_epoch_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="epoch 65536 is not within 1 to 65535"):
        with_epoch(CASES[0].ruleset, 0x10000)


def test_other_bits_of_the_mark_are_no_succession() -> None:
    one, other = (lower(index_of(), LocalNode("n", mark_mask=m)) for m in (0xFF, 0xFF00))
    with pytest.raises(ValueError, match="different bits of the mark"):
        NodeStep.between(one, other)
