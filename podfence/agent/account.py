"""The enforcer's account of itself: conditions, counts, and the status that other threads read.

Rule: this module informs people; nothing that is enforced follows from it. One thread uses it. Only
``status``, a frozen value, may be read by others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from math import inf

from podfence.agent.conditions import ConditionKind, ConditionListener, Conditions
from podfence.agent.inbox import EventKey, InboxBatch
from podfence.agent.latency import Latencies, Latency
from podfence.agent.localpods import LocalPods
from podfence.agent.policycondition import unenforced
from podfence.agent.sources import KindConditions
from podfence.agent.status import NodeStatus, TransactionCounts, WaitingPod
from podfence.agent.wanted import ClosedGroups, DesiredState
from podfence.kernel.nftables.notices import Notice
from podfence.live.pods import At
from podfence.live.unread import UnreadPolicy
from podfence.model.facts import Gone, PolicyFacts
from podfence.model.meta import ObjectRef
from podfence.nft.lowering.sizes import Sizes
from podfence.reconcile.states import ReconcileState, ReportKind, StepReport

FRESH = 0.2
"""Seconds that a status may be older than what it tells."""
DRIFT_HOLDS = 60.0
"""Seconds after which a change by others is past."""
SIZED = 10.0
"""Seconds between two counts of what the table holds."""
COUNTING = 0.001
"""Seconds of a turn that counting may take; it goes on in the next turn. Events wait for it."""
_UNREAD = "only its name is known; it counts as without labels, and a pod as without an address"


class StatusPublisher:
    """``clock`` gives monotonic seconds. ``counts`` says how often each thing was done.
    ``published`` is the time at which the status was made."""

    def __init__(
        self, node: str, log: ConditionListener, clock: Callable[[], float], latencies: Latencies
    ) -> None:
        self._clock = clock
        self.conditions = Conditions(log)
        self.counts: Counter[str] = Counter()
        self._pods = LocalPods(node)
        self._standings = KindConditions(self.conditions)
        self._latencies = latencies
        self._durations = Latencies()
        self._events: Counter[tuple[str, str]] = Counter()
        self._faults: dict[EventKey, str] = {}
        self._partly: dict[EventKey, str] = {}
        self._drifted = Notice("", 0)
        self._drifted_at = -inf
        self._sizes, self._sized = Sizes(), -inf
        self._sizing: Iterator[Sizes | None] | None = None
        self._closings = ClosedGroups()
        self._sync_seconds: float | None = None
        self._started = clock()
        self.status = NodeStatus(node, self._started, self._started)
        self.published = -inf

    @property
    def in_sync(self) -> bool:
        """Whether the kernel has held all that is wanted, once."""
        return self._sync_seconds is not None

    @property
    def pods(self) -> int:
        """How many of this node are known."""
        return len(self._pods)

    def take(self, taken: InboxBatch) -> None:
        """What has come in."""
        for told in taken.events:
            self._faults.pop(told.key, None)
            if told.fault:
                self._faults[told.key] = told.fault
            self._partly.pop(told.key, None)
            facts = None if isinstance(told.event, Gone) else told.event.facts
            if isinstance(facts, PolicyFacts) and (left_out := unenforced(facts)):
                self._partly[told.key] = left_out
            self._pods.take(told.event, told.at)
            self._events[told.key[0], "gone" if isinstance(told.event, Gone) else "put"] += 1
        self._standings.take(taken.standings, self._clock())
        if taken.notices:
            named = [each for each in taken.notices if each.number]
            self._drifted = (named or taken.notices)[-1]

    def arrived(self, events: Iterable[tuple[str, float]]) -> None:
        """The kernel holds what came of events: their kinds, and when each had come."""
        now = self._clock()
        for kind, at in events:
            self._latencies.add(kind, now - at)

    def wrote(self, seconds: float) -> None:
        """The kernel took a write, which lasted so long."""
        self._durations.add("write", seconds)

    def synced(self) -> float:
        """The kernel holds all that is wanted, for the first time; seconds from the start."""
        self._sync_seconds = self._clock() - self._started
        return self._sync_seconds

    def hold(
        self, kind: ConditionKind, subject: str, message: str, closed: tuple[str, ...] = ()
    ) -> None:
        """A condition holds from now on."""
        self.conditions.hold(kind, subject, message, self._clock(), closed)

    def _hold_of(self, kind: ConditionKind, found: dict[ObjectRef, str]) -> None:
        """Of a kind of conditions that are about objects, these hold, and no others."""
        self.conditions.only(kind, frozenset(map(_text, found)))
        for about, message in found.items():
            self.conditions.hold(kind, _text(about), message, self._clock(), about=about)

    def closed(self, state: ReconcileState, wanted: DesiredState) -> frozenset[At]:
        """The addresses here that are closed because the kernel refuses their rules."""
        found = self._closings.of(state.refused, wanted).values()
        return frozenset().union(*(closing.addresses for closing in found))

    def report(self, report: StepReport, state: ReconcileState, wanted: DesiredState) -> None:
        """What ``step`` has to say."""
        match report.condition:
            case ReportKind.DRIFT:
                self.counts["drifts"] += 1
                self._drifted_at = self._clock()
                who = self._drifted
                name = f"{who.process} (process {who.number})"
                text = f"the table podfence was changed by another: {name}"
                if not who.number:
                    text = (
                        "the table podfence was changed by an unknown process: notifications were "
                        "lost"
                    )
                self.hold(ConditionKind.DRIFT, "", text)
            case ReportKind.TABLE_REFUSED:
                self.hold(ConditionKind.TABLE_REFUSED, "", report.words)
            case ReportKind.SWEEP_FAILED:
                pass  # told with its reason when it failed
            case ReportKind.REFUSED | ReportKind.ENFORCED_AGAIN:
                self._tell_refused(state, wanted)

    def publish(
        self, state: ReconcileState, wanted: DesiredState, queued: int, *, idle: bool
    ) -> None:
        """Make the status again, unless there is more to do and it is fresh."""
        now = self._clock()
        if not idle and now - self.published < FRESH:
            return
        self.published = now
        self._tell_state(state, wanted, now)
        if idle and wanted.in_sync:
            self._count_sizes(wanted, now)
        counts = self.counts
        duration = self._durations.now().get("write", Latency())
        self.status = NodeStatus(
            node=self.status.node,
            started=self._started,
            turned=now,
            in_sync=self.in_sync,
            sync_seconds=self._sync_seconds,
            epoch=state.bumps.epoch,
            bumps=counts["bumps"],
            pods=len(self._pods),
            pending=tuple(WaitingPod(pod.text, pod.since) for pod in self._pods.pending()),
            conditions=self.conditions.now(),
            events=dict(self._events),
            latency=self._latencies.now(),
            queued=queued,
            writes=TransactionCounts(
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

    def _count_sizes(self, wanted: DesiredState, now: float) -> None:
        """Count what the table holds, for a turn."""
        if self._sizing is None and now - self._sized > SIZED:
            self._sizing = wanted.sizing()
        for found in self._sizing or ():
            if found is not None:
                self._sizes, self._sized, self._sizing = found, now, None
            elif self._clock() >= now + COUNTING:
                break

    def _tell_refused(self, state: ReconcileState, wanted: DesiredState) -> None:
        """Groups of pods whose rules the kernel refuses, with what they are for."""
        refused = state.refused
        self.conditions.only(ConditionKind.KERNEL_REFUSED, frozenset(refused))
        for unit, closing in self._closings.of(refused, wanted).items():
            what = f"{closing.comment}: " if closing.comment else ""
            closed = self._pods.at(closing.addresses)
            self.hold(ConditionKind.KERNEL_REFUSED, unit, f"{what}{refused[unit].words}", closed)

    def _tell_state(self, state: ReconcileState, wanted: DesiredState, now: float) -> None:
        """Update the conditions that last as long as their cause."""
        self._standings.look(now)
        refused = {ObjectRef(*key): f"{fault}; {_UNREAD}" for key, fault in self._faults.items()}
        refused.update((each.ref, _said(each)) for each in wanted.refused)
        self._hold_of(ConditionKind.REFUSED, refused)
        partly = {ObjectRef(*key): said for key, said in self._partly.items()}
        self._hold_of(ConditionKind.PARTLY_ENFORCED, partly)
        if state.refused:
            self._tell_refused(state, wanted)
        if now - self._drifted_at > DRIFT_HOLDS:
            self.conditions.end(ConditionKind.DRIFT, "")
        if wanted.in_sync and not wanted.ranges:
            text = "the Node has no podCIDRs: give the pod ranges of this node with --pod-cidr"
            self.hold(ConditionKind.NOT_FAIL_CLOSED, "", text)
        else:
            self.conditions.end(ConditionKind.NOT_FAIL_CLOSED, "")


def _text(about: ObjectRef) -> str:
    return f"{about.kind} {about}"


def _said(refusal: UnreadPolicy) -> str:
    """What is wrong with a policy, and what that does."""
    where = f"{refusal.path}: " if refusal.path else ""
    return f"{where}{refusal.reason}; {refusal.instead.value}"
