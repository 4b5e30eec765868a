"""Epochs in time: what is owed, how often they change, and which numbers are used again."""

from __future__ import annotations

from math import inf

import pytest

from podfence.reconcile.bumps import BURST, LIMIT, PATIENCE, QUARTERS, EpochBumps, joint, less, meet
from podfence.sets.members import Members

ONE, TWO = {4: Members.of(4, [1])}, {4: Members.of(4, [2]), 6: Members.of(6, [1])}


@pytest.mark.parametrize("most", [0xFF, 0xFFF, 0xFFFF])
def test_every_epoch_is_in_one_quarter(most: int) -> None:
    bumps = EpochBumps(1, most)
    ranges = [bumps.numbers(quarter) for quarter in range(QUARTERS)]
    assert [ranges[0][0], ranges[-1][1]] == [1, most]
    assert [first for first, _ in ranges[1:]] == [last + 1 for _, last in ranges[:-1]]
    for quarter, (first, last) in enumerate(ranges):
        assert {bumps.quarter(first), bumps.quarter(last)} == {quarter}


@pytest.mark.parametrize("most", [0xFF, 0xFFF])
def test_no_number_is_used_while_connections_may_carry_it(most: int) -> None:
    """From any start on, with every sweep done, or none done before the last moment."""
    edges = {each for quarter in range(QUARTERS) for each in EpochBumps(1, most).numbers(quarter)}
    for start in edges.union(range(1, most + 1, most // 32)):
        bumps = EpochBumps(start, most)
        used = set(range(1, most + 1))
        for _ in range(2 * most):
            following = bumps.bumped(0.0)
            for quarter in bumps.sweeps(following):
                first, last = bumps.numbers(quarter)
                used -= set(range(first, last + 1))
                bumps = bumps.swept(quarter)
            entered = bumps.quarter(following.epoch) != bumps.quarter(bumps.epoch)
            assert not entered or following.epoch not in used
            used.add(following.epoch)
            bumps = bumps.becoming(following)


def test_zero_is_no_epoch() -> None:
    assert EpochBumps(0xFF, 0xFF).bumped(0.0).epoch == 1


def test_the_quarter_of_the_present_epoch_stays_in_use() -> None:
    bumps = EpochBumps(1, 0xFF)
    assert bumps.swept(0) == bumps
    assert bumps.swept(2).dirty == {0, 1, 3}


def test_debts_add_up_and_are_due_with_the_first() -> None:
    bumps = EpochBumps(1, 0xFF).owing(ONE, 10.0).owing(TWO, 10.5)
    assert (bumps.owed, bumps.due) == (joint(ONE, TWO), 10.0 + PATIENCE)
    assert (bumps.bumped(10.7).owed, bumps.bumped(10.7).due) == ({}, inf)


def test_nothing_released_is_no_debt() -> None:
    assert EpochBumps(1, 0xFF).owing({4: Members(4)}, 10.0).due == inf


def test_the_next_epoch_has_its_time() -> None:
    assert EpochBumps(1, 0xFF).free_at == -inf
    assert EpochBumps(1, 0xFF).bumped(5.0).free_at <= 5.0
    assert EpochBumps(1, 0xFF, limit=inf).bumped(5.0).free_at == 5.0


def test_as_many_epochs_as_the_burst_come_at_once_and_the_rest_by_the_rate() -> None:
    bumps = EpochBumps(1, 0xFF)
    for _ in range(BURST):
        assert bumps.free_at <= 5.0
        bumps = bumps.bumped(5.0)
    assert bumps.free_at == pytest.approx(5.0 + 1 / LIMIT)


def test_rest_gives_back_no_more_than_the_burst() -> None:
    bumps = EpochBumps(1, 0xFF).bumped(0.0)
    for _ in range(BURST):
        bumps = bumps.bumped(1000.0)
    assert bumps.free_at > 1000.0


def test_addresses_of_two_versions() -> None:
    assert joint(ONE, TWO) == {4: Members.of(4, [1, 2]), 6: Members.of(6, [1])}
    assert less(TWO, ONE) == TWO
    assert less(ONE, joint(ONE, TWO)) == {4: Members(4)}
    assert (meet(ONE, TWO), meet(ONE, ONE), meet(TWO, {6: Members.of(6, [1])})) == (
        False,
        True,
        True,
    )
