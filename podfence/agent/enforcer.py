"""The one thread that enforces: it owns what is wanted, what is remembered, and the table.

Rule: decisions are ``reconcile.step``'s; here they are done, and what came of them is told back.
What was read at the start is not touched before all is known. Nothing waits but for the inbox.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

from podfence.agent.conditions import Conditions, Kind
from podfence.agent.inbox import Inbox, Key, Taken
from podfence.agent.latency import Latencies, Latency
from podfence.agent.localpods import LocalPods
from podfence.agent.log import Log
from podfence.agent.sources import Standings
from podfence.agent.status import Sizes, Status, Waiting, Writes
from podfence.agent.wanted import Wanted
from podfence.errors import NftError, NftUnanswered
from podfence.kernel.nftables.notices import Notice
from podfence.live.policystore import Refusal
from podfence.model.facts import Event, Gone
from podfence.model.networkpolicy import IPNetwork
from podfence.nft.lowering.assembly import OUR_TABLE
from podfence.nft.lowering.lower import LocalNode
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction
from podfence.reconcile.quarantine import addresses
from podfence.reconcile.states import (
    Condition,
    Drifted,
    Input,
    Read,
    ReadBack,
    Report,
    State,
    Sweep,
    Swept,
    Unanswered,
    WakeAt,
    Write,
    Written,
    is_ours,
)
from podfence.reconcile.step import step

TURN = 1.0
"""Seconds between two turns at the most."""
FRESH = 0.2
"""Seconds that a status may be older than what it tells."""
DRIFT_HOLDS = 60.0
"""Seconds after which a change by others is past."""
_UNREAD = "it is known by its name alone: without labels, and as a pod without address"
SIZED = 10.0
"""Seconds between two counts of what the table holds."""


class Table(Protocol):
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
    """``clock``: monotonic seconds. ``arrived`` is told events that are enforced. ``status``: the
    latest, for other threads. ``wake``: when time alone decides something; inf: never."""

    def __init__(
        self,
        node: LocalNode,
        table: Table,
        inbox: Inbox,
        log: Log,
        clock: Callable[[], float],
        latencies: Latencies | None = None,
        arrived: Callable[[Sequence[Event]], object] = len,
    ) -> None:
        self._node = node
        self._table = table
        self._inbox = inbox
        self._log = log
        self._clock = clock
        self._wanted = Wanted(node)
        self._state = State.starting(OUR_TABLE, node.mark_mask, node.log_group)
        self._pods = LocalPods(node.name)
        self._conditions = Conditions(log)
        self._standings = Standings(self._conditions)
        self._latencies = latencies or Latencies()
        self._durations = Latencies()
        self._counts: Counter[str] = Counter()
        self._events: Counter[tuple[str, str]] = Counter()
        self._faults: dict[Key, str] = {}
        self._waiting: list[tuple[str, float]] = []
        self._tell_arrived, self._unarrived = arrived, list[Event]()
        self.wake = inf
        self._sizes, self._sized = Sizes(), -inf
        self._drifted = Notice("", 0)
        self._drifted_at = -inf
        self._sync_seconds: float | None = None
        self._is_foreign = False
        self.started = clock()
        self.status = Status(node.name, self.started, self.started)
        self._published = -inf

    @property
    def ranges(self) -> tuple[IPNetwork, ...]:
        """The ranges that are closed for whom nobody knows."""
        return self._wanted.ranges

    def run(self) -> None:
        """Until the inbox ends. Raises what nothing should raise."""
        self.start()
        while self.turn():
            pass

    def start(self) -> None:
        """Look at the table; where there is none, close the pod ranges that are known."""
        found, is_new = self._read()
        what = "none" if is_new else ("found" if found else "cannot be read")
        self._log.info("start", node=self._node.name, table=what)
        if found is None or not is_ours(found, self._node.mark_mask):
            self._forget_marks()
        self._is_foreign = found is None and not is_new
        self._step([Read(found), *self._wanted.begin(is_new=is_new)])

    def turn(self) -> bool:
        """One batch; whether there is to be another."""
        now = self._clock()
        is_stale = self._published < now - FRESH
        pause = min(TURN if is_stale else FRESH, max(0.0, self.wake - now))
        taken = self._inbox.take(pause)
        self._take(taken)
        self._publish(idle=not taken.events)
        return not taken.ended

    # -- what comes in

    def _take(self, taken: Taken) -> None:
        now = self._clock()
        for told in taken.events:
            self._faults.pop(told.key, None)
            if told.fault:
                self._faults[told.key] = told.fault
            self._pods.take(told.event, told.at)
            self._events[told.key[0], "gone" if isinstance(told.event, Gone) else "put"] += 1
        self._standings.take(taken.standings, now)
        inputs: list[Input] = []
        if taken.notices:
            self._drifted = taken.notices[-1]
            inputs.append(Drifted(gone=not self._table.exists()))
        was_in_sync = self._wanted.in_sync
        planned = self._wanted.take((told.event for told in taken.events), whole=taken.whole)
        if planned and was_in_sync:
            self._waiting += [(told.key[0], told.at) for told in taken.events]
        inputs += planned
        self._unarrived += [told.event for told in taken.events if was_in_sync]
        if inputs or self._clock() >= self.wake:
            self._step(inputs)
        elif taken.events and self._is_settled():
            self._arrived()

    def _synced(self) -> None:
        self._sync_seconds = self._clock() - self.started
        if self._is_foreign:
            self._forget_marks()  # until now the other table wrote them, with epochs nobody knows
        gc.collect()
        gc.freeze()  # what is there now stays for long: it is not looked through again and again
        self._log.info(
            "in sync",
            seconds=round(self._sync_seconds, 3),
            pods=len(self._pods),
            writes=self._counts["taken"],
            operations=self._counts["operations"],
            epoch=self._state.bumps.epoch,
        )

    # -- what is done

    def _step(self, inputs: Sequence[Input]) -> None:
        """Step, and answer what is asked for, until nothing is."""
        while True:
            before = self._state.bumps.epoch
            self._state, actions = step(self._state, inputs, self._clock())
            self._counts["bumps"] += self._state.bumps.epoch != before
            self.wake = inf
            answers: list[Input] = []
            for action in actions:
                match action:
                    case Write():
                        answers.append(self._write(action))
                    case ReadBack():
                        self._counts["reads"] += 1
                        answers.append(Read(self._read()[0]))
                    case Sweep():
                        answers.append(self._sweep(action))
                    case Report():
                        self._report(action)
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
        return not open_ends and not self._conditions.holds(Kind.TABLE_REFUSED, "")

    def _read(self) -> tuple[Ruleset | None, bool]:
        """The table, as far as it can be read, and whether there is none. One that is there and
        cannot be read is replaced as a whole when its turn comes."""
        try:
            found = self._table.list()
        except NftUnanswered:
            raise
        except NftError as error:
            self._log.warning("the table cannot be read", message=error.message)
            return None, False
        return found, found is None

    def _write(self, action: Write) -> Input:
        begin = self._clock()
        try:
            self._table.run(action.transaction)
        except NftUnanswered as error:
            self._counts["unanswered"] += 1
            self._log.error("the kernel did not answer", message=error.message)
            return Unanswered(action.ticket)
        except NftError as error:
            self._counts["refused"] += 1
            return Written(action.ticket, error.message)
        self._counts["taken"] += 1
        self._counts["operations"] += len(action.transaction)
        self._durations.add("write", self._clock() - begin)
        self._conditions.end(Kind.TABLE_REFUSED, "")
        return Written(action.ticket)

    def _sweep(self, action: Sweep) -> Input:
        self._counts["sweeps"] += 1
        try:
            cleared = self._table.sweep(action.first, action.last)
        except NftError as error:
            self._hold(Kind.SWEEP_FAILED, "", error.message)
            return Swept(action.quarter, False)
        self._conditions.end(Kind.SWEEP_FAILED, "")
        self._log.info("old marks cleared", connections=cleared)
        return Swept(action.quarter, True)

    def _forget_marks(self) -> None:
        """Without our table nobody knows which epochs connections carry from an earlier life."""
        try:
            self._table.sweep_all()
        except NftError as error:
            self._hold(Kind.SWEEP_FAILED, "", error.message)

    def _arrived(self) -> None:
        """The kernel holds all that events asked for."""
        now = self._clock()
        for kind, at in self._waiting:
            self._latencies.add(kind, now - at)
        self._waiting.clear()
        if self._wanted.in_sync and self._sync_seconds is None:
            self._synced()
        self._tell_arrived(self._unarrived)
        self._unarrived = []

    # -- what is told

    def _hold(self, kind: Kind, subject: str, message: str, closed: tuple[str, ...] = ()) -> None:
        self._conditions.hold(kind, subject, message, self._clock(), closed)

    def _report(self, report: Report) -> None:
        match report.condition:
            case Condition.DRIFT:
                self._counts["drifts"] += 1
                self._drifted_at = self._clock()
                who = self._drifted
                name = f"{who.process} (process {who.number})" if who.number else "nobody knows who"
                self._hold(Kind.DRIFT, "", f"the table podfence was changed by another: {name}")
            case Condition.TABLE_REFUSED:
                self._hold(Kind.TABLE_REFUSED, "", report.words)
            case Condition.SWEEP_FAILED:
                pass  # told with its reason when it failed
            case Condition.REFUSED | Condition.ENFORCED_AGAIN:
                self._tell_refused()

    def _tell_refused(self) -> None:
        """Groups of pods whose rules the kernel refuses, with what they are for."""
        refused = self._state.refused
        self._conditions.only(Kind.KERNEL_REFUSED, frozenset(refused))
        if not refused:
            return
        wanted = self._wanted.ruleset()
        for unit, found in refused.items():
            chain = wanted.chains.get(unit)
            what = f"{chain.comment}: " if chain and chain.comment else ""
            closed = self._pods.at(addresses(wanted, unit))
            self._hold(Kind.KERNEL_REFUSED, unit, f"{what}{found.words}", closed)

    def _publish(self, *, idle: bool) -> None:
        now = self._clock()
        if not idle and now - self._published < FRESH:
            return
        self._published = now
        self._tell_state(now)
        if now - self._sized > SIZED and idle and self._wanted.in_sync:
            self._sizes, self._sized = _sizes(self._wanted.ruleset()), now
        counts = self._counts
        duration = self._durations.now().get("write", Latency())
        self.status = Status(
            node=self._node.name,
            started=self.started,
            turned=now,
            in_sync=self._sync_seconds is not None,
            sync_seconds=self._sync_seconds,
            epoch=self._state.bumps.epoch,
            bumps=counts["bumps"],
            pods=len(self._pods),
            pending=tuple(Waiting(pod.text, pod.since) for pod in self._pods.pending()),
            conditions=self._conditions.now(),
            events=dict(self._events),
            latency=self._latencies.now(),
            queued=len(self._inbox),
            writes=Writes(
                counts["taken"],
                counts["refused"],
                counts["unanswered"],
                counts["operations"],
                duration,
            ),
            drifts=counts["drifts"],
            reads=counts["reads"],
            sweeps=counts["sweeps"],
            sizes=self._sizes,
        )

    def _tell_state(self, now: float) -> None:
        """Conditions that hold for as long as something is so."""
        self._standings.look(now)
        refused = {
            **{_text(*key): f"{fault}; {_UNREAD}" for key, fault in self._faults.items()},
            **{
                _text(r.ref.kind, r.ref.namespace, r.ref.name): _said(r)
                for r in self._wanted.refused
            },
        }
        self._conditions.only(Kind.REFUSED, frozenset(refused))
        for subject, message in refused.items():
            self._hold(Kind.REFUSED, subject, message)
        if self._state.refused:
            self._tell_refused()
        if now - self._drifted_at > DRIFT_HOLDS:
            self._conditions.end(Kind.DRIFT, "")
        if self._wanted.in_sync and not self._wanted.ranges:
            text = "the Node has no podCIDRs: give the pod ranges of this node with --pod-cidr"
            self._hold(Kind.NOT_FAIL_CLOSED, "", text)
        else:
            self._conditions.end(Kind.NOT_FAIL_CLOSED, "")


def _text(kind: str, namespace: str, name: str) -> str:
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _said(refusal: Refusal) -> str:
    """What is wrong with a policy, and what that does."""
    where = f"{refusal.path}: " if refusal.path else ""
    closes = "the pods that it may select are closed" if refusal.closes else "it is not enforced"
    return f"{where}{refusal.reason}; {closes}"


def _sizes(ruleset: Ruleset) -> Sizes:
    elements = sum(len(item.elements) for item in ruleset.sets.values())
    elements += sum(len(item.elements) for item in ruleset.maps.values())
    return Sizes(
        len(ruleset.sets) + len(ruleset.maps),
        len(ruleset.chains),
        sum(len(chain.rules) for chain in ruleset.chains.values()),
        elements,
    )
