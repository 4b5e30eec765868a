"""Which rules are used: a thread looks at the connections that the kernel tracks, and the thread
that enforces finds the rules.

Rule: no packet meets anything for it, and nobody waits. Looking takes one hundredth of a processor
at the most: who has many connections has fewer looks. The thread that enforces asks about a few
kinds of connections a turn, when its own work is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Protocol

import msgspec

from podfence.agent.log import Log
from podfence.agent.wholefile import read_whole, write_whole
from podfence.drops.headers import protocol_of
from podfence.drops.record import RULE, Cause, rfc3339
from podfence.errors import NftError
from podfence.kernel.ctlook import Look, Tracked
from podfence.model.meta import ObjectRef, Revision
from podfence.sets.ports import OTHER
from podfence.usage.credit import Credit, Kind
from podfence.usage.ledger import Kept, Ledger
from podfence.usage.record import Rules

PERIOD = 10.0
"""Seconds between two looks at the least. The kernel keeps a connection that was reset for as long,
and others for longer, so each is seen."""
SHARE = 100
"""How many times as long as a look took is waited for the next."""
AGAIN = 60.0
"""Seconds until connections that cannot be listed are tried again."""
ASKED = 100
"""Kinds of connections that are asked about in one turn of the thread that enforces."""
SURVEY = 30.0
"""Seconds until the rules that there are are gathered again; after a change of policies at once."""
SAVED = 60.0
"""Seconds between two writings of the file."""
_LARGEST = 1 << 26
"""Bytes of the file: 20,000 policies with ten rules each are less."""


class Connections(Protocol):
    """What ``ConnectionTable`` does; or a stand-in."""

    def look(self) -> Look:
        """Raises NftError."""


class RuleCounts:
    """``path``: the file for restarts. ``clock``: seconds since 1970."""

    def __init__(
        self,
        node: str,
        connections: Connections,
        path: Path,
        log: Log,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connections = connections
        self._path, self._log, self._clock = path, log, clock
        self._lock = threading.Lock()
        self._ledger = Ledger(node, rfc3339, clock(), _load(path))
        self._saved = -inf
        self._surveyed, self._is_stale = -inf, True

    def run(self, stopped: threading.Event) -> None:
        """Until it is to stop."""
        said = ""
        while not stopped.is_set():
            began = time.thread_time()
            try:
                self.take(self._connections.look())
                said, pause = "", max(PERIOD, SHARE * (time.thread_time() - began))
            except NftError as error:
                if error.message != said:
                    self._log.warning("rules are not counted", message=error.message)
                said, pause = error.message, AGAIN
            self._save()
            stopped.wait(pause)
        self._saved = -inf
        self._save()

    def take(self, look: Look) -> None:
        """What a look has found."""
        kinds = [(_kind(each), number) for each, number in look.new.items()]
        with self._lock:
            self._ledger.looked(kinds, self._clock(), cut=look.cut)

    def changed(self) -> None:
        """Policies are others now. For the thread that enforces."""
        self._is_stale = True

    def name(self, credit: Credit, revisions: Mapping[ObjectRef, Revision]) -> None:
        """Find the rules of some connections. For the thread that enforces: its index is not to
        change meanwhile."""
        now = self._clock()
        if self._is_stale or not 0 <= now - self._surveyed < SURVEY:
            self._is_stale, self._surveyed = False, now
            written = credit.written()
            with self._lock:
                self._ledger.survey(revisions, written, now)
        with self._lock:
            asked = self._ledger.questions(ASKED)
        answers = [(kind, credit.rules(kind)) for kind in asked]
        with self._lock:
            for kind, rules in answers:
                self._ledger.answer(kind, rules, now)

    def denied(self, causes: Iterable[Cause]) -> None:
        """Packets were denied, by rules or otherwise."""
        found = [c.policies[0] for c in causes if c.reason == RULE and c.policies]
        now = self._clock()
        with self._lock:
            for place in found:
                namespace, _, name = place.policy.rpartition("/")
                self._ledger.denied((ObjectRef(place.kind, namespace, name), place.path), now)

    def rules(self, namespace: str = "") -> Rules:
        """What is known now; of one namespace, where one is given. For any thread."""
        with self._lock:
            return self._ledger.rules(namespace)

    def _save(self) -> None:
        now = time.monotonic()
        if now - self._saved < SAVED:
            return
        self._saved = now
        with self._lock:
            data = msgspec.json.encode(self._ledger.kept())
        try:
            write_whole(self._path, data)
        except OSError as error:
            self._log.warning("uses of rules cannot be saved", message=error.strerror or "")


def _kind(found: Tracked) -> Kind:
    protocol = protocol_of(found.number)
    ends = (found.family, found.client), (found.family, found.server)
    return Kind(*ends, protocol, 0 if protocol == OTHER else (found.port or 0))


def _load(path: Path) -> Kept | None:
    """What was known; None where there is no such file, or one that cannot be used."""
    try:
        data = read_whole(path, _LARGEST)
        return None if data is None else msgspec.json.decode(data, type=Kept)
    except (OSError, ValueError):  # msgspec's errors are ValueErrors
        return None
