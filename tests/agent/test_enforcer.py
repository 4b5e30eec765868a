"""The thread that enforces, with a table in memory: what is wanted is there in the end."""

from __future__ import annotations

import json
import re
from math import inf
from random import Random

import pytest
from msgspec.structs import replace

from podfence.agent.conditions import ConditionKind
from podfence.kernel.nftables.notices import Notice
from podfence.model.facts import Gone, PodFacts, PolicyFacts, Put
from podfence.nft.difference import diff, load
from podfence.nft.lowering.assembly import Assembly
from podfence.nft.lowering.epoch import epoch, with_epoch
from podfence.nft.lowering.lower import lower
from podfence.nft.transaction import DeleteTable, Transaction
from podfence.policy.compile import compile_cluster
from podfence.testing.builders import pod, policy
from tests.agent.stage import DB, HERE, ONLY_WEB, WEB, FailingTable, Stage, wanted
from tests.support.live_worlds import World
from tests.support.random_clusters import TIERS, Size
from tests.support.rulesets import same_rules

SIZES = {"policies": Size(pods=8, policies=6), "tiers": TIERS}


def test_without_a_table_ranges_are_closed_as_soon_as_they_are_known() -> None:
    stage = Stage()
    assert stage.table.list() is None
    assert stage.table.swept == [(1, 0xFFFF)]
    stage.put(HERE, WEB, DB, ONLY_WEB)
    assert same_rules(stage.rules, wanted())
    assert not stage.enforcer.status.in_sync
    stage.whole()
    assert same_rules(stage.rules, wanted(WEB, DB, ONLY_WEB))
    stage.pass_time(1)
    assert stage.enforcer.status.in_sync


def test_with_a_table_nothing_is_touched_before_all_is_known() -> None:
    table = FailingTable()
    table.run(load(wanted(WEB, DB, ONLY_WEB)))
    before = table.list()
    stage = Stage(table)
    stage.put(HERE, WEB)
    stage.put(DB, ONLY_WEB)
    assert len(table.transactions) == 1
    stage.whole()
    assert len(table.transactions) == 1  # and then there is nothing to do
    assert "the table differs" not in stage.log.getvalue()
    assert table.list() == before
    assert table.swept == []


def test_a_table_that_cannot_be_read_stays_until_all_is_known_and_is_replaced() -> None:
    """Whatever it stamps on connections meanwhile is taken off them."""
    table = FailingTable()
    table.run(load(wanted(WEB, DB)))
    table.unreadable = True
    stage = Stage(table)
    stage.put(HERE, WEB, DB, ONLY_WEB)
    assert len(table.transactions) == 1
    assert table.swept == [(1, 0xFFFF)]
    stage.whole()
    table.unreadable = False
    assert same_rules(stage.rules, wanted(WEB, DB, ONLY_WEB))
    assert len(table.transactions) == 2
    assert table.swept == [(1, 0xFFFF)] * 2
    assert '"table":"cannot be read"' in stage.log.getvalue()


def test_a_table_of_before_becomes_what_is_wanted_now_under_another_epoch() -> None:
    table = FailingTable()
    table.run(load(wanted(WEB, DB)))
    stage = Stage(table)
    stage.put(HERE, WEB, DB, ONLY_WEB)
    stage.whole()
    assert stage.rules == with_epoch(wanted(WEB, DB, ONLY_WEB), 2)
    (said,) = [line for line in stage.log.getvalue().splitlines() if "the table differs" in line]
    assert re.search(r"AddChain in_\w+, .* of \d+", said), said


def test_what_the_kernel_does_not_take_is_not_in_sync() -> None:
    table = FailingTable()
    before = wanted(WEB, DB)
    table.run(load(before))
    stage = Stage(table)
    stage.put(HERE, WEB, DB, ONLY_WEB)
    table.refuses_all = True
    stage.whole()
    assert ConditionKind.TABLE_REFUSED in stage.holds()
    assert not stage.enforcer.status.in_sync
    assert stage.rules == before
    table.refuses_all = False
    stage.pass_time(61)
    assert stage.enforcer.status.in_sync
    assert same_rules(stage.rules, wanted(WEB, DB, ONLY_WEB))
    assert stage.holds() == []


@pytest.mark.parametrize("applied", [False, True])
def test_a_lost_answer_is_looked_up(applied: bool) -> None:
    stage = Stage()
    stage.put(HERE, WEB, DB)
    stage.whole()
    stage.table.lost = [applied]
    stage.put(ONLY_WEB)
    stage.pass_time(1)
    assert same_rules(stage.rules, wanted(WEB, DB, ONLY_WEB))
    assert stage.enforcer.status.writes.unanswered == 1


def test_refused_rules_close_their_pods_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.put(HERE, WEB, DB)
    stage.whole()
    with_policy = wanted(WEB, DB, ONLY_WEB)
    group = next(
        name
        for name, chain in with_policy.chains.items()
        if chain.comment.startswith("ingress") and not name.endswith("_r")
    )
    stage.table.refused = {group}
    stage.put(ONLY_WEB)
    assert ConditionKind.KERNEL_REFUSED in stage.holds()
    (condition,) = stage.enforcer.status.conditions
    assert condition.closed == ("shop/db",)
    assert "shop/db" in condition.message
    assert "poison" in condition.message
    with monkeypatch.context() as patch:  # while nothing changes, it is not asked for again
        patch.delattr(Assembly, "ruleset")
        assert stage.holds() == [ConditionKind.KERNEL_REFUSED]
    stage.put(replace(DB, name="db-2"), pod("shop/x", addresses=["10.1.0.3"], node="n1"))
    stage.tell(Gone("Pod", "shop", "db"))
    assert stage.holds() == [ConditionKind.KERNEL_REFUSED]
    assert stage.enforcer.status.conditions[0].closed == ("shop/db-2",)
    stage.put(DB)
    stage.tell(Gone("Pod", "shop", "db-2"), Gone("Pod", "shop", "x"))
    stage.table.refused = set()
    stage.pass_time(61)
    assert same_rules(stage.rules, with_policy)
    assert stage.holds() == []


def test_a_policy_that_cannot_be_read_closes_what_it_may_select() -> None:
    stage = Stage()
    stage.put(HERE, WEB, DB)
    stage.whole()
    document = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": "new"},
        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": "all"},
    }
    told = PolicyFacts("NetworkPolicy", "shop", "new", json.dumps(document).encode())
    stage.tell(Put(told))
    assert stage.holds() == [ConditionKind.REFUSED]
    (condition,) = stage.enforcer.status.conditions
    assert condition.subject == "NetworkPolicy shop/new"
    assert "spec.ingress" in condition.message
    nobody = policy("shop/new", {"app": "db"}, types=["Ingress", "Egress"])
    assert same_rules(stage.rules, wanted(WEB, DB, nobody))


def test_other_hands_are_named_and_mended() -> None:
    stage = Stage()
    stage.put(HERE, WEB, DB, ONLY_WEB)
    stage.whole()
    stage.table.run(Transaction(stage.rules.table, (DeleteTable(),)))
    stage.inbox.notice(Notice("iptables", 7))
    stage.pass_time(0.2)  # the last epoch was just now
    assert same_rules(stage.rules, wanted(WEB, DB, ONLY_WEB))
    assert stage.holds() == [ConditionKind.DRIFT]
    assert "iptables (process 7)" in stage.enforcer.status.conditions[0].message
    stage.pass_time(61)
    assert stage.holds() == []


def test_what_others_may_have_done_is_told_only_where_they_did() -> None:
    """As when kube-proxy writes rules of its own while nobody listens."""
    stage = Stage()
    stage.put(HERE, WEB, DB, ONLY_WEB)
    stage.whole()
    reads = stage.enforcer.status.reads
    stage.inbox.notice(Notice("", 0))
    stage.tell(Gone("Pod", DB.namespace, DB.name))
    stage.pass_time(0.2)
    status = stage.enforcer.status
    assert (status.drifts, status.reads, stage.holds()) == (0, reads + 1, [])
    stage.table.run(diff(stage.rules, with_epoch(wanted(), epoch(stage.rules))))
    stage.inbox.notice(Notice("", 0))
    stage.pass_time(0.2)
    assert same_rules(stage.rules, wanted(WEB, ONLY_WEB))
    assert (stage.enforcer.status.drifts, stage.holds()) == (1, [ConditionKind.DRIFT])
    assert "an unknown process" in stage.enforcer.status.conditions[0].message


def test_a_table_that_is_deleted_again_and_again_is_mended_every_time() -> None:
    """Others that only change it are answered a few times a minute; without it nothing holds."""
    stage = Stage()
    stage.put(HERE, WEB, DB, ONLY_WEB)
    stage.whole()
    for _ in range(20):
        stage.table.run(Transaction(stage.rules.table, (DeleteTable(),)))
        stage.inbox.notice(Notice("iptables", 7))
        stage.pass_time(0.2)
        assert same_rules(stage.rules, wanted(WEB, DB, ONLY_WEB))


def test_a_node_without_ranges_is_said() -> None:
    stage = Stage()
    stage.put(WEB)
    stage.whole()
    assert stage.holds() == [ConditionKind.NOT_FAIL_CLOSED]
    stage.put(HERE)
    assert stage.holds() == []
    stage.put(replace(HERE, pod_cidrs=()))  # what was closed stays so
    assert stage.holds() == []
    assert same_rules(stage.rules, wanted(WEB))


def test_pods_that_wait_are_named_and_events_are_timed() -> None:
    stage = Stage()
    stage.put(HERE, WEB)
    stage.whole()
    stage.tell(Put(PodFacts("shop", "new", node="n1")))
    stage.pass_time(1)
    status = stage.enforcer.status
    assert [waiting.pod for waiting in status.pending] == ["shop/new"]
    assert (status.pods, status.events["Pod", "put"]) == (2, 2)
    stage.put(ONLY_WEB, DB)
    stage.pass_time(1)
    assert stage.enforcer.status.latency["NetworkPolicy"].count == 1


def live(rng: Random, size: Size) -> None:
    """A random day: the cluster changes, answers get lost, others change the table."""
    world = World(rng, size)
    stage = Stage()
    stage.tell(*world.start())
    stage.whole()
    for _ in range(25):
        happens = rng.randrange(6)
        if happens == 0:
            stage.table.lost = [rng.random() < 0.5 for _ in range(rng.randint(1, 2))]
        elif happens == 1:
            other = with_epoch(wanted(WEB, DB, ONLY_WEB), epoch(stage.rules))
            stage.table.lost = []
            stage.table.run(diff(stage.rules, other))
            stage.inbox.notice(Notice("nft", 7))
        stage.tell(*(event for _ in range(rng.randint(1, 4)) for event in world.step()))
        stage.now += rng.choice((0.0, 0.01, 0.5))
    stage.table.lost = []
    stage.pass_time(130)
    ranges = stage.enforcer.ranges
    local = replace(world.local_node(), pod_cidrs=ranges)
    assert same_rules(stage.rules, lower(compile_cluster(world.cluster()), local))
    assert stage.enforcer.wake == inf
    again = Stage(stage.table)
    writes = len(stage.table.transactions)
    again.tell(*(Put(facts) for facts in world.told.values()))
    again.whole()
    if ranges == world.local_node().pod_cidrs:  # else they are closed for the last agent's sake
        assert len(stage.table.transactions) == writes


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(8))
def test_a_random_day_ends_with_what_is_wanted_and_a_restart_writes_nothing(
    seed: int, size: str
) -> None:
    live(Random(seed), SIZES[size])


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(10))
def test_many_random_days(seed: int, size: str) -> None:
    for number in range(8):
        live(Random(f"{seed} {number}"), SIZES[size])
