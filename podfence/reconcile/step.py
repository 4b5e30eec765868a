"""step(state, inputs, now) -> state and actions: what is written to one node's kernel, and when.

Rule: pure. Nothing in here reads a clock or a kernel: times, the kernel's answers and the rules
that are wanted come in, and the actions to do come out. One write is under way at a time; what is
planned meanwhile is gathered into the next one.

As long as the kernel takes everything, the operations of plans are passed on as they are. When it
refuses something, or holds something else than was written, its table is read back, and whole
rulesets are compared. A refused part is searched for by halves (``quarantine``), until all is
taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

from msgspec.structs import replace

from podfence.nft.difference import diff, load
from podfence.nft.lowering.epoch import epoch_steps, with_epoch
from podfence.nft.lowering.tightening import Released, Tightening, tightening
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import DeleteTable, Operation, Transaction
from podfence.reconcile.bumps import EpochBumps, joint, less, meet
from podfence.reconcile.doubt import differs, drifted, looked
from podfence.reconcile.quarantine import halves, units, without
from podfence.reconcile.states import (
    PendingWrite,
    PlannedRules,
    ReadBack,
    ReadResult,
    ReconcileAction,
    ReconcileInput,
    ReconcileState,
    RefusalSearch,
    RefusedUnit,
    ReportKind,
    StepReport,
    Sweep,
    SweepResult,
    TableDrifted,
    WakeAt,
    Write,
    WriteResult,
    WriteUnanswered,
    is_ours,
)

Made = tuple[tuple[Operation, ...], Ruleset | None]
"""What is to be done to the table, and all rules after it, where they are known."""
RETRY = 60.0
"""Seconds after which what was refused is tried again."""


def step(
    state: ReconcileState, inputs: Sequence[ReconcileInput], now: float
) -> tuple[ReconcileState, list[ReconcileAction]]:
    """Take inputs in, in their order, and say what to do.

    ``now``: seconds of a clock that never goes back. With no inputs, time alone has passed. The
    actions are to be done in their order; every Write, ReadBack and Sweep is answered by an input
    of its own. A last WakeAt says when to come again at the latest.
    """
    machine = _ReconcileStep(state, now)
    for each in inputs:
        machine.take(each)
    machine.go()
    machine.wake()
    return machine.state, machine.actions


class _ReconcileStep:
    """One step in the making."""

    def __init__(self, state: ReconcileState, now: float) -> None:
        self.state = state
        self.now = now
        self.actions: list[ReconcileAction] = []

    def _set(self, **fields: object) -> None:
        self.state = replace(self.state, **fields)

    # -- what comes in

    def take(self, given: ReconcileInput) -> None:
        """One input."""
        match given:
            case PlannedRules():
                self._set(waiting=(*self.state.waiting, given), wanted=given.wanted)
            case WriteResult() | WriteUnanswered():
                pending = self.state.pending
                if pending is not None and pending.ticket == given.ticket:
                    self._set(pending=None)
                    self._answered(pending, given)
            case ReadResult(ruleset):
                self._read(ruleset)
            case TableDrifted(gone, heard):
                self._drifted(gone=gone, heard=heard or gone)
            case SweepResult(quarter, done):
                if done:
                    self._set(bumps=self.state.bumps.swept(quarter))
                else:
                    self._report(ReportKind.SWEEP_FAILED, str(quarter), "")

    def _answered(self, pending: PendingWrite, given: WriteResult | WriteUnanswered) -> None:
        if isinstance(given, WriteUnanswered):
            self._unanswered(pending)
        elif given.refusal is None:
            self._taken(pending)
        else:
            self._refused(pending, given.refusal)

    def _taken(self, pending: PendingWrite) -> None:
        """The kernel took a write."""
        self._set(bumps=self.state.bumps.becoming(pending.bumps), enforced=pending.goal)
        if self.state.trial is None:
            self._finish(pending.closed)
        else:
            self._set(trial=replace(self.state.trial, trying=frozenset(), applied=True))

    def _finish(self, closed: Mapping[str, RefusedUnit]) -> None:
        """All is enforced but ``closed``."""
        for unit in self.state.refused.keys() - closed.keys():
            self._report(ReportKind.ENFORCED_AGAIN, unit, "")
        for unit, refused in closed.items():
            known = self.state.refused.get(unit)
            if known is None or known.words != refused.words:
                self._report(ReportKind.REFUSED, unit, refused.words)
        waiting = self.now < self.state.retry_at < inf
        again = self.state.retry_at if waiting else self.now + RETRY
        self._set(refused=closed, retry_at=again if closed else inf)
        if not closed and not self.state.strict:
            self._set(enforced=None)

    def _refused(self, pending: PendingWrite, words: str) -> None:
        """The kernel did not take a write: it holds what it held before."""
        trial = self.state.trial
        carried = joint(self.state.carried, pending.released)
        self._set(carried=carried, distrusted=pending.distrusted, unsure=pending.unsure)
        self._set(doubted=False)  # no reading will tell what others did from what was refused
        if self.state.strict:
            self._report(ReportKind.TABLE_REFUSED, "", words)
        elif trial is not None:
            self._set(trial=trial.after_refusal(words))
        elif pending.goal is None:
            self._read_back()
        else:
            self._start_trial(pending, words)

    def _unanswered(self, pending: PendingWrite) -> None:
        """The kernel holds what it held before, or all of a write: its table will say."""
        state = self.state
        carried = joint(state.carried, pending.released)
        self._set(trial=None, carried=carried, distrusted=pending.distrusted, unsure=True)
        self._set(doubted=False)
        self._set(bumps=state.bumps.using(pending.bumps))
        self._read_back()

    def _read(self, ruleset: Ruleset | None) -> None:
        state = self.state
        if not state.reading:
            return
        mask = state.mark_mask
        known = ruleset if ruleset is not None and is_ours(ruleset, mask) else None
        if state.doubted and (known is None or differs(state, known)):
            self._report(ReportKind.DRIFT, "", "")
        self._set(doubted=False, reading=False, enforced=known, lost=known is None, check=True)
        if known is not None:
            self._set(bumps=self.state.bumps.at(known))

    def _drifted(self, *, gone: bool, heard: bool) -> None:
        if heard:
            self._report(ReportKind.DRIFT, "", "")
        self.state, is_now = drifted(self.state, self.now, gone=gone, heard=heard)
        if is_now:
            self._read_back()

    def _read_back(self) -> None:
        self._set(reading=True, repair_at=inf)
        self.actions.append(ReadBack())

    def _report(self, condition: ReportKind, unit: str, words: str) -> None:
        self.actions.append(StepReport(condition, unit, words))

    # -- what is done

    def go(self) -> None:
        """Write what can be written now."""
        state = self.state
        if state.pending is not None or state.reading:
            return
        if state.repair_at <= self.now:
            self.state = looked(state, self.now)
            self._read_back()
        elif state.trial is not None:
            self._try_next(state.trial)
        elif state.wanted is None:
            return
        elif self._is_careful() and (state.waiting or state.check or state.retry_at <= self.now):
            self._write_rules()
        elif any(planned.transaction is None for planned in state.waiting):
            self._read_back()
        elif state.waiting:
            self._write_operations()
        elif state.bumps.due <= self.now:
            self._pay()

    def wake(self) -> None:
        """Say when time alone decides something."""
        state = self.state
        if state.pending is not None or state.reading:
            return
        free = state.bumps.free_at
        if state.wanted is not None and (state.waiting or state.check or state.trial):
            first = min(free, state.repair_at)  # an epoch is waited for
        else:
            first = min(max(min(state.retry_at, state.bumps.due), free), state.repair_at)
        if first < inf:
            self.actions.append(WakeAt(first))

    def _is_careful(self) -> bool:
        """Whether whole rulesets are compared."""
        state = self.state
        return state.enforced is not None or state.lost or bool(state.refused)

    def _pay(self) -> None:
        """What is owed, alone."""
        state = self.state
        if self.now >= state.bumps.free_at:
            following = state.bumps.bumped(self.now)
            enforced = state.enforced
            goal = with_epoch(enforced, following.epoch) if enforced is not None else None
            steps = epoch_steps(state.mark_mask, following.epoch)
            self._write(steps, following, goal, state.refused)

    def _write_operations(self) -> None:
        """What was planned, as it was planned."""
        state = self.state
        operations = [step for planned in state.waiting for step in planned.transaction or ()]
        level = max(planned.tightens for planned in state.waiting)
        if any(isinstance(step, DeleteTable) for step in operations):
            level = Tightening.NOW  # with its epoch

        def made(following: EpochBumps) -> Made:
            bumped = following.epoch != state.bumps.epoch
            more = epoch_steps(state.mark_mask, following.epoch) if bumped else ()
            return (*operations, *more), None

        self._settle(level, made)

    def _write_rules(self) -> None:
        """What leads from the rules that are enforced to those that are wanted."""
        state = self.state
        assert state.wanted is not None
        wanted = with_epoch(state.wanted(), state.bumps.epoch)
        closed = self._still_refused(wanted)
        goal = without(wanted, closed, state.log_group)
        self._settle_rules(goal, closed)

    def _settle_rules(self, goal: Ruleset, closed: Mapping[str, RefusedUnit]) -> None:
        enforced = self.state.enforced
        level = Tightening.NOW
        if enforced is not None and not self.state.distrusted:
            level = tightening(enforced, goal, self._gone())
        if self.state.unsure and enforced is not None and diff(enforced, goal):
            level = Tightening.NOW

        def made(following: EpochBumps) -> Made:
            new = with_epoch(goal, following.epoch)
            change = load(new) if enforced is None else diff(enforced, new)
            return change.operations, new

        self._settle(level, made, closed)

    def _still_refused(self, wanted: Ruleset) -> dict[str, RefusedUnit]:
        """Refused units that are as they were; all are tried again after a while."""
        if not self.state.refused or self.state.retry_at <= self.now:
            return {}
        said = units(wanted)
        return {
            unit: refused
            for unit, refused in self.state.refused.items()
            if said.get(unit) == refused.contents
        }

    def _plans(self) -> tuple[PlannedRules, ...]:
        """What the next write takes in; while a refused part is looked for, new plans wait."""
        return self.state.waiting if self.state.trial is None else ()

    def _gone(self) -> Released:
        """Addresses that only disappeared since the last write."""
        found: Released = self.state.carried
        for planned in self._plans():
            found = less(joint(found, planned.released), planned.given)
        return found

    def _settle(
        self,
        level: Tightening,
        made: Callable[[EpochBumps], Made],
        closed: Mapping[str, RefusedUnit] | None = None,
    ) -> None:
        """Write, under the next epoch where that is needed, unless it has to wait for that."""
        state = self.state
        gone = self._gone()
        owing = state.bumps
        if level is Tightening.OWED:
            owing = owing.owing(gone, self.now)
        if self._must_bump(level):
            if self.now < state.bumps.free_at:
                return
            following = owing.bumped(self.now)
        else:
            following = owing
        operations, goal = made(following)
        self._write(operations, following, goal, closed or {})

    def _must_bump(self, level: Tightening) -> bool:
        """Something is taken away now, or somebody gets an address of which something is left, or
        may be, for all that is known of an earlier life."""
        left = joint(self.state.bumps.owed, self.state.carried)
        for planned in self._plans():
            if meet(left, planned.given) or (self.state.unsure and any(planned.given.values())):
                return True
            left = joint(left, planned.released)
        return level is Tightening.NOW

    def _write(
        self,
        operations: tuple[Operation, ...],
        following: EpochBumps,
        goal: Ruleset | None,
        closed: Mapping[str, RefusedUnit],
    ) -> None:
        state, bumps = self.state, self.state.bumps
        bumped = following.epoch != bumps.epoch
        pending = PendingWrite(
            state.ticket + 1, following, goal, closed, self._gone(), state.distrusted, state.unsure
        )
        self._set(ticket=pending.ticket, carried={}, check=False)
        self._set(lost=False, distrusted=False, unsure=state.unsure and not bumped)
        if state.trial is None:
            self._set(waiting=())
        if not operations:
            self._taken(pending)
            return
        for quarter in bumps.sweeps(following) if bumped else ():
            self.actions.append(Sweep(quarter, *bumps.numbers(quarter)))
        transaction = Transaction(state.table, operations)
        self.actions.append(Write(pending.ticket, transaction, following.epoch, bumped))
        self._set(pending=pending)

    # -- looking for what is refused

    def _start_trial(self, pending: PendingWrite, words: str) -> None:
        """By halves of the units that would have changed."""
        assert pending.goal is not None
        assert self.state.wanted is not None
        before = units(self.state.enforced) if self.state.enforced is not None else {}
        after = units(pending.goal)
        suspects = {unit for unit, said in after.items() if before.get(unit) != said}
        if not suspects:
            self._table_refused(words)
            return
        self._set(trial=RefusalSearch(pending.goal, after, pending.closed, tuple(halves(suspects))))

    def _table_refused(self, words: str) -> None:
        """Not even without all that changed: the table stays as it is."""
        self._report(ReportKind.TABLE_REFUSED, "", words)
        self._set(trial=None, retry_at=self.now + RETRY)

    def _try_next(self, trial: RefusalSearch) -> None:
        if not trial.queue:
            self._end_trial(trial)
            return
        trying, rest = trial.queue[0], trial.queue[1:]
        closed = frozenset().union(*rest) | trial.refused.keys()
        goal = without(trial.wanted, closed, self.state.log_group)
        self._set(trial=replace(trial, trying=trying, queue=rest))
        before = self.state
        self._settle_rules(with_epoch(goal, self.state.bumps.epoch), {})
        if self.state is before:  # it has to wait
            self._set(trial=trial)
        elif self.state.pending is None and self.state.trial is not None:
            self._try_next(self.state.trial)

    def _end_trial(self, trial: RefusalSearch) -> None:
        closed = {
            **trial.closed,
            **{u: RefusedUnit(words, trial.contents[u]) for u, words in trial.refused.items()},
        }
        if trial.applied:
            self._set(trial=None)
            self._finish(closed)
            self.go()
        elif trial.last:
            self._table_refused(next(iter(trial.refused.values())))
        else:  # nothing was taken yet: at least close what was refused
            self._try_next(replace(trial, last=True, queue=(frozenset(),)))
