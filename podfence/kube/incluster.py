"""Access of a process in a pod: the service account that Kubernetes mounts, read as it rotates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from podfence.errors import ClusterError
from podfence.kube.access import Access, Credential, ServerAddress
from podfence.text import printable

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REREAD_SECONDS = 60.0
"""The kubelet replaces a token well before it expires; client-go reads it again as often."""


class TokenFile:
    """A token in a file that somebody replaces now and then, and a client certificate where there
    is one."""

    def __init__(self, path: Path, certificate: bytes = b"", key: bytes = b"") -> None:
        self.path = path
        self.certificate = certificate
        self.key = key
        self._read: tuple[float, str] | None = None

    def get(self) -> Credential:
        """The token, not older than ``REREAD_SECONDS``. Raises ClusterError."""
        now = time.monotonic()
        if self._read is None or now - self._read[0] > REREAD_SECONDS:
            self._read = now, self._token()
        return Credential(self._read[1], None, self.certificate, self.key)

    def refused(self) -> bool:
        """The file may hold another token by now."""
        self._read = None
        return True

    def _token(self) -> str:
        try:
            token = self.path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ClusterError(f"{printable(str(self.path))}: {reason}") from None
        if not token:
            raise ClusterError(f"{printable(str(self.path))}: the file holds no token")
        return token


def in_cluster(environment: Mapping[str, str], account: Path = ACCOUNT) -> Access | None:
    """The access of the pod that this process runs in, None outside a cluster. Raises ClusterError
    if the certificate cannot be read."""
    host = environment.get("KUBERNETES_SERVICE_HOST")
    port = environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (account / "token").is_file():
        return None
    try:
        ca = (account / "ca.crt").read_bytes()
    except OSError as error:
        raise ClusterError(f"{account / 'ca.crt'}: {error.strerror or error}") from None
    address = f"[{host}]" if ":" in host else host
    try:
        namespace = (account / "namespace").read_text(encoding="utf-8").strip()
    except OSError:  # the mount of a projected volume may leave it out
        namespace = ""
    server = ServerAddress(f"https://{address}:{port}", ca)
    return Access(server, TokenFile(account / "token"), namespace or "default", "in-cluster")
