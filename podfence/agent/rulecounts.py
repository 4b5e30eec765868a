"""Which rules are used. One thread looks at the connections that the kernel tracks, and the thread
that enforces finds their rules.

Rule: no packet is touched for it, and nobody waits, not even for a disk. Looking takes one
hundredth of a processor at most, so a node with many connections has fewer looks. The thread that
enforces looks up some kinds of connections for a few milliseconds a turn, after its own work.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Protocol

from podfence.agent.keptfiles import RuleFile
from podfence.agent.leisure import IdleBudget
from podfence.agent.log import EventLog
from podfence.drops.headers import protocol_of
from podfence.drops.record import RULE, Cause, rfc3339
from podfence.errors import NftError
from podfence.kernel.ctlook import ConntrackSample, TrackedConnection
from podfence.model.meta import ObjectRef, Revision
from podfence.sets.ports import OTHER
from podfence.usage.credit import ConnectionKind, Credit, RuleRef
from podfence.usage.ledger import UsageLedger, unusable
from podfence.usage.record import NodeUsage

PERIOD = 10.0
"""Seconds between two looks at the least. The kernel keeps a connection that was reset for as long,
and others for longer, so each is seen."""
SHARE = 100
"""How many times as long as a look took is waited for the next."""
AGAIN = 60.0
"""Seconds until connections that cannot be listed are tried again."""
WHOLE = 10
"""Each so manyth look tells what is still there of before, too; and the first after policies have
changed, or after one that failed."""
ASKED = 1000
"""Kinds of connections that it looks at for that."""
SURVEY = 30.0
"""Seconds until the rules that there are are gathered again; after a change of policies at once."""
_DENIALS = 4096
"""Denials that wait for the next turn."""
_UNREAD = "the counts of before are not read from the disk yet"


class Connections(Protocol):
    """What ``ConnectionTable`` does; or a stand-in."""

    def look(self, *, still: bool = False) -> ConntrackSample:
        """Raises NftError."""


class RuleCounts:
    """``file`` keeps counts over restarts of the agent and of the machine. ``clock`` gives seconds
    since 1970, ``timer`` seconds since any time."""

    def __init__(
        self,
        node: str,
        connections: Connections,
        file: RuleFile,
        log: EventLog,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node, self._connections = node, connections
        self._file, self._log, self._clock = file, log, clock
        self._lock = threading.Lock()
        self._ledger = UsageLedger(clock())
        self._ledger.failed(_UNREAD)
        self._has_read = False
        self._save_at = -inf
        self._changes = 0
        # Of the thread that enforces alone:
        self._leisure = IdleBudget(timer)
        self._surveyed, self._is_stale = -inf, True
        self._state = self._surveyed_state = -1
        self._denied: deque[RuleRef] = deque(maxlen=_DENIALS)

    def run(self, stopped: threading.Event) -> None:
        """Until it is to stop."""
        if not self._has_read:
            self.read()
        said, looks, changes = "", 0, 0
        while not stopped.is_set():
            began, now = time.thread_time(), self._changes
            still = bool(said) or now != changes or looks % WHOLE == 0
            try:
                self.take(self._connections.look(still=still))
                said, looks, changes = "", looks + 1, now
                pause = max(PERIOD, SHARE * (time.thread_time() - began))
            except NftError as error:
                with self._lock:
                    self._ledger.failed(error.message)
                if error.message != said:
                    self._log.warning("rules are not counted", message=error.message)
                said, pause = error.message, AGAIN
            self._save_in_time()
            stopped.wait(pause)
        self.save()

    def read(self) -> None:
        """What an earlier life has counted. A disk may keep this waiting for ever: until then
        nothing is counted, and that is said."""
        kept, now = self._file.load(), self._clock()
        why = kept and unusable(kept, now)
        if why:
            self._file.refuse(why)
        with self._lock:
            self._ledger = UsageLedger(now, None if why else kept)
            self._has_read = True

    def save(self) -> None:
        """Keep what is counted for a next life."""
        now = time.monotonic()
        with self._lock:
            kept = self._ledger.kept()
        self._save_at = now + self._file.save(kept)

    def take(self, look: ConntrackSample) -> None:
        """What a look has found."""
        kinds = [(_kind(each), number) for each, number in look.kinds.items()]
        with self._lock:
            self._ledger.looked(kinds, self._clock(), cut=look.cut)

    def changed(self) -> None:
        """Policies are others now. For the thread that enforces."""
        self._is_stale = True
        with self._lock:
            self._ledger.forget()
        self._changes += 1  # last, so that a look that sees it asks policies of now

    def name(self, credit: Credit, revisions: Mapping[ObjectRef, Revision]) -> None:
        """Find the rules of some connections. For the thread that enforces: its index is not to
        change meanwhile."""
        if not self._has_read or not self._leisure.begin():
            return
        now = self._clock()
        with self._lock:
            if self._state != credit.state:
                self._state = credit.state
                self._ledger.forget()
            asked = self._ledger.questions(ASKED)
        if self._is_stale or not 0 <= now - self._surveyed < SURVEY:
            self._survey(credit, revisions, now)
        answers = self._answers(credit, asked)
        denied = [self._denied.popleft() for _ in range(len(self._denied))]
        if self._surveyed_state != self._state:
            used = {rule for _, rules in answers for rule in rules}.union(denied)
            with self._lock:
                is_known = self._ledger.knows(used)
            if not is_known:  # a pod is new here, and with it the rules of its policies
                self._survey(credit, revisions, now)
        with self._lock:
            for kind, rules in answers:
                self._ledger.answer(kind, rules, now)
            for rule in denied:
                self._ledger.denied(rule, now)
        self._leisure.end()

    def denied(self, causes: Iterable[Cause]) -> None:
        """Packets were denied, by rules or otherwise; counted with the next ``name``. For the
        thread that enforces."""
        for cause in causes:
            if cause.reason == RULE and cause.policies:
                rule = cause.policies[0]
                namespace, _, name = rule.policy.rpartition("/")
                self._denied.append((ObjectRef(rule.kind, namespace, name), rule.path))

    def rules(self, namespace: str = "") -> NodeUsage:
        """What is known now; of one namespace, where one is given. For any thread."""
        with self._lock:
            seen = self._ledger.seen(self._clock(), namespace)
        return seen.rules(self._node, rfc3339)

    def _answers(
        self, credit: Credit, asked: Iterable[ConnectionKind]
    ) -> list[tuple[ConnectionKind, tuple[RuleRef, ...]]]:
        """For as long as a turn may take, and one at the least."""
        found = []
        for kind in asked:
            found.append((kind, credit.rules(kind)))
            if self._leisure.is_over:
                break
        return found

    def _survey(self, credit: Credit, revisions: Mapping[ObjectRef, Revision], now: float) -> None:
        self._is_stale, self._surveyed, self._surveyed_state = False, now, credit.state
        written = credit.written()
        with self._lock:
            self._ledger.survey(revisions, written, now)

    def _save_in_time(self) -> None:
        if time.monotonic() >= self._save_at:
            self.save()


def _kind(found: TrackedConnection) -> ConnectionKind:
    protocol = protocol_of(found.number)
    ends = (found.family, found.client), (found.family, found.server)
    return ConnectionKind(*ends, protocol, 0 if protocol == OTHER else (found.port or 0))
