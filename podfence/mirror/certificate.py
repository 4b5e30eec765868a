"""The certificate of a mirror, from a Secret.

Rule: agents trust a mirror, so they check its certificate, unlike an agent's own. The files are
read again when they change; while they cannot be used, the previous certificate stays.
"""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from podfence.agent.log import EventLog
from podfence.agent.selfsigned import issued
from podfence.errors import HostError
from podfence.text import printable

CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"
"""As a Secret of the type kubernetes.io/tls names them."""


class Certificate:
    """The files of a folder in which a Secret is mounted."""

    def __init__(self, folder: Path, log: EventLog) -> None:
        """Raises HostError."""
        self._folder = folder
        self._log = log
        self._read = self._times()
        self._context = self._made()

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer with the present certificate."""
        times = self._times()
        if times != self._read:
            self._read = times
            try:
                self._context = self._made()
                self._log.info("certificate", folder=str(self._folder))
            except HostError as error:
                self._log.error("certificate", reason=str(error))
        return self._context

    def _times(self) -> Sequence[int]:
        try:
            return [(self._folder / name).stat().st_mtime_ns for name in (CERTIFICATE, KEY)]
        except OSError:
            return []

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A client that reconnects gets a new connection anyway, and tickets take memory for each.
        context.num_tickets = 0
        try:
            context.load_cert_chain(self._folder / CERTIFICATE, self._folder / KEY)
        except (OSError, ssl.SSLError) as error:
            folder = printable(str(self._folder))
            reason = getattr(error, "strerror", None) or str(error)
            raise HostError(
                f"{folder}: {CERTIFICATE} and {KEY} cannot be used: {printable(reason)}; "
                "podfence mirror certificate makes a Secret with both"
            ) from None
        return context


def secret(name: str, namespace: str, hosts: Sequence[str], days: int) -> dict[str, object]:
    """A Secret with a key and a self-signed certificate for these host names."""
    from cryptography import x509

    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    authority = x509.BasicConstraints(ca=True, path_length=0)
    extensions = ((names, False), (authority, True))
    public, own = issued("podfence mirror", timedelta(days=days), extensions)
    data = {AUTHORITY: public, CERTIFICATE: public, KEY: own}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "podfence-mirror"},
        },
        "data": {key: b64encode(value).decode("ascii") for key, value in data.items()},
    }
