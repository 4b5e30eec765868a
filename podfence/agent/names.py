"""Domain names: a thread reads the DNS answers that pods get, and tells which addresses they open.

Rule: nobody waits for this. The thread reads while some policy here has domain names. An answer
that cannot be read opens nothing. The thread that enforces is told of a name as of any object.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from math import inf

from podfence.agent.conditions import Condition, ConditionKind, Conditions
from podfence.agent.inbox import HeardEvent
from podfence.agent.keptfiles import NameFile
from podfence.agent.log import EventLog
from podfence.agent.status import NameCounts
from podfence.dns.cache import Cache, CachedAddress, NameState
from podfence.dns.questions import Interfaces
from podfence.dns.reader import CopiedPacket, DnsReader
from podfence.dns.table import COPIED, TABLE, names_table
from podfence.errors import NftError
from podfence.kernel.nflog import LoggedPackets, LogListener
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.model.facts import Event, Gone, NameFacts, Put
from podfence.policy.domains import At

AGAIN = 30.0
"""Seconds until what cannot be had is tried again."""
LOOK = 5.0
"""Seconds until the table is looked at again: somebody may have deleted it."""
SAVED = 1.0
"""Seconds between two writings of the file at the least."""
_SHARE = 20
"""How many times as long as the last writing took is waited for the next: many names take long, and
who fills them must not have a processor write them."""
_POLL = 0.5


class Names:
    """``tell`` is called with names (``Inbox.tell``). ``resolvers`` gives those whose answers are
    believed now. ``group`` is the log group of copies. ``path`` is the file for restarts."""

    def __init__(
        self,
        tell: Callable[[Iterable[HeardEvent], float], None],
        resolvers: Callable[[], frozenset[At]],
        group: int,
        file: NameFile,
        log: EventLog,
        namespace_fd: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell, self._resolvers = tell, resolvers
        self._group, self._namespace_fd = group, namespace_fd
        self._log, self._clock = log, clock
        self._wanted: frozenset[str] | None = None
        self._taken: frozenset[str] = frozenset()
        self._cache = Cache()
        self._trusted: frozenset[At] = frozenset()
        self._reader = DnsReader(self._cache, lambda at: at in self._trusted)
        self._lost = 0
        self._file, self._saved, self._is_dirty = file, -inf, False
        self._rest = SAVED
        self._restored: list[CachedAddress] | None = self._file.load()
        """What was known before a restart, until it is known which names are meant."""
        self._held = Conditions(log)
        self.conditions: tuple[Condition, ...] = ()

    def counts(self) -> NameCounts:
        """For metrics."""
        cache = self._cache
        return NameCounts(self._reader.counts, self._lost, len(cache), cache.evicted)

    def begin(self) -> None:
        """Tell what was known before a restart, so that the first rules have it. It is not yet
        known which names policies mean; a name that none means opens nothing."""
        now, restored = self._clock(), self._restored or []
        known = Cache()
        known.want(frozenset(each.name for each in restored))
        known.restore(restored, now)
        self._publish(known.take(now), now)

    def want(self, patterns: frozenset[str]) -> None:
        """The names that policies here mean, once all policies are known. For any thread."""
        self._wanted = patterns

    def run(self, stopped: threading.Event) -> None:
        """Until it is to stop."""
        while not stopped.is_set():
            try:
                self._follow(stopped)
                self._end()
            except NftError as error:
                self._hold(error.message)
                stopped.wait(AGAIN)

    # -- one life of the table

    def _follow(self, stopped: threading.Event) -> None:
        """Read answers for as long as somebody wants them. Raises NftError."""
        self._note()
        if not self._taken:
            if self._restored is None:
                delete(self._namespace_fd)
                self._trusted = frozenset()
                self._hold("")
            while not (stopped.wait(_POLL) or self._is_news()):
                pass
            return
        listener = LogListener(self._group, self._namespace_fd, COPIED, at_once=True)
        try:
            self._renew()
            looked = self._clock()
            while self._taken and not stopped.is_set():
                self.take(listener.wait(self._pause()))
                if self._resolvers() != self._trusted or self._clock() - looked > LOOK:
                    self._renew()
                    looked = self._clock()
        finally:
            listener.close()

    def take(self, copies: LoggedPackets) -> None:
        """What came, and what time has done meanwhile."""
        self._note()
        now = self._clock()
        self._lost += copies.lost
        for copy in copies.packets:
            way = Interfaces(copy.comes, copy.goes, copy.port_in, copy.port_out)
            self._reader.take(CopiedPacket(copy.family, copy.data, way), now)
        self._publish(self._cache.take(now), now)
        self._save(now)

    def _pause(self) -> float:
        end = self._cache.next_end()
        return _POLL if end is None else min(_POLL, max(0.001, end - self._clock()))

    def _note(self) -> None:
        """Take over which names are wanted; the first time, what was known before a restart."""
        wanted = self._wanted
        if wanted is None or not self._is_news():
            return
        now = self._clock()
        self._cache.want(wanted)
        self._taken = wanted
        restored, self._restored = self._restored or [], None
        self._cache.restore(restored, now)
        gone = {each.name: NameState() for each in restored if not self._cache.is_wanted(each.name)}
        self._publish({**gone, **self._cache.take(now)}, now)

    def _is_news(self) -> bool:
        """Whether it is known which names are wanted, and that is not taken over yet."""
        wanted = self._wanted
        return wanted is not None and (wanted != self._taken or self._restored is not None)

    def _publish(self, states: Mapping[str, NameState], now: float) -> None:
        if states:
            self._is_dirty = True
            self._tell([(_event(name, state), "") for name, state in states.items()], now)

    def _save(self, now: float) -> None:
        """Now and then, also because names that are told again hold longer."""
        if self._restored is not None or now - self._saved < (
            self._rest if self._is_dirty else AGAIN
        ):
            return
        self._saved, self._is_dirty = now, False
        try:
            self._file.save(self._cache.known())
        except OSError as error:
            self._log.warning("names are not kept over a restart", message=error.strerror)
        self._rest = max(SAVED, _SHARE * (self._clock() - now))

    # -- the table

    def _renew(self) -> None:
        """Write the table where it is not as it should be. Raises NftError."""
        trusted = self._resolvers()
        wanted = names_table(self._group, trusted)
        opened = NftSocket(self._namespace_fd)
        try:
            table = NetlinkNft(opened, TABLE)
            if trusted != self._trusted or not _is_there(table, wanted):
                table.replace(wanted)
        finally:
            opened.close()
        self._trusted = trusted
        self._hold("" if trusted else "no resolver is known; name one with --resolver")

    def _end(self) -> None:
        """Nothing is read any more for now."""
        self._saved, self._is_dirty = -inf, True
        self._save(self._clock())

    def _hold(self, message: str) -> None:
        if message:
            text = f"{message}; names get no new addresses"
            self._held.hold(ConditionKind.NAMES_UNREAD, "", text, self._clock())
        else:
            self._held.end(ConditionKind.NAMES_UNREAD, "")
        self.conditions = self._held.now()


def delete(namespace_fd: int | None = None) -> bool:
    """Delete the table; whether there was one. Raises NftError."""
    opened = NftSocket(namespace_fd)
    try:
        table = NetlinkNft(opened, TABLE)
        return table.exists() and table.delete()
    finally:
        opened.close()


def _is_there(table: NetlinkNft, wanted: object) -> bool:
    try:
        return table.list() == wanted
    except NftError:
        return False


def _event(name: str, state: NameState) -> Event:
    if state.live or state.kept:
        return Put(NameFacts(name, state.live, state.kept))
    return Gone("DomainName", "", name)
