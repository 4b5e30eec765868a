"""The mirror as a process: its threads, its signals, its end.

Rule: a thread that dies takes the process down, with status 1: agents ask another mirror.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from podfence.agent.listening import Listen
from podfence.agent.log import EventLog
from podfence.agent.process import Threads, keep_giving_back
from podfence.agent.reviews import Reviewer
from podfence.agent.sources import read
from podfence.agent.web import WebServer
from podfence.kube.access import Access
from podfence.kube.client import Client
from podfence.kube.follow import SyncState
from podfence.kube.resource import Resource, pods_anywhere
from podfence.kube.watch import Watch
from podfence.live.wire import ReadObject
from podfence.mirror.certificate import Certificate
from podfence.mirror.reviewers import Reviewers
from podfence.mirror.server import AGENTS, MirrorServer
from podfence.mirror.web import MirrorResponses

PORT: Final = 9742
_REVIEW: Final = 5.0
"""Seconds without an answer of the API server after which a review fails."""
_RATE: Final = 250
"""Reviews a second: agents that lose a mirror connect to the others all at the same time."""
_REVIEWERS: Final = 8
_HUNG: Final = 30.0
_PATIENCE: Final = 10.0


class MirrorOptions(Struct, frozen=True):
    """``certificate``: the folder with the certificate and its key. ``agents``: how many streams
    there may be. ``http``: for health and metrics; None: nowhere."""

    access: Access
    certificate: Path
    listen: Listen = Listen(port=PORT)
    http: Listen | None = None
    agents: int = AGENTS
    environment: Mapping[str, str] = {}


def resources() -> tuple[tuple[Resource, ...], ...]:
    """What a mirror watches."""
    return (pods_anywhere(),)


class Mirror:
    """The parts of a running mirror."""

    def __init__(self, options: MirrorOptions, log: EventLog) -> None:
        """Raises HostError."""
        self._log = log
        self._threads = Threads()
        self._turned = time.monotonic()
        environment = options.environment or os.environ
        self._watch = Watch(options.access, resources(), read, environment=environment)
        reviewers = Reviewers(
            [
                Reviewer(
                    Client(options.access, environment, tries=2, silence=_REVIEW),
                    time.monotonic,
                    rate=_RATE // _REVIEWERS,
                    kept=options.agents // _REVIEWERS + 1,
                )
                for _ in range(_REVIEWERS)
            ]
        )
        certificate = Certificate(options.certificate, log)
        self.server = MirrorServer(
            options.listen, certificate.context, reviewers, log, options.agents
        )
        self._web = (
            None
            if options.http is None
            else WebServer(options.http, MirrorResponses(self.server, self._is_alive), log)
        )
        _more_files(options.agents)

    def run(self) -> int:
        """Until a signal, or until a thread dies; the exit status."""
        self._threads.take_signals()
        loop = self._threads.start("loop", self.server.run)
        self._threads.start("heap", lambda: keep_giving_back(self._threads.stopped))
        self._threads.start(
            "feed",
            lambda: feed(self._watch, self.server, self._threads.stopped, self._log, self._turn),
        )
        if self._web is not None:
            self._threads.start("web", self._web.run)
        self._log.info("start", port=self.server.port)
        end = self._threads.end()
        if isinstance(end, BaseException):
            self._log.error("end", reason=f"{type(end).__name__}: {end}")
            return 1
        self.server.stop()
        loop.join(_PATIENCE)
        self._log.info("end", reason=signal.Signals(end).name)
        return 0

    def _turn(self) -> None:
        self._turned = time.monotonic()

    def _is_alive(self) -> bool:
        return time.monotonic() - self._turned < _HUNG


def _more_files(agents: int) -> None:
    """Each connection needs a file descriptor. A limit that cannot be raised allows fewer
    agents."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * agents + 1024
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and limit > soft:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def run(options: MirrorOptions, log: EventLog) -> int:
    """Mirror until a signal; the exit status. Raises PodfenceError where nothing was begun."""
    return Mirror(options, log).run()


def names_of(service: str, namespace: str) -> Sequence[str]:
    """The host names of a Service."""
    return (f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local", service)


# -- From the watch of the API to those who tell agents of it. For a thread of its own


_POLL = 0.5


def feed(
    watch: Watch[ReadObject],
    server: MirrorServer,
    stopped: threading.Event,
    log: EventLog,
    turn: Callable[[], None] = lambda: None,
) -> None:
    """Pass on the batches of the watch of pods until ``stopped`` is set. ``turn`` is called in each
    turn of the loop. Raises the exception that ended a thread of the watch."""
    told: tuple[SyncState, str] | None = None
    version, ready = "", False
    with watch:
        while not stopped.is_set():
            batch = watch.next(_POLL)
            (now,) = watch.standings()
            if now.heard is None and batch is None:
                continue
            changes = () if batch is None else batch.changes
            version = version if batch is None else batch.version
            live = now.state.standing is SyncState.LIVE
            heard = float("-inf") if now.heard is None else now.heard
            server.tell(changes, version, live=live, heard=heard)
            server.turn(turn)
            if told != (now.state.standing, now.state.message):
                told = now.state.standing, now.state.message
                log.info("api", standing=told[0].value, message=told[1])
            if ready is not server.is_ready:
                ready = server.is_ready
                log.info("ready", ready=ready, pods=len(server.history))
