"""TCP connections that came to a party: each gets the name of the party. Process: the lab process.

Rule: a client that speaks HTTP gets the name as an HTTP response, any other client gets it as a
line, and a silent client gets the line a moment later. The client closes first, so a program that a
person runs in a pod sees a complete exchange.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from select import EPOLLIN, epoll
from time import monotonic

from msgspec import Struct

ReadyCallback = Callable[[], None]
_REQUEST = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")
_RESPONSE = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: {}\r\nConnection: close\r\n\r\n"
)
_LONGEST = 4096
_WAITS = 0.2
"""Seconds in which a peer may speak first."""
_STAYS = 10.0
"""Seconds after which a peer that does not go is shown out."""
MOST = 512
"""The most connections at a time. Beyond it the oldest answered ones are closed."""


class _AcceptedConnection(Struct):
    connection: socket.socket
    name: bytes
    came: float


class AcceptedConnections:
    """The connections. ``handlers``: the function to call when data arrives, by descriptor; shared
    with the listeners."""

    def __init__(self, poll: epoll, handlers: dict[int, ReadyCallback]) -> None:
        self._poll = poll
        self._handlers = handlers
        # by descriptor, the oldest first
        self._waiting: dict[int, _AcceptedConnection] = {}
        self._told: dict[int, _AcceptedConnection] = {}

    def has_room(self) -> bool:
        """Whether one more can come now; makes room if that is possible."""
        if len(self._waiting) + len(self._told) >= MOST and self._told:
            self._leave(_oldest(self._told))
        return len(self._waiting) + len(self._told) < MOST

    def welcome(self, connection: socket.socket, name: bytes) -> None:
        """Take over a connection, which must not block."""
        peer = _AcceptedConnection(connection, name, monotonic())
        number = connection.fileno()
        self._waiting[number] = peer
        self._handlers[number] = lambda: self._hear(peer)
        self._poll.register(number, EPOLLIN)

    @property
    def patience(self) -> float | None:
        """Seconds until :meth:`attend` has work to do; None: there are no connections."""
        due = [_oldest(self._waiting).came + _WAITS] if self._waiting else []
        due += [_oldest(self._told).came + _STAYS] if self._told else []
        return max(0.0, min(due) - monotonic()) if due else None

    def attend(self) -> None:
        """Answer connections that have waited long enough; close those that stay."""
        now = monotonic()
        while self._waiting and (peer := _oldest(self._waiting)).came + _WAITS <= now:
            self._tell(peer, peer.name)
        while self._told and (peer := _oldest(self._told)).came + _STAYS <= now:
            self._leave(peer)

    def close(self) -> None:
        """Close every connection that was accepted."""
        for peer in (*self._waiting.values(), *self._told.values()):
            self._leave(peer)

    def _hear(self, peer: _AcceptedConnection) -> None:
        try:
            said = peer.connection.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:  # the other end has broken it off
            self._leave(peer)
            return
        if peer.connection.fileno() in self._waiting:
            self._tell(peer, _answer(said, peer.name))
        if not said:
            self._leave(peer)

    def _tell(self, peer: _AcceptedConnection, answer: bytes) -> None:
        number = peer.connection.fileno()
        self._told[number] = self._waiting.pop(number)
        with suppress(OSError):  # gone, or its filter lets nothing out: it sees no answer
            peer.connection.send(answer)
            peer.connection.shutdown(socket.SHUT_WR)

    def _leave(self, peer: _AcceptedConnection) -> None:
        number = peer.connection.fileno()
        self._waiting.pop(number, None)
        self._told.pop(number, None)
        del self._handlers[number]
        self._poll.unregister(number)  # close alone does not: a sender may hold a copy
        peer.connection.close()


def _oldest(connections: Mapping[int, _AcceptedConnection]) -> _AcceptedConnection:
    return next(iter(connections.values()))


def _answer(said: bytes, name: bytes) -> bytes:
    if not _REQUEST.match(said):
        return name
    return _RESPONSE.format(len(name)).encode() + (b"" if said.startswith(b"HEAD ") else name)
