"""Kinds of a cluster, followed: a thread and a connection for each, and one queue of changes.

Rule: ``follow`` decides what to do, and this module does it. A thread only waits, reads and
decodes. A reader of the queue, or a listener, sees the changes of a kind in the order in which the
server made them.
"""

from __future__ import annotations

import os
import queue
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from msgspec import Struct

from podfence.errors import UNREADABLE, ClusterError
from podfence.kube.access import Access
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.follow import (
    ALWAYS,
    Failure,
    Follow,
    KindState,
    Listing,
    ObjectChange,
    Pausing,
    ReadFunction,
    Watching,
)
from podfence.kube.listing import Prefetch, list_raw, read_items
from podfence.kube.parts import KindParts
from podfence.kube.resource import Resource
from podfence.kube.snapshot import FORBIDDEN, rbac_rule
from podfence.kube.substitute import Substitute
from podfence.kube.watchlines import Bookmark, read_line

T = TypeVar("T")

SILENCE: Final = 90.0
"""Seconds without a byte after which a watch is a dead connection: bookmarks come each minute."""
_SHORTEST_WATCH: Final = 300
_LONGEST_WATCH: Final = 600
"""Seconds after which the server is asked to end a watch: not all clients at one moment."""
_TOO_LARGE_TEXT: Final = "Too large resource version"
_UNAUTHORIZED: Final = 401
_NOT_FOUND: Final = 404
_TIMED_OUT: Final = 504
_WAITING: Final = 256
"""Batches that may wait for their reader before the threads wait for it."""


class Batch(Struct, Generic[T], frozen=True):
    """Changes of one kind that came together, in order, and the state of the kind after them."""

    changes: tuple[ObjectChange[T], ...]
    state: KindState
    at: float = 0.0
    """When the last of it was read, in seconds of the monotonic clock."""
    version: str = ""
    """As ``Follow.version``, after it."""


class WatchStatus(Struct, frozen=True):
    """The state of a kind now. ``heard``: when the server last said anything about it, in seconds
    of the monotonic clock; None: never. ``relists``: lists that were started again, by reason."""

    state: KindState
    heard: float | None
    relists: Mapping[str, int]


class Watch(Generic[T]):
    """Follows kinds of one cluster until it is closed.

    ``read``: what is to be known of an object, from its bytes: they are decoded once.
    ``wanted``: of each kind its resources, the best version first; of a kind that is asked for in
    parts, each part. An object is gone when no part holds it; of parts that overlap, that may be
    said twice. ``later``: parts, by kind and field selector, that nobody follows before ``begin``.
    ``streamed``: as ``Follow``. ``instead``: who is asked first for a part.
    ``chance`` gives random numbers from 0 to 1.
    """

    def __init__(
        self,
        access: Access,
        wanted: Iterable[Sequence[Resource]],
        read: ReadFunction[T],
        *,
        later: Collection[tuple[str, str]] = (),
        environment: Mapping[str, str] = os.environ,
        streamed: bool = False,
        silence: float = SILENCE,
        chance: Callable[[], float] = random.random,
        instead: Mapping[tuple[str, str], Substitute[T]] = MappingProxyType({}),
    ) -> None:
        self._batches: queue.Queue[tuple[Follow[T], Batch[T]] | Exception] = queue.Queue(_WAITING)
        self._tell: Callable[[Batch[T]], object] | None = None
        self._one_at_a_time = threading.Lock()
        self._stopped = threading.Event()
        self._loops = [
            _Loop(
                Follow[T](resources, streamed=streamed),
                read,
                Client(access, environment, tries=1, silence=silence),
                self._put,
                self._stopped,
                chance,
                instead.get((resources[0].kind, resources[0].only)),
            )
            for resources in wanted
        ]
        self._later = {*later}
        self._parts: dict[str, KindParts[T]] = {
            kind: KindParts(
                [loop.follow for loop in loops if not loop.is_substituted],
                [loop.follow for loop in loops if loop.is_substituted],
            )
            for kind in {loop.follow.kind for loop in self._loops}
            if len(loops := [loop for loop in self._loops if loop.follow.kind == kind]) > 1
        }

    def __enter__(self) -> Watch[T]:
        # Settled first: a thread that runs already may begin what was left for later.
        for loop in [loop for loop in self._loops if loop.part not in self._later]:
            loop.thread.start()
        return self

    def tell(self, who: Callable[[Batch[T]], object]) -> None:
        """Have ``who`` told of each batch at once, by the thread that read it, one batch at a time;
        ``next`` then gives none. It must be called before anything is followed. It saves an event a
        change of threads."""
        self._tell = who

    def begin(self, kind: str, only: str) -> None:
        """Follow a part from now on that was left for later. Call it from the thread that
        reads batches."""
        if (kind, only) in self._later:
            self._later.remove((kind, only))
            for loop in self._loops:
                if loop.part == (kind, only):
                    loop.thread.start()

    def __exit__(self, *_: object) -> None:
        """End all threads, also those that wait for the server or for their reader."""
        self._stopped.set()
        for loop in self._loops:
            loop.interrupt()
        for loop in self._loops:
            while loop.thread.is_alive():
                with suppress(queue.Empty):
                    self._batches.get(timeout=0.02)
                loop.interrupt()

    def next(self, timeout: float | None = None) -> Batch[T] | None:
        """The next batch; None when none came for ``timeout`` seconds.

        Raises what ended a thread that should not have ended.
        """
        try:
            found = self._batches.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(found, Exception):
            raise found
        return self._counting(*found)

    def standings(self) -> tuple[WatchStatus, ...]:
        """How each kind stands, or each part of one, but for those left for later; for any
        thread."""
        later = {*self._later}
        return tuple(loop.standing for loop in self._loops if loop.part not in later)

    def _put(self, found: tuple[Follow[T], Batch[T]] | Exception) -> None:
        if self._tell is None or isinstance(found, Exception):
            self._batches.put(found)
            return
        with self._one_at_a_time:
            try:
                self._tell(self._counting(*found))
            except ClusterError as error:
                # Not an error of the server: after one of those, the watch would continue without
                # these changes.
                raise RuntimeError(f"changes were not taken: {error.message}") from error

    def _counting(self, follow: Follow[T], batch: Batch[T]) -> Batch[T]:
        """A batch without what does not count, of a kind that is followed in parts."""
        parts = self._parts.get(follow.kind)
        if parts is None:
            return batch
        counting = parts.counting(follow, batch.changes)
        return Batch(counting, batch.state, batch.at, batch.version)


class _Loop(Generic[T]):
    """One kind: does what its ``Follow`` says."""

    def __init__(
        self,
        follow: Follow[T],
        read: ReadFunction[T],
        client: Client,
        put: Callable[[tuple[Follow[T], Batch[T]] | Exception], None],
        stopped: threading.Event,
        chance: Callable[[], float],
        instead: Substitute[T] | None = None,
    ) -> None:
        self.client = client
        self._instead = instead
        self.thread = threading.Thread(target=self._run, name=f"watch {follow.kind}", daemon=True)
        self.follow = follow
        self._read = read
        self._put = put
        self._stopped = stopped
        self._chance = chance
        self._told: tuple[KindState, str] | None = None
        self._heard: float | None = None

    @property
    def part(self) -> tuple[str, str]:
        """The kind, and the field selector of the part of it that is meant."""
        return self.follow.state.kind, self.follow.state.only

    @property
    def is_substituted(self) -> bool:
        """Whether somebody else is asked first."""
        return self._instead is not None

    @property
    def standing(self) -> WatchStatus:
        """How the kind stands now."""
        return WatchStatus(self.follow.state, self._heard, dict(self.follow.relists))

    def interrupt(self) -> None:
        """End what the thread waits for."""
        self.client.interrupt()
        if self._instead is not None:
            self._instead.interrupt()

    def _hear(self) -> None:
        self._heard = time.monotonic()

    def _hear_of(self, changes: Sequence[ObjectChange[T]], heard: float) -> None:
        self._heard = heard
        self._tell(changes)

    def _run(self) -> None:
        try:
            self._follow_on()
        except Exception as error:  # noqa: BLE001 - the reader raises it
            self._put(error)

    def _follow_on(self) -> None:
        with self.client:
            while not self._stopped.is_set():
                action = self.follow.next(self._chance())
                if isinstance(action, Pausing):
                    self._stopped.wait(action.seconds)
                    continue
                try:
                    self._do(action)
                except ServerRefusal as refusal:
                    self._fail(_failure_of_refusal(refusal, action.resource))
                except ClusterError as error:
                    self._fail(Failure(0, error.message))

    def _do(self, action: Listing | Watching) -> None:
        if self._instead is not None and self._instead.is_asked():
            self.client.close()
            self._instead.run(action, self.follow, self._hear_of)
            self._tell([])
        elif isinstance(action, Listing):
            self._list(action)
        else:
            self._watch(action)

    def _fail(self, failure: Failure) -> None:
        self.client.close()
        if failure.status == _NOT_FOUND and self.follow.kind not in ALWAYS:
            if not self._is_api_server():
                failure = Failure(0, f"{failure.message}; the same, or nothing, of namespaces")
            self.client.close()
        self.follow.failed(failure)
        self._tell(self.follow.given_up())

    def _is_api_server(self) -> bool:
        """Whether who does not know a kind knows one that is always there: something that stands
        before the API server may not know any."""
        try:
            self.client.get("/api/v1/namespaces", {"limit": "1"})
        except ServerRefusal as refusal:
            return refusal.status in (_UNAUTHORIZED, FORBIDDEN)
        except ClusterError:
            return False
        return True

    def _tell(self, changes: Sequence[ObjectChange[T]]) -> None:
        state, version = self.follow.state, self.follow.version
        if (changes or (state, version) != self._told) and not self._stopped.is_set():
            self._told = state, version
            self._put((self.follow, Batch(tuple(changes), state, time.monotonic(), version)))

    def _list(self, action: Listing) -> None:
        resource = action.resource
        # One page ahead: a page as bytes is some megabytes, and reading it takes less time than the
        # server takes to make one. The connection is this thread's again, whatever happens.
        with Prefetch(list_raw(self.client, resource), 1, self.client.interrupt) as parts:
            for part in parts:
                self._hear()
                if self._stopped.is_set():
                    return
                items = read_items(resource, part.items, self._read)
                changes = self.follow.listed(
                    items, first=part.first, last=part.last, version=part.version
                )
                self._tell(changes)

    def _watch(self, action: Watching) -> None:
        longest = _LONGEST_WATCH if self._instead is None else self._instead.longest
        shortest = _SHORTEST_WATCH * longest // _LONGEST_WATCH
        seconds = shortest + self._chance() * (longest - shortest)
        query = action.resource.query(
            watch="true", allowWatchBookmarks="true", timeoutSeconds=str(round(seconds))
        )
        if action.initial:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        else:
            query["resourceVersion"] = action.version
        anything = False
        with closing(self.client.lines(action.resource.path(), query)) as stream:
            for lines in stream:
                self._hear()
                if not lines:
                    self.follow.opened(action)
                    self._tell([])
                    continue
                if self._stopped.is_set():
                    return
                changes: list[ObjectChange[T]] = []
                for line in lines:
                    failure = self._take(action.resource, line, changes)
                    if failure is not None:
                        self._tell(changes)
                        self._fail(failure)
                        return
                anything = True
                self._tell(changes)
        self.follow.ended(anything=anything)

    def _take(
        self, resource: Resource, line: bytes, changes: list[ObjectChange[T]]
    ) -> Failure | None:
        """One line of a watch; a failure where the server says that it cannot go on."""
        told = read_line(line)
        try:
            if isinstance(told, Failure):
                return told
            if isinstance(told, Bookmark):
                changes += self.follow.bookmark(told.version, ends_initial=told.ends_initial)
            elif told is not None:
                changes += self.follow.event(told.type, self._read(resource, told.object))
        except ClusterError as error:
            return Failure(0, error.message)
        except UNREADABLE:
            told = None
        if told is None:
            return Failure(0, f"an event of {self.follow.kind} is not JSON, or of another form")
        return None


def _failure_of_refusal(refusal: ServerRefusal, resource: Resource) -> Failure:
    text = refusal.said
    if refusal.status == FORBIDDEN:
        text = f"{text}; {rbac_rule(resource)}"
    too_new = refusal.status == _TIMED_OUT and _TOO_LARGE_TEXT in refusal.said
    return Failure(refusal.status, text, refusal.pause, too_new)
