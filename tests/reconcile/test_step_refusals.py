"""What a node does about rules that the kernel refuses, and about a table that others change."""

from __future__ import annotations

from math import inf

import pytest
from msgspec.structs import replace

from podfence.nft.difference import diff
from podfence.nft.lowering.deny import CLOSED
from podfence.nft.lowering.epoch import epoch, with_epoch
from podfence.nft.lowering.lower import lower
from podfence.nft.objects import goto
from podfence.nft.transaction import DeleteTable, Transaction
from podfence.reconcile.doubt import MINUTE, REPAIRS
from podfence.reconcile.quarantine import addresses, units, without
from podfence.reconcile.states import PlannedRules, ReconcileState, ReportKind, TableDrifted
from podfence.reconcile.step import RETRY
from podfence.testing.builders import pod, policy
from tests.nft.cases import DB_ALLOW, NODE, WEB_OUT, index_of
from tests.reconcile.nodes import SteppedNode
from tests.reconcile.stepworld import (
    JOB_CLOSED,
    NOBODY_TO_DB,
    A,
    B,
    C,
    group,
    node_with,
    planned,
    rules,
)

# --- refusals ----------------------------------------------------------------------------------


def test_one_refused_group_closes_its_pods_and_nobody_else() -> None:
    wanted = rules(DB_ALLOW, WEB_OUT, JOB_CLOSED)
    node = node_with(A)
    bad = group(wanted, "db-allow")
    node.poisoned = {bad}
    node.feed(planned(A, wanted))
    node.pass_time(1)
    assert node.reports == [(ReportKind.REFUSED, bad)]
    assert node.rules == with_epoch(without(wanted, {bad}, 77), epoch(node.rules))
    closed = addresses(wanted, bad)
    assert closed
    for name, verdicts in wanted.maps.items():
        for key, verdict in verdicts.elements.items():
            found = node.rules.maps[name].elements[key]
            if verdict.chain.removesuffix("_r") == bad:
                assert found == goto(CLOSED)
            elif not name.startswith("stateless"):
                assert found == verdict


def test_it_is_tried_again_after_a_minute() -> None:
    node = node_with(A)
    node.poisoned = {bad := group(B, "db-allow")}
    node.feed(planned(A, B))
    node.pass_time(RETRY - 1)
    tried = node.attempts
    node.pass_time(2)
    assert node.attempts > tried
    assert node.reports == [(ReportKind.REFUSED, bad)]
    node.poisoned.clear()
    node.pass_time(RETRY)
    assert node.reports == [(ReportKind.REFUSED, bad), (ReportKind.ENFORCED_AGAIN, bad)]
    assert node.rules == with_epoch(B, epoch(node.rules))
    assert node.state.enforced is None


def test_it_is_tried_again_when_its_rules_change() -> None:
    node = node_with(A)
    node.poisoned = {group(B, "db-allow")}
    node.feed(planned(A, B))
    node.pass_time(1)
    node.poisoned.clear()
    node.feed(planned(B, C))
    node.pass_time(1)
    assert node.rules == with_epoch(without(C, node.state.refused, 77), epoch(node.rules))
    assert len(node.state.refused) == 1  # another group changed: this one still waits
    moved = rules(NOBODY_TO_DB)
    node.feed(planned(C, moved))
    node.pass_time(1)
    assert node.rules == with_epoch(moved, epoch(node.rules))
    assert not node.state.refused


def test_a_change_that_is_refused_as_a_whole_leaves_all_as_it_was() -> None:
    node = node_with(A)
    node.refuses_all = True
    node.feed(planned(A, B))
    node.pass_time(1)
    assert node.rules == A
    assert node.reports == [(ReportKind.TABLE_REFUSED, "")]
    node.refuses_all = False
    node.pass_time(RETRY)
    assert node.rules == with_epoch(B, epoch(node.rules))


def test_refusals_are_found_by_halves() -> None:
    pods = [pod(f"shop/p{n}", {"n": str(n)}, addresses=[f"10.1.0.{20 + n}"]) for n in range(64)]
    policies = [policy(f"shop/only-{n}", {"n": str(n)}) for n in range(64)]
    node = replace(NODE, pods=None)
    before, after = (lower(index_of(*found), node) for found in (pods, [*pods, *policies]))
    stepped = node_with(before)
    stepped.poisoned = set(sorted(units(after))[3:5])
    stepped.feed(planned(before, after))
    stepped.pass_time(5)
    assert {unit for _, unit in stepped.reports} == stepped.poisoned
    assert stepped.attempts < 30
    assert len(units(stepped.rules)) == len(units(after)) - 2


def test_strict_nodes_keep_what_they_had() -> None:
    node = SteppedNode(A, ReconcileState.of(A, strict=True, limit=inf))
    node.poisoned = {group(B, "db-allow")}
    node.feed(PlannedRules(lambda: B))
    assert (node.rules, node.attempts) == (A, 1)
    assert node.reports == [(ReportKind.TABLE_REFUSED, "")]


# --- other hands -------------------------------------------------------------------------------


def test_a_table_that_others_changed_is_mended() -> None:
    node = node_with(B)
    node.kernel.run(diff(B, A))
    node.feed(TableDrifted())
    assert node.rules == with_epoch(B, 2)
    assert node.reports == [(ReportKind.DRIFT, "")]


def test_a_table_that_is_gone_is_made_anew() -> None:
    node = node_with(B)
    node.kernel.run(Transaction(B.table, (DeleteTable(),)))
    node.feed(TableDrifted())
    assert node.rules == with_epoch(B, 2)


def test_who_changes_it_again_and_again_is_answered_once_a_minute() -> None:
    node = node_with(B)
    for _ in range(50):
        node.kernel.run(diff(node.rules, with_epoch(A, epoch(node.rules))))
        node.feed(TableDrifted())
        node.pass_time(1)
    assert node.reads == 5
    node.pass_time(MINUTE)
    assert node.reads == 6
    assert node.rules == with_epoch(B, epoch(node.rules))


def test_a_table_that_is_gone_is_made_anew_every_time() -> None:
    node = node_with(B)
    for _ in range(50):
        node.kernel.run(Transaction(B.table, (DeleteTable(),)))
        node.feed(TableDrifted(gone=True))
        node.pass_time(0.2)
        assert node.rules == with_epoch(B, epoch(node.rules))


def test_what_is_refused_because_the_table_is_another_is_compared_first() -> None:
    node = node_with(B)
    node.kernel.run(diff(B, A))
    node.feed(planned(B, rules(NOBODY_TO_DB)))
    assert (node.reads, node.rules) == (1, with_epoch(rules(NOBODY_TO_DB), 2))
    assert node.reports == []


# --- what others may have done -------------------------------------------------------------------


@pytest.mark.parametrize("remembers", [False, True])
@pytest.mark.parametrize("busy", [False, True])
def test_what_others_may_have_done_is_a_drift_only_where_the_table_differs(
    remembers: bool, busy: bool
) -> None:
    """``remembers``: the rules that are enforced; ``busy``: something is planned meanwhile."""
    after = rules(NOBODY_TO_DB)
    ahead = [planned(B, after)] if busy else []
    wanted = after if busy else B
    for changed in (False, True):
        node = node_with(B)
        node.state = replace(node.state, enforced=B if remembers else None)
        if changed:
            node.kernel.run(diff(B, A))
        node.feed(TableDrifted(heard=False), *ahead)
        node.pass_time(1)
        assert node.reports == [(ReportKind.DRIFT, "")] * changed
        assert node.reads == 1
        assert node.rules == with_epoch(wanted, 2)  # in each case it is judged again


def test_a_table_that_is_gone_is_a_drift_though_nobody_heard_of_it() -> None:
    node = node_with(B)
    node.kernel.run(Transaction(B.table, (DeleteTable(),)))
    node.feed(TableDrifted(gone=True, heard=False))
    assert node.rules == with_epoch(B, 2)
    assert node.reports == [(ReportKind.DRIFT, "")]


def test_what_is_only_possible_is_looked_at_a_few_times_a_minute_and_delays_no_repair() -> None:
    node = node_with(B)
    for _ in range(20):
        node.feed(TableDrifted(heard=False))
        node.pass_time(0.5)
    assert (node.reads, node.reports) == (REPAIRS, [])
    node.kernel.run(diff(node.rules, with_epoch(A, epoch(node.rules))))
    node.feed(TableDrifted())
    node.pass_time(0.5)
    assert node.rules == with_epoch(B, epoch(node.rules))
    assert node.reports == [(ReportKind.DRIFT, "")]


def test_a_look_that_had_to_wait_finds_what_was_changed() -> None:
    node = node_with(B)
    for _ in range(REPAIRS + 1):
        node.feed(TableDrifted(heard=False))
        node.pass_time(0.5)
    node.kernel.run(diff(node.rules, with_epoch(A, epoch(node.rules))))
    node.pass_time(MINUTE)
    assert node.rules == with_epoch(B, epoch(node.rules))
    assert node.reports == [(ReportKind.DRIFT, "")]
