"""The thread that enforces, with a table in memory: what is wanted is there in the end."""

from __future__ import annotations

import io
import json
from ipaddress import ip_network
from math import inf
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from podfence.agent.conditions import ConditionKind
from podfence.agent.enforcer import Enforcer
from podfence.agent.inbox import Inbox
from podfence.agent.inquiry import Inquiry
from podfence.agent.log import EventLog
from podfence.agent.revisions import Selected
from podfence.errors import NftError, NftUnanswered
from podfence.kernel.nftables.notices import Notice
from podfence.kube.follow import KindState, SyncState
from podfence.model.cluster import Cluster
from podfence.model.facts import Event, PodFacts, PolicyFacts, Put
from podfence.model.meta import ObjectRef
from podfence.model.objects import Node
from podfence.nft.difference import diff, load
from podfence.nft.lowering.epoch import epoch, with_epoch
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import AddChain, DeleteTable, Transaction
from podfence.policy.compile import compile_cluster
from podfence.testing.builders import peer, pod, policy, rule
from podfence.testing.facts import facts_of
from podfence.testing.fakenft import FakeNft
from tests.support.live_worlds import World
from tests.support.random_clusters import TIERS, Size
from tests.support.rulesets import same_rules

SIZES = {"policies": Size(pods=8, policies=6), "tiers": TIERS}
PARTS = (("Pod", ""),)
WEB = pod("shop/web", {"app": "web"}, addresses=["10.1.0.1"], node="n1")
DB = pod("shop/db", {"app": "db"}, addresses=["10.1.0.2"], node="n1")
HERE = Node("n1", pod_cidrs=(ip_network("10.1.0.0/24"),))
ONLY_WEB = policy("shop/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}))])


class FailingTable(FakeNft):
    """``refused``: chains that are not taken. ``lost``: answers that get lost, each before (False)
    or after (True) the write was done."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.refuses_all = False
        self.unreadable = False
        self.lost: list[bool] = []
        self.swept: list[tuple[int, int]] = []

    def run(self, transaction: Transaction) -> None:
        made = {step.name for step in transaction if isinstance(step, AddChain)}
        if self.refuses_all or made & self.refused:
            raise NftError("poison")
        if self.lost:
            if self.lost.pop(0):
                super().run(transaction)
            raise NftUnanswered("nobody knows")
        super().run(transaction)

    def list(self) -> Ruleset | None:
        if self.unreadable:
            raise NftError("a rule of somebody else")
        return super().list()

    def exists(self) -> bool:
        return super().list() is not None

    def sweep(self, first: int, last: int) -> int:
        self.swept.append((first, last))
        return 0

    def sweep_all(self) -> int:
        return self.sweep(1, 0xFFFF)


class Stage:
    """An enforcer with its table, its inbox and a clock."""

    def __init__(self, table: FailingTable | None = None) -> None:
        self.now = 1000.0
        self.table = table or FailingTable()
        self.inbox = Inbox("n1", PARTS)
        self.log = io.StringIO()
        local = LocalNode("n1")
        self.enforcer = Enforcer(
            local, self.table, self.inbox, EventLog(self.log), lambda: self.now
        )
        self.enforcer.start()

    def tell(self, *events: Event) -> None:
        self.inbox.tell(((event, "") for event in events), self.now)
        self.turn()

    def put(self, *things: Any) -> None:
        self.tell(*(Put(facts_of(thing)) for thing in things))

    def whole(self) -> None:
        self.inbox.stand(KindState("Pod", SyncState.LIVE))
        self.turn()

    def turn(self) -> None:
        assert self.enforcer.turn()

    def pass_time(self, seconds: float) -> None:
        """With a turn every tenth of a second."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.1)
            self.inbox.stand(KindState("Pod", SyncState.LIVE))  # nobody waits
            self.turn()

    @property
    def rules(self) -> Ruleset:
        found = self.table.list()
        assert found is not None
        return found

    def holds(self) -> list[ConditionKind]:
        self.pass_time(0.5)
        return [condition.kind for condition in self.enforcer.status.conditions]


def wanted(*things: Any) -> Ruleset:
    index = compile_cluster(Cluster.of(things))
    return lower(index, LocalNode("n1", pod_cidrs=HERE.pod_cidrs))


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


def test_refused_rules_close_their_pods_and_nobody_else() -> None:
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


def test_what_others_wait_for_is_told_when_the_kernel_holds_it_and_not_before() -> None:
    """Policies, and pods here: a pod may start while the agent does."""
    told: list[Event] = []
    inbox, table = Inbox("n1", PARTS), FailingTable()
    local = LocalNode("n1", pod_cidrs=HERE.pod_cidrs)
    enforcer = Enforcer(
        local, table, inbox, EventLog(io.StringIO()), lambda: 1000.0, arrived=told.extend
    )
    enforcer.start()  # closes the range, and that is in the kernel
    far = replace(WEB, name="far", addresses=(), node="n2")
    inbox.tell([(Put(facts_of(each)), "") for each in (HERE, far, WEB, DB, ONLY_WEB)], 1000.0)
    before = [Put(facts_of(each)) for each in (WEB, DB, ONLY_WEB)]
    assert enforcer.turn()
    assert told == []
    inbox.stand(KindState("Pod", SyncState.LIVE))
    assert enforcer.turn()
    assert told == before
    table.refuses_all = True
    after = Put(facts_of(policy("shop/db", {"app": "db"})))
    inbox.tell([(after, "")], 1000.0)
    assert enforcer.turn()
    assert told == before


def test_whom_a_policy_selects_is_told_to_other_threads() -> None:
    stage = Stage()
    stage.put(HERE, WEB, DB, ONLY_WEB)
    stage.whole()
    found = {}
    for name in ("shop/db", "shop/none"):
        namespace, _, last = name.partition("/")
        inquiry = Inquiry(ObjectRef("NetworkPolicy", namespace, last))
        stage.inbox.ask(inquiry)
        stage.turn()
        found[name] = inquiry.wait(0)
    assert found == {"shop/db": Selected(1), "shop/none": Selected(0)}


def test_pods_whose_rules_are_refused_are_counted_with_their_policy_alone() -> None:
    stage = Stage()
    stage.put(HERE, WEB, DB)
    stage.whole()
    chains = wanted(WEB, DB, ONLY_WEB).chains
    stage.table.refused = {
        next(n for n, c in chains.items() if c.comment.startswith("ingress") and n[-2:] != "_r")
    }
    stage.put(ONLY_WEB, policy("shop/web", {"app": "web"}))
    assert stage.holds() == [ConditionKind.KERNEL_REFUSED]
    found = []
    for name in ("db", "web"):
        inquiry = Inquiry(ObjectRef("NetworkPolicy", "shop", name))
        stage.inbox.ask(inquiry)
        stage.turn()
        found.append(inquiry.wait(0))
    assert found == [Selected(1, closed=1), Selected(1)]
