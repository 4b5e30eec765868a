"""Requests to an API server: one connection, one request at a time, by ``http.client``.

Rule: a read is repeated where that can do no harm, a bounded number of times. A write is made once.
The server's messages are passed on in its own words, and are hostile text. Sources: client-go's
transport for the order of credentials and proxies; RFC 9110 for Retry-After.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import os
import random
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from podfence._version import __version__
from podfence.errors import UNREADABLE, ClusterError
from podfence.kube.access import Access, Credential
from podfence.kube.connection import is_loopback, open_connection
from podfence.kube.deadline import Deadline
from podfence.text import printable

TIMEOUT_SECONDS: Final = 60.0
"""Silence of the server that counts as a lost connection."""
TRIES: Final = 5
"""Requests made for one answer, the first included, where nobody says otherwise."""
LONGEST_PAUSE: Final = 30.0
"""Seconds between two of them at the most, whatever Retry-After says."""
_FIRST_PAUSE: Final = 0.25
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
"""Answers of a server, or of what stands before it, that may be another one in a moment."""
_FOUND: Final = frozenset({200})
_DONE: Final = frozenset({200, 201, 202})
"""Answers to what reads, and to what writes."""
_LARGEST_MESSAGE: Final = 4096
_PIECE: Final = 1 << 16
_UNPACKED: Final = 1 << 20

T = TypeVar("T")


class ServerRefusal(ClusterError):
    """The server answered, and did not do what was asked.

    ``status``: the HTTP status. ``said``: the server's own words. ``pause``: how many seconds it
    asks to wait; None: it does not ask.
    """

    def __init__(
        self, message: str, status: int, said: str = "", pause: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.said = said
        self.pause = pause


class ConnectionLost(ClusterError):
    """There is no connection, or it was lost. ``passing``: another try may succeed. ``reason``:
    what went wrong, without the server's name."""

    def __init__(self, message: str, *, passing: bool, reason: str = "") -> None:
        super().__init__(message)
        self.passing = passing
        self.reason = reason


class _RequestBody(Struct, frozen=True):
    """The body of a request that writes. ``kind``: its media type."""

    method: str
    body: bytes
    kind: str


class Client:
    """A connection to one API server, opened when it is needed and again when it is lost.

    ``tries``: requests made for one answer, the first included. ``silence``: seconds without a byte
    after which the connection counts as lost. ``headers``: additional ones, of every request.
    ``largest`` and ``longest`` bound the bytes of a body and the seconds of an exchange, from its
    connection on, for a server that is not trusted; 0: no bound.
    """

    def __init__(
        self,
        access: Access,
        environment: Mapping[str, str] = os.environ,
        sleep: Callable[[float], None] = time.sleep,
        *,
        tries: int = TRIES,
        silence: float = TIMEOUT_SECONDS,
        headers: Mapping[str, str] = MappingProxyType({}),
        largest: int = 0,
        longest: float = 0.0,
    ) -> None:
        self._largest = largest
        self._deadline = Deadline(longest, self.interrupt)
        self._access = access
        self._environment = environment
        self._sleep = sleep
        self._tries = tries
        self._silence = silence
        self._headers = headers
        self._url = urlsplit(access.server.url)
        self._connection: http.client.HTTPConnection | None = None
        self._certificate = (b"", b"")
        self._answered = False

    def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = "") -> bytes:
        """The body of a 200. Raises ServerRefusal for any other answer, Lost for none."""
        target = path + ("?" + urlencode(query) if query else "")
        for attempt in range(self._tries):
            is_last = attempt + 1 == self._tries
            pause = None
            try:
                return self._body(target, accept or "application/json")
            except ServerRefusal as refusal:
                if is_last or refusal.status not in _BUSY:
                    raise
                pause = refusal.pause
            except ConnectionLost as lost:
                if is_last or not lost.passing:
                    raise
            self._sleep(_pause(attempt, pause))
        raise AssertionError("the last attempt returns or raises")

    def write(self, method: str, path: str, body: bytes, content_type: str) -> bytes:
        """Send an object, or a part of one. Returns the body of a 200, 201 or 202. The request is
        made once.

        Raises ServerRefusal for any other answer. Raises Lost for none: then it is unknown whether
        the change was made.
        """
        sent = _RequestBody(method, body, content_type)
        with self._deadline:
            answer = self._answer(path, "application/json", packed=False, sent=sent)
            return self._reading(lambda: _whole(answer, self._largest))

    def lines(
        self, path: str, query: Mapping[str, str], *, packed: bool = False
    ) -> Generator[list[bytes], None, None]:
        """The lines of an answer that goes on, as many at a time as have come. The first item is
        empty: the answer has begun. The request is made once. ``packed``: the answer may be
        compressed.

        Raises ServerRefusal for another answer than 200, and Lost when the connection is.
        """
        target = f"{path}?{urlencode(query)}"
        answer = self._answer(target, "application/json", packed=packed)
        pieces = _pieces(answer)
        rest: list[bytes] = []
        is_read = False
        try:
            yield []
            while piece := self._reading(lambda: next(pieces, b"")):
                first, *more = piece.split(b"\n")
                rest.append(first)
                if more:  # the pieces of a long line are joined once
                    yield [b"".join(rest), *more[:-1]]
                    rest = [more[-1]]
            is_read = True
        finally:
            if not is_read:
                self.close()  # what is left of the answer would stand before the next one

    def interrupt(self) -> None:
        """End whatever another thread reads here: it gets a Lost."""
        sock = getattr(self._connection, "sock", None)
        if sock is not None:
            with suppress(OSError):
                # Of the socket below TLS: TLS's own state belongs to the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.close()
            self._connection = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _body(self, target: str, accept: str) -> bytes:
        # Packing costs a server as much as making a list: not worth it where nothing travels.
        packed = not is_loopback(self._url.hostname or "")
        with self._deadline:
            answer = self._answer(target, accept, packed=packed)
            return self._reading(lambda: _whole(answer, self._largest))

    def _answer(
        self, target: str, accept: str, *, packed: bool, sent: _RequestBody | None = None
    ) -> http.client.HTTPResponse:
        """An answer of success whose body is still to be read. A refused credential is renewed
        once."""
        encoding = "gzip" if packed else "identity"
        answer = self._reading(lambda: self._ask(target, accept, encoding, sent))
        self._answered = True
        if answer.status == 401 and self._access.credentials.refused():
            self._reading(lambda: _whole(answer, self._largest))
            self._deadline.stop()  # the user's own program may take its time for another one
            answer = self._reading(lambda: self._ask(target, accept, encoding, sent))
        if answer.status not in (_FOUND if sent is None else _DONE):
            raise _refusal(answer, self._reading(lambda: _whole(answer, self._largest)), target)
        return answer

    def _reading(self, step: Callable[[], T]) -> T:
        """One step of a request; whatever breaks in it is a lost connection."""
        try:
            done = step()
            self._deadline.check()  # the end of a connection may look like that of an answer
            return done
        except (OSError, http.client.HTTPException, EOFError, zlib.error) as broken:
            self.close()
            error = self._deadline.error if self._deadline.is_over else broken
            # These do not pass by waiting; but a server that answered before may be restarting.
            hopeless = isinstance(error, ssl.SSLError | socket.gaierror)
            refused = isinstance(error, ConnectionRefusedError) and not self._answered
            raise self._lost(error, passing=not hopeless and not refused) from None

    def _ask(
        self, target: str, accept: str, encoding: str, sent: _RequestBody | None
    ) -> http.client.HTTPResponse:
        credential = self._access.credentials.get()
        connection = self._connected(credential)
        if connection.sock is None:
            connection.connect()
        self._deadline.begin()
        headers: list[tuple[str, str | bytes]] = [
            ("Accept", accept),
            ("Accept-Encoding", encoding),
            ("User-Agent", f"podfence/{__version__}"),
            *_authorization(credential),
            *self._headers.items(),
        ]
        for name, values in self._access.impersonate.items():
            headers += [(name, value.encode()) for value in values]
        if sent is not None:
            headers += [("Content-Type", sent.kind), ("Content-Length", str(len(sent.body)))]
        method = "GET" if sent is None else sent.method
        path = self._url.path.rstrip("/") + target
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(None if sent is None else sent.body)
        return connection.getresponse()

    def _connected(self, credential: Credential) -> http.client.HTTPConnection:
        certificate = (credential.certificate, credential.key)
        if self._connection is not None and certificate != self._certificate:
            self.close()  # a certificate belongs to the connection, not to the request
        if self._connection is None:
            self._certificate = certificate
            self._connection = open_connection(
                self._access.server, credential, self._environment, self._silence
            )
        return self._connection

    def _lost(self, error: BaseException, *, passing: bool) -> ConnectionLost:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = (
                f"its certificate is not accepted ({error.verify_message}); the kubeconfig says in "
                "certificate-authority whose are, and in tls-server-name for which name"
            )
        elif isinstance(error, TimeoutError):
            reason = f"no answer for {self._silence:.0f} s"
        elif isinstance(error, http.client.RemoteDisconnected):
            reason = "it closed the connection"
        url, name = printable(self._access.server.url), printable(self._access.name)
        of = f" of context {name}" if name else ""
        reason = printable(reason)
        text = f"the API server {url}{of} cannot be asked: {reason}"
        return ConnectionLost(text, passing=passing, reason=reason)


def _authorization(credential: Credential) -> list[tuple[str, str]]:
    if credential.token:
        if not credential.token.isascii() or not credential.token.isprintable():
            raise ClusterError("the token holds characters that a header cannot carry")
        return [("Authorization", f"Bearer {credential.token}")]
    if credential.basic:
        word = base64.b64encode(":".join(credential.basic).encode()).decode()
        return [("Authorization", f"Basic {word}")]
    return []


def _whole(answer: http.client.HTTPResponse, largest: int = 0) -> bytes:
    body = _bounded(answer, largest) if largest else answer.read()
    if largest and answer.headers.get("Content-Encoding") == "gzip":
        unpacked = zlib.decompressobj(31).decompress(body, largest + 1)
        if len(unpacked) > largest:
            raise http.client.HTTPException(f"its answer has more than {largest} bytes")
        return unpacked
    return gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body


def _pieces(answer: http.client.HTTPResponse) -> Generator[bytes, None, None]:
    """The body as it comes; none of the pieces is empty."""
    is_packed = answer.headers.get("Content-Encoding") == "gzip"
    unpacking = zlib.decompressobj(31) if is_packed else None
    while piece := answer.read1(_PIECE):
        if unpacking is None:
            yield piece
            continue
        # A piece may hold a thousand times as much: it is taken out a part at a time.
        while part := unpacking.decompress(piece, _UNPACKED):
            yield part
            piece = unpacking.unconsumed_tail


def _bounded(answer: http.client.HTTPResponse, largest: int) -> bytes:
    body = bytearray()
    while piece := answer.read1(_PIECE):
        body += piece
        if len(body) > largest:
            raise http.client.HTTPException(f"its answer has more than {largest} bytes")
    answer.close()  # read1 leaves it open, and the connection then takes no second request
    return bytes(body)


def _refusal(answer: http.client.HTTPResponse, body: bytes, target: str) -> ServerRefusal:
    message = ""
    with suppress(*UNREADABLE):
        found = msgspec.json.decode(body)
        if isinstance(found, dict) and isinstance(found.get("message"), str):
            message = found["message"]
    message = message or body[:_LARGEST_MESSAGE].decode("utf-8", "replace").strip()
    status = answer.status
    said = printable(message[:_LARGEST_MESSAGE]) or http.client.responses.get(status, "")
    where = printable(target.partition("?")[0])
    after = answer.headers.get("Retry-After") or ""
    pause = min(float(after), LONGEST_PAUSE) if after.isdecimal() else None
    text = f"the API server answers {status} to {where}: {said}{_advice(status)}"
    return ServerRefusal(text, status, said, pause)


def _advice(status: int) -> str:
    """What to do about an answer, where that can be told."""
    if status == 401:
        return (
            "; the credential of this context is missing, wrong or expired: log in again, or use "
            "another --context"
        )
    return ""


def _pause(attempt: int, asked: float | None) -> float:
    if asked is not None:
        return asked
    # Jitter keeps clients that were thrown off together from coming back together.
    jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    return min(_FIRST_PAUSE * 2.0**attempt, LONGEST_PAUSE) * jitter
