"""The readers of a mirror: each is an offset in the common stream.

Rule: no reader delays another one. A connection with a full buffer waits; a reader that has fallen
behind all kept frames has to start again. Only the thread of the loop uses this.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from podfence.mirror.packing import LAST_CHUNK

_PIECE = 1 << 14
"""Bytes that are read at once from a client, which should send nothing more."""


class Broadcast:
    """The common stream: numbered pieces. ``first``: the number of the oldest kept one."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self.first = 0

    @property
    def next(self) -> int:
        """The number of the next piece."""
        return self.first + len(self._pieces)

    def add(self, piece: bytes, first: int) -> None:
        """Add a piece; those before ``first`` are dropped."""
        self._pieces.append(piece)
        self.forget(first)

    def forget(self, first: int) -> None:
        """Drop the pieces before ``first``."""
        while self.first < first and self._pieces:
            self._pieces.popleft()
            self.first += 1

    def piece(self, number: int) -> bytes | None:
        """A piece; None if it does not exist yet."""
        at = number - self.first
        return self._pieces[at] if at < len(self._pieces) else None


class MirrorReader:
    """One reader. ``own``: pieces for this reader only, sent first. ``number``: of its next common
    piece. ``until``: when the stream ends."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: ssl.SSLSocket,
        own: list[bytes],
        number: int,
        until: float,
        ended: Callable[[MirrorReader], None],
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._own = own
        self._own_at = 0
        self._number = number
        self._ended = ended
        self._waits = False
        self._last = False
        self.until = until
        self.is_open = True
        self.sent = 0
        self.moved = loop.time()
        """When data was last sent, or there was nothing to send."""

    def begin(self, broadcast: Broadcast) -> None:
        """Start sending, and watch for the end of the connection."""
        self._broadcast = broadcast
        self._loop.add_reader(self._connection, self._read)
        self.pump()

    def pump(self) -> None:
        """Send outstanding pieces, as much as the socket accepts."""
        if self._waits or not self.is_open:
            return
        self._send()

    def finish(self, last: bytes = b"") -> None:
        """End after the outstanding pieces; ``last``: one more piece before the end."""
        if not self.is_open or self._last:
            return
        due = self._own[self._own_at :]
        if self._waits and not due:  # half of it may have been sent
            try:
                due = [each for each in (self._next(),) if each is not None]
            except OSError:
                self.close()
                return
        self._last = True
        self._own, self._own_at = [*due, *([last] if last else []), LAST_CHUNK], 0
        self.pump()

    def close(self) -> None:
        """The end."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._connection)
            self._loop.remove_writer(self._connection)
            with suppress(OSError):
                self._connection.close()
            self._ended(self)

    def _send(self) -> None:
        try:
            while (piece := self._next()) is not None:
                # A TLS write is all or nothing, and a retry must pass the same data.
                sent = self._connection.send(piece)
                assert sent == len(piece)
                self.sent += sent
                self.moved = self._loop.time()
                self._advance()
        except ssl.SSLWantWriteError:
            if not self._waits:
                self._waits = True
                self._loop.add_writer(self._connection, self._writable)
            return
        except OSError:
            self.close()
            return
        self.moved = self._loop.time()
        if self._last:
            self.close()

    def _writable(self) -> None:
        self._waits = False
        self._loop.remove_writer(self._connection)
        self._send()

    def _next(self) -> bytes | None:
        if self._own_at < len(self._own):
            return self._own[self._own_at]
        if self._last:
            return None
        if self._number < self._broadcast.first:
            raise OSError("left behind")
        return self._broadcast.piece(self._number)

    def _advance(self) -> None:
        if self._own_at < len(self._own):
            self._own_at += 1
            if self._own_at == len(self._own):
                self._own, self._own_at = [], 0
        else:
            self._number += 1

    def _read(self) -> None:
        """A reader sends nothing more, except the end of the connection."""
        try:
            self._connection.recv(_PIECE)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            pass
        self.close()
