"""What flow records come to: who began a connection to whom, how often, and when.

Rule: records that say the same are one value as soon as they are read, so that memory grows with
what is different and not with what is read. All text comes from packets and logs and is hostile;
all output escapes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from msgspec import Struct, field

MAX_FLOWS: Final = 100_000
"""Different flows that are kept at most; a cluster of 5,000 workloads has fewer."""
MAX_OUTSIDE: Final = 10_000
"""Different addresses outside that are told apart; more of them are one end without an address."""
MAX_UNREAD: Final = 5
"""Positions of records that cannot be read, told at most."""


class RecordedVerdict(Enum):
    """What became of a flow where it was recorded."""

    ALLOWED = "allowed"
    DENIED = "denied"


class EndKind(Enum):
    """What a record says that an end is."""

    UNTOLD = ""
    """Nothing: its name or its address says it."""
    OUTSIDE = "outside"
    """An address outside the cluster."""
    OWN_NODE = "own-node"
    """The node that runs the pod at the other end: no policy keeps it out (NP-52)."""
    NODE = "node"
    """A node, or a pod on its network."""
    API_SERVER = "api-server"


class RecordedEnd(Struct, frozen=True):
    """One end as a record names it. ``pod``: its name, or one that ends in ``*`` and stands for all
    that begin so. ``word``: a name as podfence takes it on the command line."""

    namespace: str = ""
    pod: str = ""
    workload: str = ""
    address: str = ""
    sort: EndKind = EndKind.UNTOLD
    word: str = ""

    def __str__(self) -> str:
        if self.word:
            return self.word
        if self.pod or self.workload:
            return f"{self.namespace}/{self.pod or self.workload}"
        return self.address or self.sort.value or "an end without a name"


class RecordedFlow(Struct, frozen=True):
    """Records that say the same. ``protocol``: TCP, UDP, SCTP, or ``sets.ports.OTHER``, whose port
    is 0. ``first``, ``last``: as the records write times, or RFC 3339; "" where none is told."""

    source: RecordedEnd
    destination: RecordedEnd
    protocol: str
    port: int
    verdict: RecordedVerdict
    count: int
    first: str
    last: str


class SkipReason(Enum):
    """Why a record is no evidence."""

    REPLY = "replies"
    DIRECTION = "that do not tell which end connected"
    UNANSWERED = "that nobody answered"
    VERDICT = "with a verdict that is none"
    PROTOCOL = "of no protocol that policies know"
    EMPTY = "without two ends"
    TOO_MANY = f"beyond {MAX_FLOWS:,} different flows"


class UnreadRecord(Struct, frozen=True):
    """A record that cannot be read: the line, from 1, and what is wrong."""

    file: str
    line: int
    message: str


_Key = tuple[RecordedEnd, RecordedEnd, str, int, RecordedVerdict]


class FlowTally(Struct):
    """How often and when. ``sent``, ``received``: as seen at the source and at the destination,
    which both tell of one flow; ``once``: of records that stand alone."""

    sent: int = 0
    received: int = 0
    once: int = 0
    first: str = ""
    last: str = ""

    @property
    def count(self) -> int:
        """Flows, each once."""
        return max(self.sent, self.received) + self.once

    def note(self, time: str) -> None:
        """A time at which it was seen."""
        if time:
            if not self.first or time < self.first:
                self.first = time
            if time > self.last:
                self.last = time


class FlowRecords(Struct):
    """Everything that was read so far. ``records``: all of them; ``left``: those that are no
    evidence, by reason; ``unread``: how many could not be read; ``unread_at``: the first of
    these."""

    records: int = 0
    left: Counter[SkipReason] = field(default_factory=Counter)
    unread: int = 0
    unread_at: list[UnreadRecord] = field(default_factory=list)
    tallies: dict[_Key, FlowTally] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)

    def tally(
        self,
        source: RecordedEnd,
        destination: RecordedEnd,
        protocol: str,
        port: int,
        verdict: RecordedVerdict,
    ) -> FlowTally | None:
        """Where a flow is counted; None if there are too many different ones."""
        key = self._bounded(source), self._bounded(destination), protocol, port, verdict
        found = self.tallies.get(key)
        if found is None and len(self.tallies) < MAX_FLOWS:
            found = self.tallies[key] = FlowTally()
        return found

    def _bounded(self, end: RecordedEnd) -> RecordedEnd:
        if end.sort is not EndKind.OUTSIDE or not end.address or end.address in self.outside:
            return end
        if len(self.outside) >= MAX_OUTSIDE:
            return RecordedEnd(sort=EndKind.OUTSIDE)
        self.outside.add(end.address)
        return end

    def add(
        self,
        ends: tuple[RecordedEnd, RecordedEnd],
        protocol: str,
        port: int,
        verdict: RecordedVerdict = RecordedVerdict.ALLOWED,
        *,
        times: tuple[str, ...] = (),
        count: int = 1,
        at: str = "",
    ) -> None:
        """Count a record. ``at``: ``sent`` or ``received`` where the other end tells it, too."""
        tally = self.tally(*ends, protocol, port, verdict)
        if tally is None:
            self.left[SkipReason.TOO_MANY] += 1
            return
        if at == "sent":
            tally.sent += count
        elif at == "received":
            tally.received += count
        else:
            tally.once += count
        for time in times:
            tally.note(time)

    def fault(self, file: str, line: int, message: str) -> None:
        """A record cannot be read."""
        self.unread += 1
        if len(self.unread_at) < MAX_UNREAD:
            self.unread_at.append(UnreadRecord(file, line, message))

    def flows(self) -> Iterator[RecordedFlow]:
        """What was seen, in the order in which it was first read."""
        for (source, to, protocol, port, verdict), tally in self.tallies.items():
            yield RecordedFlow(
                source, to, protocol, port, verdict, tally.count, tally.first, tally.last
            )


def rfc3339(value: object) -> str:
    """A time of a record (``1732000000``, ``"1732000000"`` or RFC 3339) in UTC, so that times can
    be compared; "" for what is none."""
    if isinstance(value, str) and not value.isdecimal():
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    try:
        return datetime.fromtimestamp(int(value), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""
