"""A node in memory: a kernel that refuses what it is told to, a clock, and the steps between."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from podfence.errors import NftError
from podfence.nft.difference import load
from podfence.nft.lowering.epoch import epoch
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import AddChain, AddRules, Transaction
from podfence.reconcile.states import (
    ReadBack,
    ReadResult,
    ReconcileInput,
    ReconcileState,
    ReportKind,
    StepReport,
    Sweep,
    SweepResult,
    WakeAt,
    Write,
    WriteResult,
    WriteUnanswered,
)
from podfence.reconcile.step import step
from podfence.testing.fakenft import FakeNft


class SteppedNode:
    """``poisoned``: groups whose chains the kernel refuses. ``lost``: answers that get lost, each
    before (False) or after (True) the write was done. ``writes``: when, from what, to what, and by
    which action; None: by other hands."""

    def __init__(self, rules: Ruleset, state: ReconcileState | None = None) -> None:
        self.kernel = FakeNft()
        self.kernel.run(load(rules))
        self.state = state or ReconcileState.of(rules)
        self.now = 100.0
        self.wake = inf
        self.poisoned: set[str] = set()
        self.refuses_all = False
        self.lost: list[bool] = []
        self.sweeps_fail = False
        self.writes: list[tuple[float, Ruleset, Ruleset, Write | None]] = []
        self.attempts = 0
        self.reads = 0
        self.sweeps: list[tuple[int, int, int]] = []
        self.reports: list[tuple[ReportKind, str]] = []

    @property
    def rules(self) -> Ruleset:
        """What the kernel holds."""
        found = self.kernel.list()
        assert found is not None
        return found

    def feed(self, *inputs: ReconcileInput) -> None:
        """Step, and answer the actions, until there are none to answer."""
        waiting = [*inputs]
        while True:
            self.state, actions = step(self.state, waiting, self.now)
            self.wake = inf
            waiting = []
            for action in actions:
                match action:
                    case Write():
                        waiting.append(self._write(action))
                    case ReadBack():
                        self.reads += 1
                        waiting.append(ReadResult(self.kernel.list()))
                    case Sweep(quarter, first, last):
                        self.sweeps.append((quarter, first, last))
                        waiting.append(SweepResult(quarter, not self.sweeps_fail))
                    case StepReport(condition, unit):
                        self.reports.append((condition, unit))
                    case WakeAt(time):
                        self.wake = time
            if not waiting:
                return

    def by_other_hands(self, transaction: Transaction) -> None:
        """Somebody else changes our table."""
        before = self.rules
        self.kernel.run(transaction)
        self.writes.append((self.now, before, self.rules, None))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a step wherever one was asked for."""
        end = self.now + seconds
        while self.wake <= end:
            assert self.wake >= self.now
            self.now = max(self.now, self.wake)
            self.feed()
        self.now = end

    def _write(self, action: Write) -> WriteResult | WriteUnanswered:
        self.attempts += 1
        before = self.kernel.list()
        is_lost = bool(self.lost)
        if is_lost and not self.lost.pop(0):
            return WriteUnanswered(action.ticket)
        try:
            if self.refuses_all or self.poisoned.intersection(_made(action.transaction)):
                raise NftError("poison")
            self.kernel.run(action.transaction)
        except NftError as error:
            return WriteResult(action.ticket, error.message)
        if before is not None:
            assert epoch(self.rules) == action.epoch
            self.writes.append((self.now, before, self.rules, action))
        return WriteUnanswered(action.ticket) if is_lost else WriteResult(action.ticket)


def _made(transaction: Transaction) -> Iterator[str]:
    """The groups whose chains it makes or fills."""
    for operation in transaction:
        match operation:
            case AddChain(name) | AddRules(name):
                yield name.removesuffix("_r")
