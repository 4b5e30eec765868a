"""Denied attempts, folded: one entry for all packets that are alike, as many as there is room for.

Rule: memory is bounded whatever comes: the entry that has seen no packet for longest gives way, and
is counted. An entry is told once it has names. One thread at a time uses it; time is passed in.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from podfence.drops.attempt import Attempt
from podfence.drops.record import Cause, Drop, Drops, FlowEnd
from podfence.nft.lowering.deny import AUDIT

MOST = 4096
"""Entries."""
HOLDS = 10.0
"""Seconds after which an entry with new packets is attributed again."""


class Attributed(Struct, frozen=True):
    """What attribution says of an attempt."""

    source: FlowEnd
    destination: FlowEnd
    cause: Cause


class DropCounts(Struct, frozen=True):
    """``seen``: packets by direction ("" where no policy is asked) and reason; AUDIT: they passed,
    and would have been dropped. ``lost``,
    ``forgotten``: as in ``Drops``. ``kept``: entries."""

    seen: Mapping[tuple[str, str], int] = {}
    lost: int = 0
    forgotten: int = 0
    kept: int = 0


class _LedgerEntry:
    __slots__ = ("count", "first", "last", "named", "names", "serial", "uncounted")

    def __init__(self, now: float) -> None:
        self.first = now
        self.last = now
        self.count = 0
        self.serial = 0
        self.names: Attributed | None = None
        self.named = float("-inf")
        self.uncounted = 0
        """Packets that are in no count by reason yet."""


class DropLedger:
    """``date``: seconds since 1970 as text. ``most``: entries."""

    def __init__(self, node: str, date: Callable[[float], str], most: int = MOST) -> None:
        self._node = node
        self._date = date
        self._most = most
        self._entries: OrderedDict[Attempt, _LedgerEntry] = OrderedDict()
        self._asked: dict[Attempt, None] = {}
        self._ends: dict[FlowEnd, FlowEnd] = {}
        self._causes: dict[Cause, Cause] = {}
        """One for all that are equal: they are by far fewer than attempts."""
        self._serial = 0
        self._total = 0
        self._seen: Counter[tuple[str, str]] = Counter()
        self._lost = 0
        self._forgotten = 0

    def add(self, attempt: Attempt, now: float) -> None:
        """A packet."""
        self._total += 1
        entry = self._entries.get(attempt)
        if entry is None:
            if len(self._entries) >= self._most:
                gone, _ = self._entries.popitem(last=False)
                self._asked.pop(gone, None)
                self._forgotten += 1
            entry = self._entries[attempt] = _LedgerEntry(now)
        else:
            self._entries.move_to_end(attempt)
        entry.count += 1
        entry.uncounted += 1
        entry.last = now
        self._serial += 1
        entry.serial = self._serial
        if now - entry.named > HOLDS or now < entry.named:  # clocks are set back, too
            self._asked[attempt] = None
        else:
            self._count(attempt, entry)

    def lose(self, number: int) -> None:
        """Packets that nobody could look at."""
        self._lost += number

    def questions(self, most: int) -> list[Attempt]:
        """Attempts that want names, those that have waited longest."""
        return [attempt for attempt, _ in zip(self._asked, range(most), strict=False)]

    def answer(self, attempt: Attempt, names: Attributed, now: float) -> None:
        """What they are; nothing where the entry had to give way."""
        self._asked.pop(attempt, None)
        entry = self._entries.get(attempt)
        if entry is not None:
            entry.names, entry.named = self._shared(names), now
            self._serial += 1
            entry.serial = self._serial
            self._count(attempt, entry)

    def drops(self, since: int = 0) -> Drops:
        """All that has changed after a serial, the oldest first."""
        found = tuple(self._told(since))
        seen = self._total
        return Drops(self._node, self._serial, seen, self._lost, self._forgotten, found)

    def counts(self) -> DropCounts:
        """For metrics."""
        return DropCounts(dict(self._seen), self._lost, self._forgotten, len(self._entries))

    def _shared(self, names: Attributed) -> Attributed:
        for known in (self._ends, self._causes):
            if len(known) > self._most:
                known.clear()  # entries keep theirs
        return Attributed(
            self._ends.setdefault(names.source, names.source),
            self._ends.setdefault(names.destination, names.destination),
            self._causes.setdefault(names.cause, names.cause),
        )

    def _count(self, attempt: Attempt, entry: _LedgerEntry) -> None:
        if entry.names is not None:
            reason = AUDIT if attempt.audit else entry.names.cause.reason
            self._seen[_direction(attempt), reason] += entry.uncounted
            entry.uncounted = 0

    def _told(self, since: int) -> Iterator[Drop]:
        for attempt, entry in self._entries.items():
            if entry.names is not None and entry.serial > since:
                yield Drop(
                    self._node,
                    entry.serial,
                    self._date(entry.first),
                    self._date(entry.last),
                    entry.count,
                    _direction(attempt),
                    entry.names.source,
                    entry.names.destination,
                    attempt.shown,
                    entry.names.cause,
                    attempt.port,
                    attempt.reply,
                    attempt.audit,
                )


def _direction(attempt: Attempt) -> str:
    return attempt.direction.value if attempt.direction else ""
