"""Kubeconfig files -> Access, as kubectl reads them.

Rule: of several files the first that names a cluster, user or context wins. A path in a file is
relative to that file. A field that cannot be used is an error that names the file and the field;
nothing is guessed. No message holds a secret. Source: the "Organizing Cluster Access Using
kubeconfig Files" page of the Kubernetes documentation.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from msgspec import Struct

from podfence.errors import ClusterError
from podfence.kube.access import Access, Credential, Credentials, ServerAddress, StaticCredential
from podfence.kube.execplugin import ExecPlugin, ExecSpec
from podfence.kube.incluster import TokenFile
from podfence.text import printable

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _NamedEntry(Struct, frozen=True):
    """One named cluster, user or context, with the file that it was read from."""

    file: Path
    path: str
    data: Mapping[str, Any]

    def error(self, field: str, text: str) -> ClusterError:
        where = f"{self.path}.{field}" if field else self.path
        return ClusterError(f"{printable(str(self.file))}: {printable(where)}: {text}")

    def text(self, field: str) -> str:
        value = self.data.get(field)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(field, "text is expected here; write it in quotes")
        return value

    def flag(self, field: str) -> bool:
        value = self.data.get(field)
        if value is not None and not isinstance(value, bool):
            raise self.error(field, "true or false is expected here")
        return bool(value)

    def texts(self, field: str) -> tuple[str, ...]:
        value = self.data.get(field)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.error(field, "a list of texts is expected here")
        return tuple(value)

    def mapping(self, field: str) -> Mapping[str, Any]:
        value = self.data.get(field)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(field, "a mapping is expected here")
        return value

    def file_of(self, field: str) -> Path | None:
        """A path, made absolute from the folder of this kubeconfig."""
        text = self.text(field)
        return self.file.parent / text if text else None

    def data_or_file(self, field: str) -> bytes:
        """``FIELD-data`` (base64) or the file that ``FIELD`` names; the data win."""
        if text := self.text(f"{field}-data"):
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                raise self.error(f"{field}-data", "it is not base64") from None
        path = self.file_of(field)
        if path is None:
            return b""
        try:
            return path.read_bytes()
        except OSError as error:
            reason = error.strerror or error
            text = f"{printable(str(path))} cannot be read: {reason}"
            raise self.error(field, text) from None


class Kubeconfig(Struct, frozen=True):
    """All files as one. ``files``: those that exist, in order."""

    files: tuple[Path, ...]
    current_context: str
    clusters: Mapping[str, _NamedEntry]
    users: Mapping[str, _NamedEntry]
    contexts: Mapping[str, _NamedEntry]

    def access(self, context: str = "") -> Access:
        """The access of a context, "" for the current one. Raises ClusterError."""
        name = context or self.current_context
        if not name:
            raise ClusterError(
                f"no current context is set in {self._names()}; name one with --context"
                f"{_known(self.contexts)}"
            )
        entry = self.contexts.get(name)
        if entry is None:
            raise ClusterError(
                f"there is no context {printable(name)!r} in {self._names()}"
                f"{_meant(name, self.contexts)}{_known(self.contexts)}"
            )
        cluster = self._named(self.clusters, entry, "cluster")
        if cluster is None:
            raise entry.error("cluster", "a context needs a cluster")
        user = self._named(self.users, entry, "user")
        return Access(
            _server(cluster),
            StaticCredential() if user is None else _credentials(user, _exec_cluster(cluster)),
            entry.text("namespace") or "default",
            name,
            {} if user is None else _impersonation(user),
        )

    def _named(
        self, entries: Mapping[str, _NamedEntry], context: _NamedEntry, kind: str
    ) -> _NamedEntry | None:
        name = context.text(kind)
        if name and name not in entries:
            raise context.error(kind, f"there is no {kind} {printable(name)!r}{_known(entries)}")
        return entries[name] if name else None

    def _names(self) -> str:
        return ", ".join(printable(str(file)) for file in self.files)


def _meant(name: str, entries: Mapping[str, object]) -> str:
    close = get_close_matches(name, entries, 2)
    return f"; did you mean {' or '.join(map(printable, close))}?" if close else ""


def _known(entries: Mapping[str, object]) -> str:
    names = ", ".join(printable(name) for name in list(entries)[:10])
    return f"; there are: {names}" if names else "; there are none"


def find_files(explicit: str | None, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """The files to read: ``--kubeconfig``, else ``$KUBECONFIG``, else ``~/.kube/config``."""
    if explicit is not None:
        return (Path(explicit),)
    if listed := environment.get("KUBECONFIG"):
        return tuple(Path(each) for each in listed.split(os.pathsep) if each)
    home = environment.get("HOME")
    return (Path(home) / ".kube" / "config",) if home else ()


def read_kubeconfig(files: Sequence[Path], *, must_exist: bool = False) -> Kubeconfig | None:
    """Read and merge the files; None when no file exists. Raises ClusterError for what cannot be
    read.

    ``must_exist``: the user named the file, so a missing file is an error.
    """
    found: list[Path] = []
    current = ""
    merged: dict[str, dict[str, _NamedEntry]] = {"clusters": {}, "users": {}, "contexts": {}}
    for file in files:
        data = _read(file, must_exist)
        if data is None:
            continue
        found.append(file.absolute())
        whole = _NamedEntry(file.absolute(), "", data)
        current = current or whole.text("current-context")
        for section, entries in merged.items():
            for name, entry in _entries(whole, section):
                entries.setdefault(name, entry)
    if not found:
        return None
    return Kubeconfig(
        tuple(found), current, merged["clusters"], merged["users"], merged["contexts"]
    )


def _read(file: Path, must_exist: bool) -> Mapping[str, Any] | None:
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        if must_exist:
            raise ClusterError(f"{printable(str(file))}: there is no such file") from None
        return None
    except OSError as error:
        raise ClusterError(f"{printable(str(file))}: {error.strerror or error}") from None
    try:
        data = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader, in C where there is one
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise ClusterError(f"{printable(str(file))}{at}: this is not valid YAML") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ClusterError(f"{printable(str(file))}: a kubeconfig is a mapping")
    return data


def _entries(whole: _NamedEntry, section: str) -> list[tuple[str, _NamedEntry]]:
    values = whole.data.get(section)
    if values is None:
        return []
    if not isinstance(values, list):
        raise ClusterError(f"{printable(str(whole.file))}: {section}: a list is expected here")
    found = []
    for number, value in enumerate(values):
        here = _NamedEntry(
            whole.file, f"{section}[{number}]", value if isinstance(value, dict) else {}
        )
        name = here.text("name")
        if not name:
            raise here.error("name", "an entry needs a name")
        inner = section[:-1]
        found.append((name, _NamedEntry(whole.file, f"{here.path}.{inner}", here.mapping(inner))))
    return found


def _server(cluster: _NamedEntry) -> ServerAddress:
    url = cluster.text("server")
    if not _is_address(url):
        raise cluster.error("server", "an address such as https://host:6443 is expected here")
    ca = cluster.data_or_file("certificate-authority")
    insecure = cluster.flag("insecure-skip-tls-verify")
    if ca and insecure:
        text = "it cannot be used together with a certificate-authority; remove one of the two"
        raise cluster.error("insecure-skip-tls-verify", text)
    return ServerAddress(
        url, ca or None, insecure, cluster.text("tls-server-name"), cluster.text("proxy-url")
    )


def _is_address(url: str) -> bool:
    """Whether it is the URL of a server."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return plain and parts.scheme in ("https", "http") and bool(parts.hostname)


def _credentials(user: _NamedEntry, cluster: Mapping[str, Any]) -> Credentials:
    """As client-go orders them: a certificate goes with any of tokenFile, token, password, exec."""
    certificate = user.data_or_file("client-certificate")
    key = user.data_or_file("client-key")
    if bool(certificate) != bool(key):
        missing = "client-key" if certificate else "client-certificate"
        raise user.error(missing, "a client certificate needs both certificate and key")
    if user.data.get("auth-provider") is not None:
        text = "auth-provider was removed from Kubernetes 1.26; use an exec plugin"
        raise user.error("auth-provider", text)
    token_file = user.file_of("tokenFile")
    if token_file is not None:
        return TokenFile(token_file, certificate, key)
    token, name = user.text("token"), user.text("username")
    if user.data.get("exec") is not None and not token:
        return ExecPlugin(_exec_spec(user, cluster), Credential("", None, certificate, key))
    basic = (name, user.text("password")) if name else None
    return StaticCredential(Credential(token, None if token else basic, certificate, key))


def _exec_spec(user: _NamedEntry, cluster: Mapping[str, Any]) -> ExecSpec:
    spec = _NamedEntry(user.file, f"{user.path}.exec", user.mapping("exec"))
    command = spec.text("command")
    if not command:
        raise spec.error("command", "a program is expected here")
    if os.sep in command:  # as for other paths: from the folder of the file
        command = str(spec.file.parent / command)
    variables = spec.data.get("env")
    if variables is None:
        variables = []
    if not isinstance(variables, list):
        raise spec.error("env", "a list is expected here")
    environment = {}
    for number, each in enumerate(variables):
        path = f"{spec.path}.env[{number}]"
        variable = _NamedEntry(spec.file, path, each if isinstance(each, dict) else {})
        environment[variable.text("name")] = variable.text("value")
    return ExecSpec(
        spec.text("apiVersion"),
        command,
        spec.texts("args"),
        environment,
        spec.text("installHint"),
        spec.text("interactiveMode") or "IfAvailable",
        cluster if spec.flag("provideClusterInfo") else None,
    )


def _exec_cluster(cluster: _NamedEntry) -> Mapping[str, Any]:
    """``spec.cluster`` of an ExecCredential: what a plugin may be told of the server."""
    ca = cluster.data_or_file("certificate-authority")
    told: dict[str, Any] = {"server": cluster.text("server")}
    if ca:
        told["certificate-authority-data"] = base64.b64encode(ca).decode()
    for field in ("tls-server-name", "proxy-url"):
        if text := cluster.text(field):
            told[field] = text
    if cluster.flag("insecure-skip-tls-verify"):
        told["insecure-skip-tls-verify"] = True
    config = _extension(cluster, "client.authentication.k8s.io/exec")
    if config is not None:
        told["config"] = config
    return told


def _extension(entry: _NamedEntry, name: str) -> Any:
    for each in entry.data.get("extensions") or ():
        if isinstance(each, dict) and each.get("name") == name:
            return each.get("extension")
    return None


def _impersonation(user: _NamedEntry) -> dict[str, tuple[str, ...]]:
    headers: dict[str, tuple[str, ...]] = {}
    for field, header in (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")):
        if text := user.text(field):
            headers[header] = (text,)
    if groups := user.texts("as-groups"):
        headers["Impersonate-Group"] = groups
    extra = _NamedEntry(user.file, f"{user.path}.as-user-extra", user.mapping("as-user-extra"))
    for key in extra.data:
        headers[f"Impersonate-Extra-{_header_key(str(key))}"] = extra.texts(str(key))
    for header, values in headers.items():
        if not all(each.isprintable() for each in values):
            text = f"{header} would hold characters that a header cannot carry"
            raise user.error("as", text)
    if headers and "Impersonate-User" not in headers:
        raise user.error("as", "impersonation of groups, uid or extra needs a user")
    return headers


def _header_key(key: str) -> str:
    """A key of extra in a header's name: what HTTP does not allow there is percent-encoded."""
    allowed = "!#$&'*+-.^_`|~"
    return "".join(
        c
        if c.isascii() and (c.isalnum() or c in allowed)
        else "".join(f"%{b:02X}" for b in c.encode())
        for c in key
    )
