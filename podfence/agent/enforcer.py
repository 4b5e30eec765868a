"""The one thread that enforces. It owns the rules that are wanted, what is remembered, and the
table.

Rule: ``reconcile.step`` decides. This thread does what was decided, and reports what came of it. A
table that was there at the start stays untouched until all objects are known. The thread waits for
the inbox alone.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

from podfence.admission.kinds import POLICY_KINDS
from podfence.agent.account import FRESH, StatusPublisher
from podfence.agent.conditions import ConditionKind
from podfence.agent.inbox import Inbox, InboxBatch
from podfence.agent.latency import Latencies
from podfence.agent.log import EventLog
from podfence.agent.revisions import SelectedPods
from podfence.agent.status import NodeStatus
from podfence.agent.wanted import DesiredState, is_policy
from podfence.errors import NftError, NftUnanswered
from podfence.model.facts import Event, PodFacts, Put
from podfence.model.meta import ObjectRef
from podfence.nft.lowering.assembly import OUR_TABLE
from podfence.nft.lowering.lower import LocalNode
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction, outline
from podfence.reconcile.states import (
    ReadBack,
    ReadResult,
    ReconcileInput,
    ReconcileState,
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
from podfence.reconcile.step import step
from podfence.sets.addresses import IPNetwork

TURN = 1.0
"""Seconds between two turns at the most."""


class TableAccess(Protocol):
    """What ``KernelTable`` does; or a stand-in."""

    def list(self) -> Ruleset | None:
        """What is there; None: nothing. Raises NftError where it cannot be read."""

    def exists(self) -> bool:
        """Whether there is anything. Raises NftError."""

    def run(self, transaction: Transaction) -> None:
        """Change it. Raises NftError, NftUnanswered."""

    def sweep(self, first: int, last: int) -> int:
        """Clear marks. Raises NftError."""

    def sweep_all(self) -> int:
        """Clear all marks. Raises NftError."""


class Enforcer:
    """``clock`` gives monotonic seconds. ``arrived`` is called with events that are enforced.
    ``wake`` is the time at which something is due without an event; inf: never."""

    def __init__(
        self,
        node: LocalNode,
        table: TableAccess,
        inbox: Inbox,
        log: EventLog,
        clock: Callable[[], float],
        latencies: Latencies | None = None,
        arrived: Callable[[Sequence[Event]], object] = len,
    ) -> None:
        self._node = node
        self._table = table
        self._inbox = inbox
        self._log = log
        self._clock = clock
        self._wanted = DesiredState(node)
        self._state = ReconcileState.starting(OUR_TABLE, node.mark_mask, node.log_group)
        self._account = StatusPublisher(node.name, log, clock, latencies or Latencies())
        self._counts = self._account.counts
        self._waiting: list[tuple[str, float]] = []
        self._tell_arrived, self._unarrived = arrived, list[Event]()
        self.wake = inf
        self._is_foreign = False

    @property
    def status(self) -> NodeStatus:
        """How this stands, for any thread."""
        return self._account.status

    @property
    def ranges(self) -> tuple[IPNetwork, ...]:
        """The ranges that are closed for unknown pods."""
        return self._wanted.ranges

    def run(self, between: Callable[[DesiredState], object] = bool) -> None:
        """Until the inbox ends; ``between`` turns. Raises what nothing should raise."""
        self.start()
        while self.turn():
            between(self._wanted)

    def start(self) -> None:
        """Look at the table; where there is none, close the pod ranges that are known."""
        found, is_new = self._read()
        what = "none" if is_new else ("found" if found else "cannot be read")
        self._log.info("start", node=self._node.name, table=what)
        if found is None or not is_ours(found, self._node.mark_mask):
            self._forget_marks()
        self._is_foreign = found is None and not is_new
        self._step([ReadResult(found), *self._wanted.begin(is_new=is_new)])

    def turn(self) -> bool:
        """One batch; whether there is to be another."""
        now = self._clock()
        is_stale = self._account.published < now - FRESH
        pause = min(TURN if is_stale else FRESH, max(0.0, self.wake - now))
        taken = self._inbox.take(pause)
        self._take(taken)
        self._account.publish(self._state, self._wanted, len(self._inbox), idle=not taken.events)
        return not taken.ended

    # -- what comes in

    def _take(self, taken: InboxBatch) -> None:
        self._account.take(taken)
        inputs: list[ReconcileInput] = []
        if taken.notices:
            heard = any(each.number for each in taken.notices)
            inputs.append(TableDrifted(gone=not self._table.exists(), heard=heard))
        was_in_sync = self._wanted.in_sync
        planned = self._wanted.take((told.event for told in taken.events), whole=taken.whole)
        if planned and was_in_sync:
            self._waiting += [(told.key[0], told.at) for told in taken.events]
        inputs += planned
        for told in taken.events:
            # Of what was there at the start, policies and pods here: nobody waits for the rest.
            if was_in_sync or told.key[0] in POLICY_KINDS or self._is_here(told.event):
                self._unarrived.append(told.event)
        for inquiry in taken.inquiries:
            inquiry.answer(self._selected(inquiry.policy))
        if inputs or self._clock() >= self.wake:
            self._step(inputs)
        elif taken.events and self._is_settled():
            self._arrived()

    def _is_here(self, event: Event) -> bool:
        """Whether it is about a pod of this node."""
        facts = event.facts if isinstance(event, Put) else None
        return isinstance(facts, PodFacts) and facts.node == self._node.name

    def _selected(self, policy: ObjectRef) -> SelectedPods:
        """Whom a policy selects here."""
        found = self._wanted.selected(policy)
        closed = self._account.closed(self._state, self._wanted)
        return SelectedPods(len(found), sum(not closed.isdisjoint(each) for each in found))

    def _synced(self) -> None:
        seconds = self._account.synced()
        if self._is_foreign:
            self._forget_marks()  # until now the other table wrote them, with unknown epochs
        gc.collect()
        gc.freeze()  # what is there now stays for long: it is not looked through again and again
        self._log.info(
            "in sync",
            seconds=round(seconds, 3),
            pods=self._account.pods,
            writes=self._counts["taken"],
            operations=self._counts["operations"],
            epoch=self._state.bumps.epoch,
        )

    # -- what is done

    def _step(self, inputs: Sequence[ReconcileInput]) -> None:
        """Step, and answer what is asked for, until nothing is."""
        while True:
            before = self._state.bumps.epoch
            self._state, actions = step(self._state, inputs, self._clock())
            self._counts["bumps"] += self._state.bumps.epoch != before
            self.wake = inf
            answers: list[ReconcileInput] = []
            for action in actions:
                match action:
                    case Write():
                        answers.append(self._write(action))
                    case ReadBack():
                        self._counts["reads"] += 1
                        answers.append(ReadResult(self._read()[0]))
                    case Sweep():
                        answers.append(self._sweep(action))
                    case StepReport():
                        self._account.report(action, self._state, self._wanted)
                    case WakeAt(time):
                        self.wake = time
            if not answers:
                break
            inputs = answers
        if self._is_settled():
            self._arrived()

    def _is_settled(self) -> bool:
        """Whether the kernel holds all that is wanted, but for what is closed."""
        state = self._state
        open_ends = state.waiting or state.trial or state.check or state.lost or state.reading
        return not open_ends and not self._account.conditions.holds(ConditionKind.TABLE_REFUSED, "")

    def _read(self) -> tuple[Ruleset | None, bool]:
        """The table, as far as it can be read, and whether there is none. A table that cannot be
        read is replaced as a whole later, in its turn."""
        try:
            found = self._table.list()
        except NftUnanswered:
            raise
        except NftError as error:
            self._log.warning("the table cannot be read", message=error.message)
            return None, False
        return found, found is None

    def _write(self, action: Write) -> ReconcileInput:
        if not (self._account.in_sync or self._wanted.is_new):  # why is what people want to know
            self._log.info("the table differs", operations=outline(action.transaction))
        begin = self._clock()
        try:
            self._table.run(action.transaction)
        except NftUnanswered as error:
            self._counts["unanswered"] += 1
            self._log.error("the kernel did not answer", message=error.message)
            return WriteUnanswered(action.ticket)
        except NftError as error:
            self._counts["refused"] += 1
            return WriteResult(action.ticket, error.message)
        self._counts["taken"] += 1
        self._counts["operations"] += len(action.transaction)
        self._account.wrote(self._clock() - begin)
        self._account.conditions.end(ConditionKind.TABLE_REFUSED, "")
        return WriteResult(action.ticket)

    def _sweep(self, action: Sweep) -> ReconcileInput:
        self._counts["sweeps"] += 1
        try:
            cleared = self._table.sweep(action.first, action.last)
        except NftError as error:
            self._account.hold(ConditionKind.SWEEP_FAILED, "", error.message)
            return SweepResult(action.quarter, False)
        self._account.conditions.end(ConditionKind.SWEEP_FAILED, "")
        self._log.info("old marks cleared", connections=cleared)
        return SweepResult(action.quarter, True)

    def _forget_marks(self) -> None:
        """Without our table, the epochs that connections carry from an earlier life are unknown."""
        try:
            self._table.sweep_all()
        except NftError as error:
            self._account.hold(ConditionKind.SWEEP_FAILED, "", error.message)

    def _arrived(self) -> None:
        """The kernel holds all that events asked for, as soon as all is known."""
        if not self._wanted.in_sync:
            return
        self._account.arrived(self._waiting)
        self._waiting.clear()
        if not self._account.in_sync:
            self._synced()
        if any(map(is_policy, self._unarrived)):
            # Who hears of a revision has to hear what is wrong with it.
            self._account.publish(self._state, self._wanted, len(self._inbox), idle=True)
        self._tell_arrived(self._unarrived)
        self._unarrived = []
