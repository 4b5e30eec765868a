"""An agent's plain HTTP: liveness, readiness and metrics.

Rule: a request changes nothing and holds nobody up. A connection is answered once, has seconds to
send its request, and gives way to newer ones when there are many. No answer names a pod.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from msgspec import Struct

from podfence.agent.listening import BoundedServer, Listen, RequestHandler
from podfence.agent.log import EventLog
from podfence.agent.machine import Meter
from podfence.agent.metrics import CONTENT_TYPE, exposition
from podfence.agent.status import NodeStatus

_TEXT = "text/plain; charset=utf-8"
_WELL = ("live", "absent")


class HttpResponse(Struct, frozen=True):
    """An answer."""

    status: HTTPStatus
    text: str
    content: str = _TEXT


class PathResponses:
    """What each path answers, in any thread."""

    def __init__(
        self,
        status: Callable[[], NodeStatus],
        meter: Meter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._meter = meter
        self._clock = clock

    def page(self, path: str) -> HttpResponse:
        """The answer to a GET."""
        match path.partition("?")[0]:
            case "/healthz":
                return _healthz(self._status(), self._clock())
            case "/readyz":
                return _readyz(self._status())
            case "/metrics":
                text = exposition(self._status(), self._meter.read(), self._clock())
                return HttpResponse(HTTPStatus.OK, text, CONTENT_TYPE)
        return HttpResponse(HTTPStatus.NOT_FOUND, "there are /healthz, /readyz and /metrics\n")


def _healthz(status: NodeStatus, now: float) -> HttpResponse:
    """A process whose thread hangs is to be started again; nothing else is its fault."""
    if status.is_alive(now):
        return HttpResponse(HTTPStatus.OK, "ok\n")
    text = f"the thread that enforces has been stuck for {now - status.turned:.0f} s\n"
    return HttpResponse(HTTPStatus.SERVICE_UNAVAILABLE, text)


def _readyz(status: NodeStatus) -> HttpResponse:
    """Ready from the first time that all is enforced. What fails later is a condition, and a new
    agent could do no better."""
    held = Counter(each.kind.value for each in status.conditions)
    lines = [f"{kind}: {number}" for kind, number in sorted(held.items())]
    if status.in_sync:
        return HttpResponse(HTTPStatus.OK, "".join(f"{line}\n" for line in ("ok", *lines)))
    waiting = [f"{s.kind}: {s.standing}" for s in status.sources if s.standing not in _WELL]
    whole = ("not in sync", *waiting, *lines)
    return HttpResponse(HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{line}\n" for line in whole))


class _WebHandler(RequestHandler):
    """HTTP/1.0 keeps no connection open."""

    server: WebServer

    def do_GET(self) -> None:
        self._answer(self.server.pages.page(self.path))

    def _answer(self, page: HttpResponse) -> None:
        data = page.text.encode("utf-8", "replace")
        self.send_response(page.status)
        self.send_header("Content-Type", page.content)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Paths(Protocol):
    """Answers a GET, in any thread."""

    def page(self, path: str) -> HttpResponse:
        """The answer to a GET."""


class WebServer(BoundedServer):
    """A server without tokens."""

    def __init__(self, listen: Listen, pages: Paths, log: EventLog) -> None:
        """Raises HostError."""
        self.pages = pages
        super().__init__(listen, _WebHandler, log, ("--http-address", "--http-port"))
