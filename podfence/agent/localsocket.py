"""Answers to root on the agent's own node, through a Unix socket.

Rule: the answers name pods, so the socket is never a port. The file system decides who may read,
and the kernel is asked again for each connection. The socket is named after the network namespace,
as the lock is.
"""

from __future__ import annotations

import http.client
import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from podfence.agent.log import EventLog
from podfence.drops.record import Drops
from podfence.errors import UNREADABLE, HostError
from podfence.text import printable
from podfence.usage.record import NodeUsage

T = TypeVar("T")

SECONDS = 5.0
"""How long a connection may be silent."""
_PEER = struct.Struct("iII")  # process, user, group
LARGEST = 1 << 24
"""Bytes of an answer that a client reads: a full ledger is a tenth of it."""


def socket_name(namespace: int) -> str:
    """``namespace``: the inode of the network namespace."""
    return f"agent-{namespace}.sock"


class _SocketHandler(BaseHTTPRequestHandler):
    """One request a connection."""

    timeout = SECONDS
    server: LocalServer

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == "/rules":
            data = msgspec.json.encode(self.server.tell_rules())
            self._answer(HTTPStatus.OK, data, "application/json")
            return
        if asked.path != "/drops":
            self._answer(HTTPStatus.NOT_FOUND, b"there are /drops and /rules\n", "text/plain")
            return
        since = parse_qs(asked.query).get("since", ["0"])[-1]
        if not (since.isascii() and since.isdigit() and len(since) < 20):
            self._answer(HTTPStatus.BAD_REQUEST, b"since is a serial\n", "text/plain")
            return
        data = msgspec.json.encode(self.server.tell(int(since)))
        self._answer(HTTPStatus.OK, data, "application/json")

    def _answer(self, status: HTTPStatus, data: bytes, content: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        """Nobody."""
        return ""

    def log_message(self, *_: object) -> None:
        """Nothing: who asks is root."""


class LocalServer(ThreadingMixIn, UnixStreamServer):
    """Answers in threads of its own; ``run`` runs in the caller's."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        folder: Path,
        namespace: int,
        tell: Callable[[int], Drops],
        tell_rules: Callable[[], NodeUsage],
        log: EventLog,
    ) -> None:
        """``tell`` gives the drops that have changed after a serial, ``tell_rules`` the uses of
        rules. The caller holds the lock of the namespace, so a socket that is there belongs to
        nobody. Raises HostError."""
        self.tell, self.tell_rules = tell, tell_rules
        self._log = log
        name = socket_name(namespace)
        try:
            with _short(folder, name) as path:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                super().__init__(path, _SocketHandler)
        except OSError as error:
            shown = printable(str(folder / name))
            raise HostError(f"{shown}: {error.strerror}; use another --run-dir") from error

    def server_bind(self) -> None:
        """The mode of a socket file is that of the socket, so nobody gets in between."""
        os.fchmod(self.socket.fileno(), 0o600)
        self.socket.bind(self.server_address)

    def run(self) -> None:
        """Until ``shutdown``."""
        self.serve_forever(poll_interval=0.5)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Root, or who runs the agent."""
        option = request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        return _PEER.unpack(option)[1] in (0, os.geteuid())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who goes away is no trouble; all else is."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self._log.error("local socket", reason=f"{type(error).__name__}: {error}")


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, folder: Path, name: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._where = folder, name

    def connect(self) -> None:
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(SECONDS)
        try:
            with _short(*self._where) as path:
                opened.connect(path)
        except OSError:
            opened.close()
            raise
        self.sock = opened


def ask_drops(folder: Path, namespace: int, since: int = 0) -> Drops:
    """What the agent of a network namespace tells of drops. Raises HostError."""
    return _ask(folder, namespace, f"/drops?since={since}", Drops)


def ask_rules(folder: Path, namespace: int) -> NodeUsage:
    """What it tells of the use of rules. Raises HostError."""
    return _ask(folder, namespace, "/rules", NodeUsage)


def _ask(folder: Path, namespace: int, path: str, form: type[T]) -> T:
    """Raises HostError."""
    name = socket_name(namespace)
    shown = printable(str(folder / name))
    connection = _SocketConnection(folder, name)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        data = answer.read(LARGEST)
        if answer.status != HTTPStatus.OK:
            raise HostError(
                f"the agent behind {shown} does not know this question; is it of an older version?"
            )
        return msgspec.json.decode(data, type=form)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise HostError(
            f"no agent runs in this network namespace (there is none behind {shown}); "
            "ask on the node, as root, or name the folder with --run-dir"
        ) from error
    except PermissionError as error:
        raise HostError(f"{shown}: only root may ask") from error
    except (OSError, http.client.HTTPException, *UNREADABLE) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise HostError(f"{shown}: {printable(reason)}") from error
    finally:
        connection.close()


@contextmanager
def _short(folder: Path, name: str) -> Iterator[str]:
    """A path to a file in a folder that fits into the 108 bytes of a socket's address."""
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{opened}/{name}"
    finally:
        os.close(opened)
