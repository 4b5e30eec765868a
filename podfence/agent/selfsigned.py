"""The certificate of an agent's endpoint: made at the start, kept in memory, known to nobody.

Rule: it hides what is said from eavesdroppers. A token proves who asks, and nothing proves who
answers, so a token is good for one agent alone (``kube.agents``). Another process makes the
certificate, because the library for it would be a third of the agent's memory.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from podfence.errors import HostError

if TYPE_CHECKING:
    from cryptography.x509 import ExtensionType

_LIFE = timedelta(days=3650)
"""An agent lives for less; nobody looks at the end of a certificate that nobody vouches for."""
_SECONDS = 30.0
_MAKE = "import sys; sys.path[:] = sys.argv[1:]; from podfence.agent import selfsigned as made; "
_MAKE += "sys.stdout.write(made.pem())"


def server_context() -> ssl.SSLContext:
    """TLS 1.2 or newer with a certificate that is made now. Raises HostError."""
    try:
        made = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _MAKE, *sys.path],
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        last = said.decode("utf-8", "replace").strip().rpartition("\n")[2] or str(error)
        raise HostError(f"no certificate can be made for --https-port: {last}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The oldest version is the system's matter otherwise, and not every system has one.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, made)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def pem() -> str:
    """A new key and its certificate, for an agent."""
    certificate, key = issued("podfence agent", _LIFE)
    return (key + certificate).decode("ascii")


def issued(
    name: str, life: timedelta, extensions: Iterable[tuple[ExtensionType, bool]] = ()
) -> tuple[bytes, bytes]:
    """A self-signed certificate and its new key, in PEM. ``extensions``: each with whether it is
    critical."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + life)
    )
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM), secret
