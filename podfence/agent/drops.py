"""Denied packets: one thread takes in their copies, and the thread that enforces names them.

Rule: nobody waits for this. Copies beyond a budget are counted and dropped. The thread that
enforces names a few attempts a turn, after its own work. When the kernel's log cannot be read,
packets have no names, and everything else goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from podfence.agent.eventseries import EventContent
from podfence.agent.leisure import IdleBudget
from podfence.agent.log import EventLog
from podfence.drops.attempt import Attempt, attempt_of
from podfence.drops.attribution import Attribution
from podfence.drops.events import DropEvents
from podfence.drops.ledger import Attributed, DropCounts, DropLedger
from podfence.drops.record import Cause, Drops, rfc3339
from podfence.errors import NftError
from podfence.kernel.nflog import LoggedPackets, LogListener

BUDGET = 2000
"""Copies that are looked at in a second."""
NAMED = 100
"""Attempts that are named in one turn of the thread that enforces, if there is time for as many."""
AGAIN = 30.0
"""Seconds until a log that is not to be had is tried again."""
DROPPED = "PacketsDenied"
"""The reason of Events on pods."""
AUDITED = "PacketsAudited"
"""The same, where nothing was denied, and would be if audited policies were enforced."""
_POLL = 0.5


class Watcher:
    """``group``: the log group. ``namespace_fd``: another network namespace than the process's.
    ``say`` is told what is to be an Event on a pod, ``denied`` why packets were denied."""

    def __init__(
        self,
        node: str,
        group: int,
        log: EventLog,
        namespace_fd: int | None = None,
        clock: Callable[[], float] = time.time,
        say: Callable[[EventContent], object] = bool,
        denied: Callable[[Sequence[Cause]], object] = len,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group = group
        self._log = log
        self._namespace_fd = namespace_fd
        self._clock = clock
        self._lock = threading.Lock()
        self._ledger = DropLedger(node, rfc3339)
        self._say, self._events = say, DropEvents()
        self._denied = denied
        self._second, self._left = 0, BUDGET
        self._leisure = IdleBudget(timer)  # of the thread that enforces alone

    def run(self, stopped: threading.Event) -> None:
        """Until it is to stop."""
        said = ""
        while not stopped.is_set():
            try:
                listener = LogListener(self._group, self._namespace_fd)
                try:
                    said = ""
                    while not stopped.is_set():
                        self.take(listener.wait(_POLL))
                finally:
                    listener.close()
            except NftError as error:
                if error.message != said:
                    self._log.warning("denied packets are not reported", message=error.message)
                said = error.message
                stopped.wait(AGAIN)

    def take(self, copies: LoggedPackets) -> None:
        """What came."""
        now = self._clock()
        if int(now) != self._second:
            self._second, self._left = int(now), BUDGET
        looked, beyond = copies.packets[: self._left], copies.packets[self._left :]
        self._left -= len(looked)
        read = [attempt_of(c.prefix, c.family, c.data) for c in looked]
        with self._lock:
            for attempt in read:
                if attempt is not None:
                    self._ledger.add(attempt, now)
            self._ledger.lose(copies.lost + len(beyond))

    def name(self, attribution: Attribution) -> None:
        """Name some of what came. For the thread that enforces: its index is not to change."""
        if not self._leisure.begin():
            return
        with self._lock:
            asked = self._ledger.questions(NAMED)
        if not asked:
            return
        now = self._clock()
        answers = []
        for each in asked:
            answers.append((each, _names(attribution, each)))
            if self._leisure.is_over:
                break
        self._leisure.end()
        with self._lock:
            for attempt, names in answers:
                self._ledger.answer(attempt, names, now)
        self._denied([names.cause for attempt, names in answers if not attempt.audit])
        for attempt, names in answers:
            denial = self._events.denial(attempt, names, now)
            if denial is not None:
                self._say(
                    EventContent(denial.pod, AUDITED if denial.audit else DROPPED, denial.note)
                )

    def drops(self, since: int = 0) -> Drops:
        """What has changed after a serial."""
        with self._lock:
            return self._ledger.drops(since)

    def counts(self) -> DropCounts:
        """For metrics."""
        with self._lock:
            return self._ledger.counts()


def _names(attribution: Attribution, attempt: Attempt) -> Attributed:
    source, destination = attribution.end(attempt.source), attribution.end(attempt.destination)
    return Attributed(source, destination, attribution.cause(attempt))
