"""Streams to agents: one thread serves all of them.

Rule: no data is sent before the API server has authorised the client. A frame is made and
compressed once, however many agents there are. The cost of an agent is its offset in the common
stream, and its TLS.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Final

from msgspec import Struct

from podfence.agent.listening import Listen
from podfence.agent.log import EventLog
from podfence.agent.reviews import ResourceAttributes, ReviewOutcome
from podfence.errors import ClusterError, HostError
from podfence.kube.follow import ObjectChange
from podfence.live.frames import RESOURCE, line_of
from podfence.live.wire import ReadObject
from podfence.mirror import packing
from podfence.mirror.history import WINDOW, History, NoResume
from podfence.mirror.requests import LARGEST, BadMirrorRequest, MirrorRequest, parse
from podfence.mirror.reviewers import Authorizer
from podfence.mirror.steps import accepted, attempt, read_head
from podfence.mirror.streams import Broadcast, MirrorReader

FRAME: Final = 0.2
"""Seconds for which changes are gathered into a frame."""
HEARTBEAT: Final = 10.0
"""Seconds without a change after which a heartbeat is sent."""
STALE: Final = 90.0
"""Seconds of silence of the API server, which sends something each minute, until streams end."""
LATE: Final = 15.0
"""Seconds of known failure of the API server after which streams end."""
AGENTS: Final = 4000
"""The largest number of streams."""
_WAITING: Final = 1024
"""The largest number of connections without a request yet: one more closes the oldest."""
_ASKING: Final = 2048
"""The largest number of requests that wait for a review."""
_SECONDS: Final = 10.0
"""Seconds until a connection without a request, or whose agent reads nothing, is closed."""
_SHORTEST, _LONGEST = 300.0, 600.0
"""Seconds that a stream lasts; then the client has to show a token again."""
_CATCH_UP: Final = 10.0
"""Seconds that a client with a newer version waits for this mirror."""
_FRESH: Final = 30.0
"""Seconds for which a snapshot is reused."""
_REVIEWERS: Final = 16
_WISH: Final = ResourceAttributes(RESOURCE)
_UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE
_REFUSED: Final = {
    ReviewOutcome.UNKNOWN: (HTTPStatus.UNAUTHORIZED, "show a token for podfence.io"),
    ReviewOutcome.FORBIDDEN: (HTTPStatus.FORBIDDEN, f"no right to get {RESOURCE}.podfence.io"),
    ReviewOutcome.BUSY: (_UNAVAILABLE, "many ask at present"),
    ReviewOutcome.UNASKED: (_UNAVAILABLE, "the API server cannot be asked who you are"),
}


class MirrorCounts(Struct):
    """Since the start. ``sent``: bytes of streams that have ended."""

    admitted: int = 0
    resumed: int = 0
    snapshots: int = 0
    refused: int = 0
    frames: int = 0
    sent: int = 0


class _Snapshot(Struct, frozen=True):
    """``number``: of the first frame that is not in it."""

    version: int
    number: int
    restored: int
    at: float
    pieces: list[bytes]


class MirrorServer:
    """``context`` returns the present TLS context for each connection. Only the thread of the loop
    uses this, but any thread may call ``tell`` and ``stop``."""

    def __init__(
        self,
        listen: Listen,
        context: Callable[[], ssl.SSLContext],
        reviewer: Authorizer,
        log: EventLog,
        agents: int = AGENTS,
        window: float = WINDOW,
    ) -> None:
        """Raises HostError."""
        self._context = context
        self._reviewer = reviewer
        self._log = log
        self._agents = agents
        self.history = History(window)
        self.counts = MirrorCounts()
        self._broadcast = Broadcast()
        self.streams: dict[MirrorReader, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[asyncio.Task[None] | None, None] = {}
        """Connections without a request yet, the oldest first."""
        self._asking = 0
        self._heard = float("-inf")
        self._late_since: float | None = None
        self._told = 0.0
        self._snapshot: _Snapshot | None = None
        self._making = asyncio.Lock()
        self._moved = asyncio.Event()
        self._stopped = asyncio.Event()
        self._threads = ThreadPoolExecutor(_REVIEWERS, "review")
        self._loop = asyncio.new_event_loop()
        self._socket = _listening(listen)

    @property
    def port(self) -> int:
        """The listening port."""
        return int(self._socket.getsockname()[1])

    @property
    def age(self) -> float:
        """Seconds since the API server last sent anything."""
        return self._loop.time() - self._heard

    @property
    def is_ready(self) -> bool:
        """Whether agents are answered."""
        since = self._late_since
        is_late = since is not None and self._loop.time() - since > LATE
        return self.history.is_known and self.age < STALE and not is_late

    # -- other threads

    def tell(
        self, changes: Iterable[ObjectChange[ReadObject]], version: str, *, live: bool, heard: float
    ) -> None:
        """Pass on a batch of a watch. ``heard``: monotonic seconds."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._take, [*changes], version, live, heard)

    def turn(self, told: Callable[[], None]) -> None:
        """Have ``told`` called in each turn of the loop."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(told)

    def stop(self) -> None:
        """Let ``run`` return."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stopped.set)

    def run(self) -> None:
        """Until ``stop``."""
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._loop.close()

    # -- the loop

    def _take(
        self, changes: list[ObjectChange[ReadObject]], version: str, live: bool, heard: float
    ) -> None:
        restored = self.history.restored
        try:
            self.history.take(changes, version)
        except ClusterError as error:
            self._log.error("api", reason=error.message)
            live = False
        self._late_since = None if live else self._late_since or self._loop.time()
        if restored != self.history.restored:
            self._end_all("the API server has gone back in time")
        self._heard = heard

    async def _serve(self) -> None:
        tasks = [self._loop.create_task(each) for each in (self._accept(), self._beat())]
        stopping = self._loop.create_task(self._stopped.wait())
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            rest = (*tasks, stopping, *self._tasks)
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            self._socket.close()
            for stream in [*self.streams]:
                stream.finish()
                stream.close()

    async def _beat(self) -> None:
        """Make frames, and serve the streams."""
        looked = 0.0
        while True:
            await asyncio.sleep(FRAME)
            now = self._loop.time()
            if self.history.has_news or now - self._told >= HEARTBEAT:
                self._cut(now)
            if now - looked >= 1.0:
                looked = now
                self._look_after(now)

    def _cut(self, now: float) -> None:
        frame = self.history.cut(now, max(self.age, 0.0))
        if frame is None:
            return
        self._told = now
        self.counts.frames += 1
        self._broadcast.add(packing.packed(line_of(frame)), self.history.first)
        self._moved.set()
        self._moved.clear()
        for stream in [*self.streams]:
            stream.pump()

    def _look_after(self, now: float) -> None:
        if not self.is_ready and self.streams:
            self._end_all("the API server has not been heard of")
        for stream in [*self.streams]:
            if now > stream.until:
                stream.finish()
            if now - stream.moved > _SECONDS + HEARTBEAT:
                stream.close()

    def _end_all(self, reason: str) -> None:
        self._broadcast.forget(self.history.first)
        self._snapshot = None
        for stream in [*self.streams]:
            stream.finish(packing.error(HTTPStatus.GONE, reason))

    async def _accept(self) -> None:
        while True:
            try:
                found = await accepted(self._socket)
            except OSError as error:  # no more files, most likely
                self._log.warning("accept", reason=str(error))
                await asyncio.sleep(0.5)
                continue
            if len(self._waiting) >= _WAITING and (oldest := next(iter(self._waiting))):
                oldest.cancel()
            task = self._loop.create_task(self._admit(found))
            self._waiting[task] = None
            self._tasks.add(task)
            task.add_done_callback(partial(self._done, found))

    def _done(self, found: socket.socket, task: asyncio.Task[None]) -> None:
        """Errors of a client's connection are ignored; all others are logged."""
        self._waiting.pop(task, None)
        self._tasks.discard(task)
        if task.cancelled():
            found.close()  # it may not have begun; where it has, this is the socket of TLS now
        elif (error := task.exception()) and not isinstance(error, OSError):
            self._log.error("request", reason=f"{type(error).__name__}: {error}")

    async def _admit(self, found: socket.socket) -> None:
        """From a connection to a stream, or to a refusal. Raises OSError, TimeoutError."""
        connection: ssl.SSLSocket | socket.socket = found
        try:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = tls = self._context().wrap_socket(
                found, server_side=True, do_handshake_on_connect=False
            )
            tls.setblocking(False)
            async with asyncio.timeout(_SECONDS):
                await attempt(tls, tls.do_handshake)
                head = await read_head(tls, LARGEST)
            self._waiting.pop(asyncio.current_task(), None)
            answer = await self._answer(tls, head)
            if answer is None:
                return  # it is a stream's now
            self.counts.refused += 1
            async with asyncio.timeout(_SECONDS):
                await attempt(tls, lambda: tls.send(answer))
        except BaseException:
            connection.close()
            raise
        connection.close()

    async def _answer(self, tls: ssl.SSLSocket, head: bytes) -> bytes | None:
        """A refusal; None where a stream has begun."""
        try:
            request = parse(head)
        except BadMirrorRequest as refused:
            return packing.refusal(refused.status, str(refused))
        if self._asking >= _ASKING:
            return packing.refusal(*_REFUSED[ReviewOutcome.BUSY], 1)
        self._asking += 1
        try:
            outcome = await self._loop.run_in_executor(
                self._threads, self._reviewer.review, request.token, _WISH
            )
        finally:
            self._asking -= 1
        if outcome is not ReviewOutcome.ALLOWED:
            status, text = _REFUSED[outcome]
            return packing.refusal(status, text, 1 if outcome is ReviewOutcome.BUSY else 0)
        if not self.is_ready or len(self.streams) >= self._agents:
            text = "this mirror takes no more agents now; ask another one"
            return packing.refusal(HTTPStatus.SERVICE_UNAVAILABLE, text, 1)
        found = await self._beginning(request)
        if isinstance(found, bytes):
            return found
        own, number = found
        now = self._loop.time()
        until = now + random.uniform(_SHORTEST, _LONGEST)  # noqa: S311 - so that not all come at once
        stream = MirrorReader(
            self._loop, tls, [packing.beginning(), *own], number, until, self._ended
        )
        self.streams[stream] = None
        self.counts.admitted += 1
        stream.begin(self._broadcast)
        return None

    async def _beginning(self, request: MirrorRequest) -> tuple[list[bytes], int] | bytes:
        """The first data for a client and the number of the next frame; or a refusal."""
        if request.version is not None and not await self._reached(request.version):
            text = f"Too large resource version: {request.version}"
            return packing.refusal(HTTPStatus.GATEWAY_TIMEOUT, text)
        if request.initial:
            found = await self._fresh(request.version or 0)
            if found is None:
                text = "pods are being listed"
                return packing.refusal(HTTPStatus.SERVICE_UNAVAILABLE, text, 1)
            self.counts.snapshots += 1
            return found.pieces, found.number
        number = self.history.resume(request.version or 0)
        if isinstance(number, NoResume):
            return packing.refusal(HTTPStatus.GONE, "too old resource version")
        self.counts.resumed += 1
        return [], number

    async def _reached(self, version: int) -> bool:
        end = self._loop.time() + _CATCH_UP
        while self.history.version < version:
            left = end - self._loop.time()
            if left <= 0:
                return False
            self._cut_where_it_helps()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), min(left, 1.0))
        return True

    def _cut_where_it_helps(self) -> None:
        """Make a frame if a waiting client needs the version of a bookmark."""
        if not self.history.has_news:
            self._cut(self._loop.time())

    async def _fresh(self, version: int) -> _Snapshot | None:
        """A snapshot at a version or newer; None while pods are being listed."""
        async with self._making:
            now, known = self._loop.time(), self._snapshot
            if (
                known is not None
                and now - known.at < _FRESH
                and known.version >= version
                and known.restored == self.history.restored
                and known.number >= self._broadcast.first
            ):
                return known
            if self.history.has_news:
                self._cut(now)
            if not self.history.is_settled or self.history.version < version:
                return None
            at, number = self.history.version, self.history.next
            restored, parts = self.history.restored, self.history.snapshot()
            pieces = await self._loop.run_in_executor(None, lambda: [*packing.snapshot(parts, at)])
            self._snapshot = _Snapshot(at, number, restored, now, pieces)
            return self._snapshot if restored == self.history.restored else None

    def _ended(self, stream: MirrorReader) -> None:
        self.streams.pop(stream, None)
        self.counts.sent += stream.sent


def _listening(listen: Listen) -> socket.socket:
    """Raises HostError."""
    family = socket.AF_INET6 if ":" in listen.address else socket.AF_INET
    try:
        found = socket.create_server((listen.address, listen.port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HostError(f"{listen} cannot be listened on: {reason}") from error
    found.setblocking(False)
    return found
