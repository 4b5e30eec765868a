"""What is asked of an agent by HTTP: whether it lives, whether it is ready, and its metrics.

Rule: whoever asks changes nothing and holds nobody up. A connection is answered once, has seconds
to ask, and gives way to newer ones when there are many; what is answered names no pod.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct

from podfence.agent.log import Log
from podfence.agent.machine import Meter
from podfence.agent.metrics import CONTENT_TYPE, exposition
from podfence.agent.status import Status
from podfence.errors import HostError

_TEXT = "text/plain; charset=utf-8"
CONNECTIONS = 16
"""Connections at one time: the oldest gives way to one more."""
SECONDS = 5.0
"""How long a connection may be silent."""
_WELL = ("live", "absent")


class Listen(Struct, frozen=True):
    """Where. ``port`` 0: any free one."""

    address: str = "127.0.0.1"
    port: int = 9740

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


class Page(Struct, frozen=True):
    """An answer."""

    status: HTTPStatus
    text: str
    content: str = _TEXT


class Pages:
    """What each path answers, for any thread."""

    def __init__(
        self,
        status: Callable[[], Status],
        meter: Meter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._status = status
        self._meter = meter
        self._clock = clock

    def page(self, path: str) -> Page:
        """The answer to a GET."""
        match path.partition("?")[0]:
            case "/healthz":
                return _healthz(self._status(), self._clock())
            case "/readyz":
                return _readyz(self._status())
            case "/metrics":
                text = exposition(self._status(), self._meter.read(), self._clock())
                return Page(HTTPStatus.OK, text, CONTENT_TYPE)
        return Page(HTTPStatus.NOT_FOUND, "there are /healthz, /readyz and /metrics\n")


def _healthz(status: Status, now: float) -> Page:
    """A process whose thread hangs is to be started again; nothing else is its fault."""
    if status.is_alive(now):
        return Page(HTTPStatus.OK, "ok\n")
    text = f"the thread that enforces has not come round for {now - status.turned:.0f} s\n"
    return Page(HTTPStatus.SERVICE_UNAVAILABLE, text)


def _readyz(status: Status) -> Page:
    """Ready from the first time that all is enforced: what fails later is a condition, and another
    agent in this one's place could do no better."""
    held = Counter(each.kind.value for each in status.conditions)
    lines = [f"{kind}: {number}" for kind, number in sorted(held.items())]
    if status.in_sync:
        return Page(HTTPStatus.OK, "".join(f"{line}\n" for line in ("ok", *lines)))
    waiting = [f"{s.kind}: {s.standing}" for s in status.sources if s.standing not in _WELL]
    whole = ("not in sync", *waiting, *lines)
    return Page(HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{line}\n" for line in whole))


class _Handler(BaseHTTPRequestHandler):
    """One request a connection; HTTP/1.0 keeps none open."""

    timeout = SECONDS
    server: WebServer

    def do_GET(self) -> None:
        self._answer(self.server.pages.page(self.path))

    def _answer(self, page: Page) -> None:
        data = page.text.encode("utf-8", "replace")
        self.send_response(page.status)
        self.send_header("Content-Type", page.content)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing: what strangers ask for is not worth a line."""

    def version_string(self) -> str:
        """Nobody has to know which Python this is."""
        return "podfence"


class WebServer(ThreadingHTTPServer):
    """Answers in threads of its own; ``run`` in that of the caller."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listen: Listen, pages: Pages, log: Log) -> None:
        """Raises HostError."""
        self.pages = pages
        self._log = log
        self._open: deque[socket.socket] = deque()
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in listen.address else socket.AF_INET
        try:
            super().__init__((listen.address, listen.port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise HostError(
                f"{listen} cannot be listened on: {reason}; use --http-address and --http-port, "
                "with port 0 for nothing"
            ) from error

    def server_bind(self) -> None:
        """Without asking DNS for a name of the address, as the base class does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.server_address[1])

    def run(self) -> None:
        """Until ``shutdown``."""
        self.serve_forever(poll_interval=0.5)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for a connection; the oldest ends where there are too many."""
        with self._lock:
            self._open.append(request)
            oldest = self._open.popleft() if len(self._open) > CONNECTIONS else None
        if oldest is not None:
            with suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The end of a connection."""
        with self._lock, suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or was sent away, is no trouble of the agent's; all else is."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self._log.error("http", reason=f"{type(error).__name__}: {error}")
