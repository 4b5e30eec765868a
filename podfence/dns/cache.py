"""Domain names -> the addresses that pods were told, for as long as they hold.

Rule: only names that some rule means are known, and all of it is bounded. An address is *live*
until its time is over: new connections may go there. Afterwards it is *kept* for a while:
connections that exist may stay (CNP-19), and no new one begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush

from msgspec import Struct

from podfence.dns.message import AddressRecord
from podfence.policy.domains import At, patterns_of

LEAST, MOST = 10, 86400
"""Seconds that an address is live, whatever the answer says: who was told it needs the time to
connect, and nobody is believed for longer than a day."""
KEPT = 86400.0
"""Seconds that an address is kept afterwards."""
MOST_OF_NAME = 512
"""Addresses of one name, live and kept."""
MOST_ADDRESSES = 65536
"""Addresses of all names; those that end first give way."""


class CachedAddress(Struct, frozen=True):
    """An address of a name. ``until``: monotonic seconds to which it is live."""

    name: str
    at: At
    until: float


class NameState(Struct, frozen=True):
    """The addresses that a name has, and those that it had."""

    live: frozenset[At] = frozenset()
    kept: frozenset[At] = frozenset()


class Cache:
    """Times are monotonic seconds, and never go back."""

    def __init__(self) -> None:
        self._wanted: frozenset[str] = frozenset()
        self._names: dict[str, dict[At, float]] = {}
        self._ends: list[tuple[float, str, At]] = []
        """When something may have to be done, the next first; some are out of date."""
        self._changed: set[str] = set()
        self._count = 0
        self.evicted = 0
        """Addresses that gave way to others before their time."""

    def __len__(self) -> int:
        """How many addresses there are."""
        return self._count

    def want(self, patterns: frozenset[str]) -> None:
        """These names are meant by rules, and no others: those are forgotten."""
        self._wanted = patterns
        for name in [name for name in self._names if not self.is_wanted(name)]:
            self._count -= len(self._names.pop(name))
            self._changed.add(name)

    def is_wanted(self, name: str) -> bool:
        """Whether a rule means a name."""
        return not self._wanted.isdisjoint(patterns_of(name))

    def learn(self, name: str, told: Iterable[AddressRecord], now: float) -> None:
        """A pod was told what a name has. Nothing of a name that no rule means."""
        if self.is_wanted(name):
            ends = ((e.address, now + min(max(e.seconds, LEAST), MOST)) for e in told)
            self._learn(name, ends, now)

    def restore(self, known: Iterable[CachedAddress], now: float) -> None:
        """What an earlier life of the process knew; what cannot be true is left out."""
        for each in known:
            if now - KEPT < each.until <= now + MOST and self.is_wanted(each.name):
                self._learn(each.name, [(each.at, each.until)], now)
                self._changed.add(each.name)

    def known(self) -> Iterator[CachedAddress]:
        """All that is known, live or kept."""
        for name, addresses in self._names.items():
            for at, until in addresses.items():
                yield CachedAddress(name, at, until)

    def take(self, now: float) -> dict[str, NameState]:
        """The names whose live or kept addresses have changed since this was last asked, with what
        they have now."""
        self._expire(now)
        found = {name: self._state(name, now) for name in self._changed}
        self._changed = set()
        return found

    def next_end(self) -> float | None:
        """When ``take`` may have something to tell though nothing was learnt; None: never."""
        return self._ends[0][0] if self._ends else None

    def _state(self, name: str, now: float) -> NameState:
        addresses = self._names.get(name, {})
        live = frozenset(at for at, until in addresses.items() if until > now)
        return NameState(live, frozenset(addresses.keys() - live))

    def _expire(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            end, name, at = heappop(self._ends)
            until = self._names.get(name, {}).get(at)
            if until is None or end not in (until, until + KEPT):
                continue  # told again since then
            self._changed.add(name)
            if end == until:
                heappush(self._ends, (until + KEPT, name, at))
            else:
                self._drop(name, at)

    def _learn(self, name: str, ends: Iterable[tuple[At, float]], now: float) -> None:
        addresses = self._names.setdefault(name, {})
        for at, until in ends:
            before = addresses.get(at)
            if before is not None and before >= until:
                continue
            if before is None or before <= now:
                self._changed.add(name)
            self._count += before is None
            addresses[at] = until
            heappush(self._ends, (until, name, at))
        beyond = len(addresses) - MOST_OF_NAME
        for at in sorted(addresses, key=addresses.__getitem__)[: max(0, beyond)]:
            self._evict(name, at)
        if not addresses:
            self._names.pop(name, None)
        self._bound()

    def _bound(self) -> None:
        if self._count > MOST_ADDRESSES:
            ends = sorted((each.until, each.name, each.at) for each in self.known())
            for _, name, at in ends[: MOST_ADDRESSES // 8]:  # many at once, so that it is seldom
                self._evict(name, at)
        if len(self._ends) > 4 * self._count + 1024:  # names that are told again and again
            self._ends = [(each.until, each.name, each.at) for each in self.known()]
            heapify(self._ends)

    def _evict(self, name: str, at: At) -> None:
        self.evicted += 1
        self._changed.add(name)
        self._drop(name, at)

    def _drop(self, name: str, at: At) -> None:
        del self._names[name][at]
        self._count -= 1
        if not self._names[name]:
            del self._names[name]
