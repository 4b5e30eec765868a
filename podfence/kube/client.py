"""Requests to an API server: one connection, one request at a time, by ``http.client``.

Rule: a request is repeated only where that cannot do harm (all requests in here read), and never
without end. What the server says is passed on in its own words; what it says is hostile text.
Sources: client-go's transport for the order of credentials and proxies; RFC 9110 for Retry-After.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import os
import random
import socket
import ssl
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import unquote, urlencode, urlsplit
from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

import msgspec
from msgspec import Struct

from podfence._version import __version__
from podfence.errors import ClusterError
from podfence.kube.access import Access, Credential, ServerAddress
from podfence.text import printable

TIMEOUT_SECONDS: Final = 60.0
"""Silence of the server that counts as a lost connection."""
TRIES: Final = 5
"""Requests made for one answer, the first included."""
LONGEST_PAUSE: Final = 30.0
"""Seconds between two of them at the most, whatever Retry-After says."""
_FIRST_PAUSE: Final = 0.25
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
"""Answers of a server, or of what stands before it, that may be another one in a moment."""
_LARGEST_MESSAGE: Final = 4096


class Response(Struct, frozen=True):
    """An answer of the server with a body that was read whole."""

    status: int
    body: bytes


class Refusal(ClusterError):
    """The server answered, and did not do what was asked.

    ``status``: the HTTP status; ``said``: the server's own words.
    """

    def __init__(self, message: str, status: int, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class Client:
    """A connection to one API server, opened when it is needed and again when it is lost."""

    def __init__(
        self,
        access: Access,
        environment: Mapping[str, str] = os.environ,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._access = access
        self._environment = environment
        self._sleep = sleep
        self._url = urlsplit(access.server.url)
        self._connection: http.client.HTTPConnection | None = None
        self._certificate = (b"", b"")
        self._answered = False

    def get(self, path: str, query: Mapping[str, str] | None = None, accept: str = "") -> bytes:
        """The body of a 200. Raises Refusal for any other answer, ClusterError for none."""
        target = path + ("?" + urlencode(query) if query else "")
        failure: ClusterError | None = None
        for attempt in range(TRIES):
            try:
                response, after = self._once(target, accept or "application/json")
            except (OSError, http.client.HTTPException, EOFError, zlib.error) as error:
                self.close()
                failure = self._unreachable(error)
                # These do not pass by waiting; but a server that answered before may be restarting.
                hopeless = isinstance(error, ssl.SSLError | socket.gaierror)
                if hopeless or (isinstance(error, ConnectionRefusedError) and not self._answered):
                    raise failure from None
                after = None
            else:
                self._answered = True
                if response.status == 200:
                    return response.body
                failure = _refusal(response, target)
                if response.status == 401 and attempt == 0 and self._access.credentials.refused():
                    continue
                if response.status not in _BUSY:
                    raise failure
            if attempt + 1 < TRIES:
                self._sleep(_pause(attempt, after))
        assert failure is not None
        raise failure

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

    def _once(self, target: str, accept: str) -> tuple[Response, str | None]:
        credential = self._access.credentials.get()
        connection = self._connected(credential)
        headers: list[tuple[str, str]] = [
            ("Accept", accept),
            # Packing costs a server as much as making a list: not worth it where nothing travels.
            ("Accept-Encoding", "identity" if _is_here(self._url.hostname or "") else "gzip"),
            ("User-Agent", f"podfence/{__version__}"),
            *_authorization(credential),
        ]
        for name, values in self._access.impersonate.items():
            headers += [(name, value) for value in values]
        connection.putrequest("GET", self._url.path.rstrip("/") + target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        if answer.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return Response(answer.status, body), answer.headers.get("Retry-After")

    def _connected(self, credential: Credential) -> http.client.HTTPConnection:
        certificate = (credential.certificate, credential.key)
        if self._connection is not None and certificate != self._certificate:
            self.close()  # a certificate belongs to the connection, not to the request
        if self._connection is None:
            self._certificate = certificate
            self._connection = self._open(credential)
        return self._connection

    def _open(self, credential: Credential) -> http.client.HTTPConnection:
        server, host = self._access.server, self._url.hostname or ""
        secure = self._url.scheme == "https"
        port = self._url.port or (443 if secure else 80)
        proxy = self._proxy(host, port)
        at, at_port = proxy.address if proxy else (host, port)
        if secure:
            name = server.tls_server_name or host
            context = _tls_context(server, credential)
            outer = (
                _tls_context(ServerAddress(""), Credential()) if proxy and proxy.secure else None
            )
            connection: http.client.HTTPConnection = _Connection(
                at, at_port, context, name, (outer, at) if outer else None
            )
        else:
            connection = http.client.HTTPConnection(at, at_port, timeout=TIMEOUT_SECONDS)
        if proxy:
            connection.set_tunnel(host, port, headers=proxy.headers)
        return connection

    def _proxy(self, host: str, port: int) -> _Proxy | None:
        url = self._access.server.proxy_url
        if not url:
            if _is_here(host):
                return None  # as Go: loopback never goes through a proxy of the environment
            known = {k.lower(): v for k, v in getproxies_environment().items()}
            if proxy_bypass_environment(f"{host}:{port}", known):
                return None
            url = known.get(self._url.scheme, "")
        return _parse_proxy(url) if url else None

    def _unreachable(self, error: BaseException) -> ClusterError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = (
                f"its certificate is not accepted ({error.verify_message}); the kubeconfig says in "
                "certificate-authority whose are, and in tls-server-name for which name"
            )
        elif isinstance(error, TimeoutError):
            reason = f"no answer for {TIMEOUT_SECONDS:.0f} s"
        elif isinstance(error, http.client.RemoteDisconnected):
            reason = "it closed the connection"
        url, name = printable(self._access.server.url), printable(self._access.name)
        of = f" of context {name}" if name else ""
        return ClusterError(f"the API server {url}{of} cannot be asked: {printable(reason)}")


class _Proxy(Struct, frozen=True):
    address: tuple[str, int]
    secure: bool
    headers: dict[str, str]


def _parse_proxy(url: str) -> _Proxy:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = printable(f"{parts.scheme}://{parts.hostname or ''}")
        raise ClusterError(f"the proxy {shown} cannot be used: only http:// and https:// proxies")
    secure = parts.scheme == "https"
    headers = {}
    if parts.username is not None:
        word = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(word).decode()}"
    return _Proxy((parts.hostname, parts.port or (443 if secure else 80)), secure, headers)


class _Connection(http.client.HTTPConnection):
    """HTTPS whose certificate may carry another name than the host, through a proxy or not."""

    default_port = 443

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext,
        name: str,
        proxy: tuple[ssl.SSLContext, str] | None,
    ) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)
        self._tls = context
        self._name = name
        self._outer = proxy

    def connect(self) -> None:
        """Connect, through the tunnel where one is set, and shake hands."""
        if self._outer is None:
            super().connect()
        else:  # TLS to the proxy first, then the tunnel and TLS to the server inside it
            context, name = self._outer
            self.sock = socket.create_connection((self.host, self.port), self.timeout)
            self.sock = context.wrap_socket(self.sock, server_hostname=name)
            self._tunnel()  # type: ignore[attr-defined]
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def _tls_context(server: ServerAddress, credential: Credential) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cadata=None if server.ca is None else server.ca.decode("ascii", "replace")
    )
    # Certificates of clusters are often made by hand: Go takes what RFC 5280's strict reading
    # refuses, and Python 3.13 made the strict reading the default.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if server.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if credential.certificate:
        with _file_of(credential.certificate + b"\n" + credential.key) as path:
            try:
                context.load_cert_chain(path)
            except (ssl.SSLError, OSError):
                text = "the client certificate and its key cannot be used; do they belong together?"
                raise ClusterError(text) from None
    return context


@contextmanager
def _file_of(secret: bytes) -> Iterator[str]:
    """A path that ``ssl`` can read a secret from. Where the kernel can, it is on no disk."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("credential")
        try:
            os.write(descriptor, secret)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.NamedTemporaryFile() as file:  # mode 0600
            file.write(secret)
            file.flush()
            yield file.name


def _is_here(host: str) -> bool:
    """Whether a host is this machine's loopback."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _authorization(credential: Credential) -> list[tuple[str, str]]:
    if credential.token:
        if not credential.token.isascii() or not credential.token.isprintable():
            raise ClusterError("the token holds characters that a header cannot carry")
        return [("Authorization", f"Bearer {credential.token}")]
    if credential.basic:
        word = base64.b64encode(":".join(credential.basic).encode()).decode()
        return [("Authorization", f"Basic {word}")]
    return []


def _refusal(response: Response, target: str) -> Refusal:
    message = ""
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        status = msgspec.json.decode(response.body)
        if isinstance(status, dict) and isinstance(status.get("message"), str):
            message = status["message"]
    message = message or response.body[:_LARGEST_MESSAGE].decode("utf-8", "replace").strip()
    reason = http.client.responses.get(response.status, "")
    said = printable(message[:_LARGEST_MESSAGE]) or reason
    where = printable(target.partition("?")[0])
    status = response.status
    return Refusal(
        f"the API server answers {status} to {where}: {said}{_advice(status)}", status, said
    )


def _advice(status: int) -> str:
    """What to do about an answer, where that can be told."""
    if status == 401:
        return (
            "; the credential of this context is missing, wrong or expired: log in again, or use "
            "another --context"
        )
    return ""


def _pause(attempt: int, retry_after: str | None) -> float:
    if retry_after is not None and retry_after.isdecimal():
        return min(float(retry_after), LONGEST_PAUSE)
    # Jitter keeps clients that were thrown off together from coming back together.
    return min(_FIRST_PAUSE * 2.0**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1.0)  # noqa: S311
