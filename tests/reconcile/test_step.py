"""What is written to a node, and when: scenarios, then random days of a node."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from msgspec.structs import replace

from podfence.nft.difference import diff
from podfence.nft.lowering.epoch import epoch, with_epoch
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.objects import Table
from podfence.nft.ruleset import Ruleset
from podfence.nft.trace import first_packet, trace_packet
from podfence.nft.transaction import DeleteTable, Transaction
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from podfence.reconcile.bumps import BURST, LIMIT, PATIENCE
from podfence.reconcile.quarantine import units, without
from podfence.reconcile.states import (
    PlannedRules,
    ReadResult,
    ReconcileState,
    ReportKind,
    TableDrifted,
)
from podfence.reconcile.step import RETRY
from podfence.sets.addresses import IPAddress
from podfence.sets.members import Members
from podfence.testing.builders import pod
from tests.nft.cases import DB_ALLOW, WEB_OUT, index_of
from tests.reconcile.nodes import SteppedNode
from tests.reconcile.stepworld import HERE, JOB_CLOSED, A, B, C, group, node_with, planned, rules
from tests.support.losses import changed, released
from tests.support.random_clusters import TIERS, FlowSource, random_cluster
from tests.support.random_tiers import NAMES

FAR = pod("shop/far", {"app": "web"}, addresses=["10.9.0.7"])
HEIR = pod("shop/heir", {"app": "other"}, addresses=["10.9.0.7"])
FAR_ADDRESS = {4: Members.of(4, [(10 << 24) + (9 << 16) + 7])}


# --- epochs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "epochs"),
    [
        pytest.param(B, A, 1, id="isolation ends"),
        pytest.param(A, B, 2, id="isolation begins"),
        pytest.param(A, A, 1, id="nothing"),
    ],
)
def test_a_new_epoch_comes_with_what_takes_away(
    before: Ruleset, after: Ruleset, epochs: int
) -> None:
    node = node_with(before)
    node.feed(planned(before, after))
    assert node.rules == with_epoch(after, epochs)
    assert len(node.writes) == (before is not after)


def test_what_disappeared_is_owed_and_paid_later() -> None:
    with_far = rules(DB_ALLOW, FAR)
    node = node_with(with_far)
    node.feed(planned(with_far, B, released=FAR_ADDRESS))
    assert (epoch(node.rules), node.wake) == (1, node.now + PATIENCE)
    node.pass_time(PATIENCE)
    assert node.rules == with_epoch(B, 2)
    assert node.wake == inf


def test_the_next_epoch_pays_what_is_owed() -> None:
    with_far = rules(DB_ALLOW, FAR)
    node = node_with(with_far)
    node.feed(planned(with_far, B, released=FAR_ADDRESS))
    node.feed(planned(B, C))
    assert epoch(node.rules) == 2
    node.pass_time(10)
    assert epoch(node.rules) == 2


@pytest.mark.parametrize("together", [False, True])
def test_an_heir_of_an_address_pays_at_once(together: bool) -> None:
    """Even when the heir is in no set at all, and nothing else is to be written."""
    with_far, with_heir = rules(DB_ALLOW, FAR), rules(DB_ALLOW, HEIR)
    node = node_with(with_far)
    plans = (
        planned(with_far, B, released=FAR_ADDRESS),
        planned(B, with_heir, given=FAR_ADDRESS),
    )
    assert not plans[1].transaction
    if together:
        node.feed(*plans)
    else:
        for plan in plans:
            node.feed(plan)
    assert epoch(node.rules) == 2


def is_paced(bumps: list[float]) -> bool:
    """Whether no stretch of time has more epochs than a burst and what the rate adds to it."""
    return all(
        bumps[last] - bumps[first] >= (last - first + 1 - BURST) / LIMIT - 1e-6
        for first in range(len(bumps))
        for last in range(first, len(bumps))
    )


def test_many_changes_at_once_share_an_epoch() -> None:
    """After the first ones they have a rate: those between wait, and nothing overtakes them."""
    node = node_with(A)
    current = A
    for n in range(120):
        wanted = (A, B, C)[n % 3]
        node.feed(planned(current, wanted))
        current = wanted
        node.pass_time(0.01)
    node.pass_time(1)
    bumps = [at for at, _, _, write in node.writes if write is not None and write.bumped]
    assert len(bumps) > BURST
    assert is_paced(bumps)
    assert node.rules == with_epoch(current, epoch(node.rules))


def test_a_few_changes_after_a_rest_do_not_wait() -> None:
    """Each is written when it comes, under an epoch of its own."""
    node = node_with(A)
    current = A
    for n in range(BURST // 2):
        wanted = (B, A)[n % 2]
        node.feed(planned(current, wanted))
        current = wanted
        assert node.rules == with_epoch(wanted, epoch(node.rules))
        assert not node.state.waiting


def test_what_gives_only_does_not_wait() -> None:
    node = node_with(A)
    node.feed(planned(A, B))
    node.feed(planned(B, A))
    assert [at for at, *_ in node.writes] == [node.now, node.now]


@pytest.mark.parametrize("there", [None, A, B], ids=["nothing", "other rules", "the same rules"])
def test_a_start_writes_the_difference(there: Ruleset | None) -> None:
    node = SteppedNode(
        there or A, ReconcileState.starting(Table("podfence", "managed by podfence"), 0xFFFF0000)
    )
    if there is None:
        node.kernel.run(Transaction(A.table, (DeleteTable(),)))
    node.feed(ReadResult(node.kernel.list()))
    assert node.attempts == 0
    node.feed(PlannedRules(lambda: B))
    assert node.rules == with_epoch(B, epoch(node.rules))
    assert node.attempts == (0 if there is B else 1)


def test_an_heir_after_a_start_pays_what_an_earlier_life_may_have_owed() -> None:
    """It may have ended before it paid, and the equal table does not tell. Once is enough, and the
    start itself writes nothing."""
    with_heir = rules(DB_ALLOW, HEIR)
    node = SteppedNode(
        B, ReconcileState.starting(Table("podfence", "managed by podfence"), 0xFFFF0000)
    )
    node.feed(ReadResult(node.kernel.list()))
    node.feed(PlannedRules(lambda: B))
    assert node.attempts == 0
    node.feed(planned(B, with_heir, given=FAR_ADDRESS))
    assert epoch(node.rules) == 2
    node.feed(planned(with_heir, B, given={4: Members.of(4, [7])}))
    assert epoch(node.rules) == 2


# --- answers that get lost ---------------------------------------------------------------------


@pytest.mark.parametrize("applied", [False, True])
def test_a_lost_answer_is_looked_up_in_the_table(applied: bool) -> None:
    """What was taken away is, under another epoch, whether the write was done or not."""
    node = node_with(B)
    node.lost = [applied]
    node.feed(planned(B, C))
    node.pass_time(1)
    assert node.reads == 1
    assert node.rules == with_epoch(C, 2)
    assert node.state.enforced is None
    assert 0 in node.state.bumps.dirty


def test_what_is_owed_when_an_answer_is_lost_is_still_paid() -> None:
    with_far = rules(DB_ALLOW, FAR)
    node = node_with(with_far)
    node.lost = [False]
    node.feed(planned(with_far, B, released=FAR_ADDRESS))
    node.pass_time(PATIENCE)
    assert node.rules == with_epoch(B, 2)


def test_the_search_for_what_is_refused_begins_again_when_an_answer_is_lost() -> None:
    node = node_with(A)
    wanted = rules(DB_ALLOW, WEB_OUT, JOB_CLOSED)
    node.poisoned = {bad := group(wanted, "db-allow")}
    node.lost = [False, True, False]
    node.feed(planned(A, wanted))
    node.pass_time(2)
    assert node.rules == with_epoch(without(wanted, {bad}, 77), epoch(node.rules))


# --- sweeps ------------------------------------------------------------------------------------


@pytest.mark.law
def test_each_quarter_is_swept_before_it_comes_again() -> None:
    small = replace(HERE, mark_mask=0xFF)
    on, off = (lower(index_of(*found), small) for found in ([DB_ALLOW], []))
    node = SteppedNode(off, ReconcileState.of(off, limit=inf))
    current = off
    dirty: set[int] = set()
    for _ in range(2_000):
        wanted = on if current is off else off
        swept = len(node.sweeps)
        before = epoch(node.rules)
        node.feed(planned(current, wanted))
        for _, first, last in node.sweeps[swept:]:
            dirty -= set(range(first, last + 1))
        if epoch(node.rules) != before:
            assert epoch(node.rules) not in dirty
            dirty.add(epoch(node.rules))
        current = wanted
        node.now += 1
    assert len(node.writes) > 1_000
    assert len(node.sweeps) == 17  # two at the first two steps into a quarter, then one


def test_a_sweep_that_failed_is_done_again_before_its_numbers_come() -> None:
    small = replace(HERE, mark_mask=0xFF)
    on, off = (lower(index_of(*found), small) for found in ([DB_ALLOW], []))
    node = SteppedNode(off, ReconcileState.of(off, limit=inf))
    node.sweeps_fail = True
    current = off
    for _ in range(200):
        wanted = on if current is off else off
        node.feed(planned(current, wanted))
        current = wanted
        node.now += 1
    quarters = [quarter for quarter, _, _ in node.sweeps]
    assert quarters == [1, 3]
    assert (ReportKind.SWEEP_FAILED, "1") in node.reports


# --- random days -------------------------------------------------------------------------------


class Day:
    """A node whose cluster changes, whose kernel refuses some groups, and whose table others
    touch; with flows that were allowed once, and have to stop when they are not."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.other = random_cluster(rng, TIERS)
        self.cluster = random_cluster(rng, TIERS)
        self.index = compile_cluster(self.cluster, NAMES)
        self.wanted = lower(self.index, LocalNode("n"))
        self.node = SteppedNode(self.wanted)
        self.node.feed(PlannedRules(lambda: self.wanted))
        source = FlowSource(self.cluster)
        self.flows = [source.draw(rng) for _ in range(15)]
        self.stale: dict[Flow, tuple[int, float]] = {}
        """Flows that lost their permission without a new epoch: which epoch it was, and since
        when."""
        self.seen = 0

    def act(self) -> None:
        """Something happens; then what has to hold always is checked."""
        node = self.node
        node.lost = [self.rng.random() < 0.5] if self.rng.random() < 0.1 else []
        match self.rng.randrange(8):
            case 0:
                found = sorted(units(self.wanted))
                node.poisoned = set(self.rng.sample(found, min(len(found), 2)))
            case 1:
                node.poisoned.clear()
            case 2:
                other = with_epoch(self.rng.choice((A, self.wanted)), epoch(node.rules))
                node.by_other_hands(diff(node.rules, other))
                node.feed(TableDrifted(heard=self.rng.random() < 0.5))
            case _:
                self.change()
        self.check()
        node.pass_time(self.rng.choice((0.0, 0.01, 0.3, 2.0)))
        self.check()

    def change(self) -> None:
        self.cluster = changed(self.rng, self.cluster, self.other)
        index, before = compile_cluster(self.cluster, NAMES), self.wanted
        after = lower(index, LocalNode("n"))
        gone, given = released(self.index, index), released(index, self.index)
        self.index, self.wanted = index, after
        self.node.feed(planned(before, after, released=gone, given=given))

    def check(self) -> None:
        node = self.node
        for at, before, after, _ in node.writes[self.seen :]:
            for flow in self.flows:
                if passes(before, flow) and not passes(after, flow):
                    self.stale.setdefault(flow, (epoch(before), at))
        self.seen = len(node.writes)
        state = node.state
        if state.waiting or state.check or state.trial or state.repair_at < inf:
            return  # an epoch is to come, within 100 ms
        for flow, (number, since) in [*self.stale.items()]:
            if epoch(node.rules) != number or passes(node.rules, flow):
                del self.stale[flow]
            else:
                assert any(map(self.is_nobodys, (flow.source, flow.destination))), flow
                assert node.now <= since + PATIENCE

    def is_nobodys(self, address: IPAddress) -> bool:
        return not self.index.subjects_at(address)

    def end(self) -> None:
        """When all is quiet, the kernel holds all but what it refuses."""
        node = self.node
        node.pass_time(3 * RETRY)
        self.check()
        refused = node.state.refused.keys()
        said = units(self.wanted)
        # The node refuses both views of a group: the one of answers has its own suffix.
        led_to = {
            unit: {str(getattr(part, "name", "")).removesuffix("_r") for part in said[unit]}
            for unit in refused
        }
        assert all(names & node.poisoned for names in led_to.values())
        assert node.rules == with_epoch(without(self.wanted, refused, 77), epoch(node.rules))
        bumps = [at for at, _, _, write in node.writes if write is not None and write.bumped]
        assert is_paced(bumps)


def passes(ruleset: Ruleset, flow: Flow) -> bool:
    """Whether a new connection passes."""
    return trace_packet(ruleset, first_packet(flow)).accepted


def live(rng: Random) -> None:
    day = Day(rng)
    for _ in range(20):
        day.act()
    day.end()


@pytest.mark.parametrize("seed", range(20))
def test_a_random_day(seed: int) -> None:
    live(Random(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_many_random_days(seed: int) -> None:
    for number in range(50):
        live(Random(f"{seed} {number}"))
