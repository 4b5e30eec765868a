"""The base of an agent's servers: few connections, however many people ask.

Rule: no client holds another one up. A connection that has not been admitted has seconds to send
its request, and gives way to newer ones when there are many.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct

from podfence.agent.log import EventLog
from podfence.errors import HostError

CONNECTIONS = 16
"""Connections at one time: the oldest gives way to one more."""
HEAD = 1 << 17
"""Bytes of a request."""
SECONDS = 5.0
"""How long a connection may be silent."""


class Listen(Struct, frozen=True):
    """Where. ``port`` 0: any free one."""

    address: str = "127.0.0.1"
    port: int = 9740

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


class RequestHandler(BaseHTTPRequestHandler):
    """Answers one request a connection, and logs nothing of it."""

    timeout = SECONDS

    def setup(self) -> None:
        """A request has few bytes, from any client."""
        super().setup()
        self.rfile: Any = _RequestHead(self.rfile)

    def log_message(self, *_: object) -> None:
        """Nothing: what strangers ask for is not worth a line."""

    def version_string(self) -> str:
        """Nobody has to know which Python this is."""
        return "podfence"


class _RequestHead:
    """The lines of a request, of so many bytes at most."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = HEAD

    def readline(self, size: int) -> bytes:
        """Raises OSError where there are more."""
        line: bytes = self._file.readline(min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise OSError("the request has too many bytes")
        return line

    def close(self) -> None:
        self._file.close()


class BoundedServer(ThreadingHTTPServer):
    """Answers in threads of its own; ``run`` runs in the caller's. ``options`` are the command
    line's options for address and port, for error texts."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    """Connections that may wait for their thread: one more has to knock again, a second later."""

    def __init__(
        self, listen: Listen, handler: type[RequestHandler], log: EventLog, options: tuple[str, str]
    ) -> None:
        """Raises HostError."""
        self._log = log
        self._waiting: deque[socket.socket] = deque()
        self._admitted: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.address_family = socket.AF_INET6 if ":" in listen.address else socket.AF_INET
        try:
            super().__init__((listen.address, listen.port), handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            address, port = options
            raise HostError(
                f"{listen} cannot be listened on: {reason}; use {address} and {port}, "
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

    def admit(self, request: socket.socket) -> bool:
        """A connection gives way to nobody any more; False where there are many of those."""
        with self._lock:
            if request not in self._waiting or len(self._admitted) >= CONNECTIONS:
                return False
            self._waiting.remove(request)
            self._admitted.add(request)
            return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for a connection; the oldest ends where there are too many."""
        with self._lock:
            self._waiting.append(request)
            oldest = self._waiting.popleft() if len(self._waiting) > CONNECTIONS else None
        if oldest is not None:
            with suppress(OSError):
                # Of the socket below TLS: TLS's own state belongs to the thread that reads.
                socket.socket.shutdown(oldest, socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The end of a connection."""
        with self._lock:
            self._admitted.discard(request)
            with suppress(ValueError):
                self._waiting.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or was sent away, is no trouble of the agent's; all else is."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self._log.error("http", reason=f"{type(error).__name__}: {error}")
