"""How a cluster is reached, and as whom: what a kubeconfig or a pod's own account gives.

Rule: values only. ``kubeconfig`` and ``incluster`` read files, ``execplugin`` starts programs, and
``client`` makes connections.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct, field


class ServerAddress(Struct, frozen=True):
    """One API server."""

    url: str
    """``https://host:port``, perhaps with a path prefix; ``http://`` only where a user wrote it."""
    ca: bytes | None = None
    """Certificates in PEM that the server's must lead to; None: those that the machine trusts."""
    insecure: bool = False
    """The server's certificate is not checked (``insecure-skip-tls-verify``)."""
    tls_server_name: str = ""
    """The name that the certificate must carry; "" means the host of ``url``."""
    proxy_url: str = ""
    """The proxy of this cluster; "" means what the environment says."""


class Credential(Struct, frozen=True):
    """What a request shows. Every field may be empty: an anonymous request."""

    token: str = ""
    basic: tuple[str, str] | None = None
    """User and password. Servers since 1.19 take none, proxies in front of them may."""
    certificate: bytes = b""
    """Client certificate chain in PEM."""
    key: bytes = b""
    """Its private key in PEM."""

    def __repr__(self) -> str:
        """No secret ever reaches a message or a log."""
        parts = [
            name
            for name, value in (
                ("token", self.token),
                ("basic", self.basic),
                ("certificate", self.certificate),
            )
            if value
        ]
        return f"Credential({', '.join(parts) or 'anonymous'})"


class Credentials(Protocol):
    """Where credentials come from. They may expire."""

    def get(self) -> Credential:
        """The credential of now. Raises ClusterError when there is none."""

    def refused(self) -> bool:
        """The server answered 401: forget what is cached; whether another try makes sense."""


class StaticCredential(Struct, frozen=True):
    """A credential that stays as it is."""

    credential: Credential = field(default_factory=Credential)

    def get(self) -> Credential:
        """The credential."""
        return self.credential

    def refused(self) -> bool:
        """Another try would show the same."""
        return False


class Access(Struct, frozen=True):
    """A cluster, a user and the namespace of names given without one."""

    server: ServerAddress
    credentials: Credentials
    namespace: str = "default"
    name: str = ""
    """What people call it: the context of a kubeconfig, or ``in-cluster``."""
    impersonate: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Headers of impersonation (``Impersonate-User``, ``Impersonate-Group``, ...)."""
