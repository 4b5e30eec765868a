"""From the watch of the API to those who tell agents of it. For a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from podfence.agent.log import EventLog
from podfence.kube.follow import SyncState
from podfence.kube.watch import Watch
from podfence.live.wire import ReadObject
from podfence.mirror.server import Server

_POLL = 0.5


def feed(
    watch: Watch[ReadObject],
    server: Server,
    stopped: threading.Event,
    log: EventLog,
    turn: Callable[[], None] = lambda: None,
) -> None:
    """Hand over what the watch of pods brings, until it is to stop. ``turn`` is called when the
    loop comes round. Raises what ended a thread."""
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
