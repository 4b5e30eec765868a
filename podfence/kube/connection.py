"""Connections to an API server: TLS as the kubeconfig wants it, through proxies or not.

Rule: connections are opened here and never used. Secrets go from memory to TLS and touch no disk
where the kernel allows it. Source: client-go's transport, for what a proxy of the environment is
asked for.
"""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # not typed

from msgspec import Struct

from podfence.errors import ClusterError
from podfence.kube.access import Credential, ServerAddress
from podfence.text import printable


def open_connection(
    server: ServerAddress, credential: Credential, environment: Mapping[str, str], silence: float
) -> http.client.HTTPConnection:
    """A connection that connects with its first request.

    ``silence``: seconds without a byte after which it counts as lost. Raises ClusterError for
    settings that cannot be used.
    """
    url = urlsplit(server.url)
    host, secure = url.hostname or "", url.scheme == "https"
    port = url.port or (443 if secure else 80)
    proxy = _proxy(server, url, port, environment)
    at, at_port = proxy.address if proxy else (host, port)
    if secure:
        name = server.tls_server_name or host
        context = _tls_context(server, credential)
        outer = _tls_context(ServerAddress(""), Credential()) if proxy and proxy.secure else None
        connection: http.client.HTTPConnection = _Connection(
            at, at_port, context, name, (outer, at) if outer else None, silence
        )
    else:
        connection = http.client.HTTPConnection(at, at_port, timeout=silence)
    if proxy:
        connection.set_tunnel(host, port, headers=proxy.headers)
    return connection


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _proxy(
    server: ServerAddress, url: SplitResult, port: int, environment: Mapping[str, str]
) -> _Proxy | None:
    found, host = server.proxy_url, url.hostname or ""
    if not found:
        if is_loopback(host):
            return None  # as Go: loopback never goes through a proxy of the environment
        known = {
            name.lower().removesuffix("_proxy"): value
            for name, value in sorted(environment.items())  # lower case comes last, and wins
            if name.lower().endswith("_proxy") and value
        }
        if proxy_bypass_environment(f"{host}:{port}", known):
            return None
        found = known.get(url.scheme, "")
    return _parse_proxy(found) if found else None


class _Proxy(Struct, frozen=True):
    address: tuple[str, int]
    secure: bool
    headers: dict[str, str]


def _parse_proxy(url: str) -> _Proxy:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        raise ClusterError("the proxy cannot be used: its address cannot be read") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = printable(f"{parts.scheme}://{parts.hostname or ''}")
        raise ClusterError(f"the proxy {shown} cannot be used: only http:// and https:// proxies")
    secure = parts.scheme == "https"
    headers = {}
    if parts.username is not None:
        word = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = f"Basic {base64.b64encode(word).decode()}"
    return _Proxy((parts.hostname, port or (443 if secure else 80)), secure, headers)


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
        silence: float,
    ) -> None:
        super().__init__(host, port, timeout=silence)
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
            self._tunnel()  # type: ignore[attr-defined]  # as http.client calls it
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


def _tls_context(server: ServerAddress, credential: Credential) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cadata=None if server.ca is None else server.ca.decode("ascii", "replace")
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # as kubectl; not every system has a limit
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
