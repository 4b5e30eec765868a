"""Credentials from a program: ``client.authentication.k8s.io`` v1 and v1beta1.

Rule: the program is started without a shell. Its answer is kept until it expires. What it prints on
standard output is never shown.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct, field

from podfence.errors import ClusterError
from podfence.kube.access import Credential
from podfence.text import printable

GROUP = "client.authentication.k8s.io"
VERSIONS = (f"{GROUP}/v1", f"{GROUP}/v1beta1")
TIMEOUT_SECONDS = 120
"""A person may have to confirm a log-in in a browser."""
EARLY = timedelta(seconds=10)
"""A credential is renewed this long before it expires: a request takes time."""


class ExecSpec(Struct, frozen=True):
    """``users[].user.exec`` of a kubeconfig."""

    api_version: str
    command: str
    args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    install_hint: str = ""
    interactive_mode: str = "IfAvailable"
    """``Never``, ``IfAvailable`` or ``Always``."""
    cluster: Mapping[str, Any] | None = None
    """What the program is told of the cluster (``provideClusterInfo``)."""


class ExecPlugin:
    """Credentials that a program makes. ``base``: a client certificate that the kubeconfig has as
    well."""

    def __init__(self, spec: ExecSpec, base: Credential | None = None) -> None:
        self.spec = spec
        self.base = base or Credential()
        self._kept: tuple[Credential, datetime | None] | None = None

    def get(self) -> Credential:
        """The program's credential, asked again when it has expired. Raises ClusterError."""
        if self._kept is not None:
            credential, expires = self._kept
            if expires is None or datetime.now(UTC) + EARLY < expires:
                return credential
        self._kept = _credential(self.spec, self.base)
        return self._kept[0]

    def refused(self) -> bool:
        """The program may know another one."""
        self._kept = None
        return True


def _credential(spec: ExecSpec, base: Credential) -> tuple[Credential, datetime | None]:
    answer = _answer(spec)
    if answer.get("kind") != "ExecCredential" or answer.get("apiVersion") != spec.api_version:
        raise _error(spec, f"it must answer with an ExecCredential of {spec.api_version}")
    status = answer.get("status")
    if not isinstance(status, dict):
        raise _error(spec, "its answer has no status")
    token, certificate, key = (
        _text(spec, status, each) for each in ("token", "clientCertificateData", "clientKeyData")
    )
    if not token and not certificate:
        raise _error(spec, "its answer has neither a token nor a client certificate")
    if bool(certificate) != bool(key):
        raise _error(spec, "its answer needs both clientCertificateData and clientKeyData")
    made = Credential(
        token,
        None,
        certificate.encode() or base.certificate,
        key.encode() or base.key,
    )
    return made, _expiry(spec, status)


def _answer(spec: ExecSpec) -> Mapping[str, Any]:
    if spec.api_version not in VERSIONS:
        known = " or ".join(VERSIONS)
        raise _error(spec, f"apiVersion {printable(spec.api_version)!r} is unknown; use {known}")
    interactive = spec.interactive_mode != "Never" and sys.stdin.isatty()
    if spec.interactive_mode == "Always" and not interactive:
        raise _error(spec, "it needs a terminal (interactiveMode: Always), and there is none")
    about: dict[str, Any] = {"interactive": interactive}
    if spec.cluster is not None:
        about["cluster"] = spec.cluster
    info = {"apiVersion": spec.api_version, "kind": "ExecCredential", "spec": about}
    environment = {**os.environ, **spec.environment, "KUBERNETES_EXEC_INFO": json.dumps(info)}
    try:
        done = subprocess.run(
            [spec.command, *spec.args],
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        hint = f"; {printable(spec.install_hint)}" if spec.install_hint else ""
        raise _error(spec, f"there is no such program{hint}") from None
    except subprocess.TimeoutExpired:
        raise _error(spec, f"it gave no answer for {TIMEOUT_SECONDS} s") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its arguments cannot be passed"
        raise _error(spec, f"it cannot be started: {reason}") from None
    if done.returncode:
        raise _error(spec, f"it failed with status {done.returncode}")
    try:
        answer = json.loads(done.stdout)
    except (ValueError, RecursionError):
        raise _error(spec, "its answer is not JSON") from None
    if not isinstance(answer, dict):
        raise _error(spec, "its answer is not an ExecCredential")
    return answer


def _text(spec: ExecSpec, status: Mapping[str, Any], field_name: str) -> str:
    value = status.get(field_name)
    if value is not None and not isinstance(value, str):
        raise _error(spec, f"status.{field_name} of its answer is not text")
    return value or ""


def _expiry(spec: ExecSpec, status: Mapping[str, Any]) -> datetime | None:
    text = _text(spec, status, "expirationTimestamp")
    if not text:
        return None
    try:
        expires = datetime.fromisoformat(text)
    except ValueError:
        raise _error(spec, "status.expirationTimestamp of its answer is not a time") from None
    return expires if expires.tzinfo is not None else expires.replace(tzinfo=UTC)


def _error(spec: ExecSpec, text: str) -> ClusterError:
    return ClusterError(f"the credential plugin {printable(spec.command)!r}: {text}")
