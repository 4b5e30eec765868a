"""Rounds of real probes when the machine is slow, or short of something."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence

import pytest

from podfence.errors import LabError
from podfence.lab import answer
from podfence.lab.board import Board
from podfence.lab.outcome import Outcome
from podfence.lab.plan import LabPlan
from podfence.lab.probes import Effort, Pair, efforts
from podfence.lab.process import LabProcess
from podfence.lab.requests import Build, Send
from podfence.lab.sender import Sender
from tests.lab.clusters import SHOP, plan_of

TIMEOUT = 0.1


def test_a_board_begins_without_answers() -> None:
    board = Board(3)
    assert bytes(board.outcomes) == bytes([Outcome.TIMEOUT] * 3)
    assert list(board.answered) == [-1] * 3
    assert board.idle_since == 0.0


def test_a_board_for_nothing() -> None:
    assert not list(Board(0).outcomes)


def outcomes(plan: LabPlan, effort: Effort = Effort.CONNECT) -> bytes:
    with LabProcess(plan) as lab:
        lab.call(Build())
        wanted = efforts(len(plan.probes), range(len(plan.probes)), effort)
        return lab.call(Send(wanted, TIMEOUT)).outcomes


@pytest.mark.kernel
@pytest.mark.parametrize("effort", [Effort.KNOCK, Effort.CONNECT])
def test_everybody_answers_on_an_open_network(effort: Effort) -> None:
    assert set(outcomes(plan_of(*SHOP), effort)) == {Outcome.OPEN}


@pytest.mark.kernel
def test_an_answer_that_comes_late_because_the_lab_is_busy_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = {"_echo": answer._echo, "_accept": answer._accept}
    delays = dict.fromkeys(kinds, 4 * TIMEOUT)

    def late(kind: str) -> object:
        def handle(listener: object, name: bytes) -> None:
            time.sleep(delays.pop(kind, 0.0))
            kinds[kind](listener, name)  # type: ignore[arg-type]

        return handle

    for kind in kinds:
        monkeypatch.setattr(answer, kind, late(kind))
    assert set(outcomes(plan_of(*SHOP))) == {Outcome.OPEN}


@pytest.mark.kernel
def test_a_machine_at_its_limits_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Sender, pairs: Sequence[Pair]) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Sender, "run", run)
    with pytest.raises(LabError, match=r"this machine cannot send .* Too many open files"):
        outcomes(plan_of(*SHOP))


@pytest.mark.kernel
def test_a_sender_that_is_killed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Sender, pairs: Sequence[Pair]) -> None:
        os.kill(os.getpid(), 9)

    monkeypatch.setattr(Sender, "run", run)
    with pytest.raises(LabError, match="ended unexpectedly"):
        outcomes(plan_of(*SHOP))


@pytest.mark.kernel
def test_a_mistake_of_ours_in_a_sender_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Sender, pairs: Sequence[Pair]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Sender, "run", run)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        outcomes(plan_of(*SHOP))


@pytest.mark.kernel
def test_few_files_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections wait for room; what nobody answers makes room when its time is up."""
    monkeypatch.setattr("podfence.lab.child._WINDOW", 8)
    monkeypatch.setattr("podfence.lab.child._SMALLEST_WINDOW", 1)
    assert set(outcomes(plan_of(*SHOP))) == {Outcome.OPEN}
