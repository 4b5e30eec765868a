"""TLS on non-blocking sockets, step by step, without copying the data.

Rule: a step is retried when the socket is ready, and nothing else uses the connection meanwhile.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_PIECE = 1 << 13
_END = b"\r\n\r\n"


async def attempt(connection: ssl.SSLSocket, step: Callable[[], T]) -> T:
    """Do one step as soon as the socket is ready. Raises OSError."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            await _ready(loop, connection, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _ready(loop, connection, loop.add_writer, loop.remove_writer)


async def accepted(listening: socket.socket) -> socket.socket:
    """The next connection. It is given without another wait, so that none is lost to who cancels
    this. Raises OSError."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return listening.accept()[0]
        except BlockingIOError:
            await _ready(loop, listening, loop.add_reader, loop.remove_reader)


async def read_head(connection: ssl.SSLSocket, largest: int) -> bytes:
    """Read a request up to its empty line. Raises OSError if it is longer than ``largest``."""
    head = b""
    while _END not in head:
        piece = await attempt(connection, lambda: connection.recv(_PIECE))
        if not piece or len(head) + len(piece) > largest:
            raise OSError("no request")
        head += piece
    return head.partition(_END)[0]


async def _ready(
    loop: asyncio.AbstractEventLoop,
    connection: socket.socket,
    add: Callable[..., Any],
    remove: Callable[..., Any],
) -> None:
    ready: asyncio.Future[None] = loop.create_future()

    def set_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    add(connection, set_ready)
    try:
        await ready
    finally:
        remove(connection)
