"""TCP connections that came to a party: each is told who it is that answers.

Rule: whoever speaks HTTP gets it as an HTTP response, whoever says anything else as a line, and
whoever waits gets it too, a moment later. The other end closes; so a program that a person runs in
a pod sees a whole conversation.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from select import EPOLLIN, epoll
from time import monotonic

Handler = Callable[[], None]
_REQUEST = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r?\n")
_RESPONSE = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: {}\r\nConnection: close\r\n\r\n"
)
_LONGEST = 4096
_WAITS = 0.2
"""Seconds in which a guest may speak first."""
_STAYS = 10.0
"""Seconds after which a guest that does not go is shown out."""
MOST = 512
"""Guests at a time. Those that were told make room, the oldest first."""


@dataclass(slots=True)
class _Guest:
    connection: socket.socket
    name: bytes
    came: float


class Guests:
    """The connections. ``handlers``: whom to call when something comes, by descriptor; shared with
    those who listen."""

    def __init__(self, poll: epoll, handlers: dict[int, Handler]) -> None:
        self._poll = poll
        self._handlers = handlers
        # by descriptor, the oldest first
        self._waiting: dict[int, _Guest] = {}
        self._told: dict[int, _Guest] = {}

    def has_room(self) -> bool:
        """Whether one more can come now; makes room if that is possible."""
        if len(self._waiting) + len(self._told) >= MOST and self._told:
            self._leave(_oldest(self._told))
        return len(self._waiting) + len(self._told) < MOST

    def welcome(self, connection: socket.socket, name: bytes) -> None:
        """Take over a connection, which must not block."""
        guest = _Guest(connection, name, monotonic())
        number = connection.fileno()
        self._waiting[number] = guest
        self._handlers[number] = lambda: self._hear(guest)
        self._poll.register(number, EPOLLIN)

    @property
    def patience(self) -> float | None:
        """Seconds until :meth:`attend` has something to do; None: nobody is here."""
        due = [_oldest(self._waiting).came + _WAITS] if self._waiting else []
        due += [_oldest(self._told).came + _STAYS] if self._told else []
        return max(0.0, min(due) - monotonic()) if due else None

    def attend(self) -> None:
        """Tell those that have waited for long enough; show out those that do not go."""
        now = monotonic()
        while self._waiting and (guest := _oldest(self._waiting)).came + _WAITS <= now:
            self._tell(guest, guest.name)
        while self._told and (guest := _oldest(self._told)).came + _STAYS <= now:
            self._leave(guest)

    def close(self) -> None:
        """Everybody leaves."""
        for guest in (*self._waiting.values(), *self._told.values()):
            self._leave(guest)

    def _hear(self, guest: _Guest) -> None:
        try:
            said = guest.connection.recv(_LONGEST)
        except BlockingIOError:
            return
        except OSError:  # the other end has broken it off
            self._leave(guest)
            return
        if guest.connection.fileno() in self._waiting:
            self._tell(guest, _answer(said, guest.name))
        if not said:
            self._leave(guest)

    def _tell(self, guest: _Guest, answer: bytes) -> None:
        number = guest.connection.fileno()
        self._told[number] = self._waiting.pop(number)
        with suppress(OSError):  # gone, or its filter lets nothing out: it sees no answer
            guest.connection.send(answer)
            guest.connection.shutdown(socket.SHUT_WR)

    def _leave(self, guest: _Guest) -> None:
        number = guest.connection.fileno()
        self._waiting.pop(number, None)
        self._told.pop(number, None)
        del self._handlers[number]
        self._poll.unregister(number)  # close alone does not: a sender may hold a copy
        guest.connection.close()


def _oldest(guests: Mapping[int, _Guest]) -> _Guest:
    return next(iter(guests.values()))


def _answer(said: bytes, name: bytes) -> bytes:
    if not _REQUEST.match(said):
        return name
    return _RESPONSE.format(len(name)).encode() + (b"" if said.startswith(b"HEAD ") else name)
