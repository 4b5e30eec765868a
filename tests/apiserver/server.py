"""etcd and kube-apiserver as processes on loopback, for one test session.

Rule: etcd listens on Unix sockets in a folder of its own alone; the API server has a certificate,
an authority and tokens made for this run. Nothing is worth keeping, so both are killed at the end;
the kernel kills them when the process of the tests ends in whatever way.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import yaml

from podfence.lab.api.controlplane import private_key
from tests.apiserver.client import Answer, Client

READY_SECONDS = 100
_REQUEST = "req -x509 -newkey=ec -pkeyopt=ec_paramgen_curve:P-256 -nodes -days=2".split()
_AUTHORITY = (*_REQUEST, "-keyout=clients.key")
_ATTEMPTS = 3
"""A port that was free may be taken by the time that the server asks for it."""

_LAUNCHER = """
import os, sys
from podfence.kernel.netns import die_with_parent
die_with_parent(int(sys.argv[1]))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes a program that the kernel kills when the given process ends."""


class NotReady(RuntimeError):
    """The server ended or did not become ready; its last words."""


class Compacted(Exception):
    """etcd has dropped these revisions already."""


class ApiServer:
    """A server that runs: ``admin`` may do everything in it. ``flags`` are further ones of the API
    server; changed ones hold from the next start on.
    """

    def __init__(self, programs: Path, folder: Path, flags: str = "") -> None:
        self.folder = folder
        self.flags = flags
        self._programs = programs
        self._token = secrets.token_hex(16)
        self._port = 0
        self._etcd: subprocess.Popen[bytes] | None = None
        self._apiserver: subprocess.Popen[bytes] | None = None
        line = f"{self._token},admin,admin,system:masters\n"
        (folder / "tokens.csv").write_text(line, encoding="ascii")
        (folder / "accounts.key").write_text(private_key(), encoding="ascii")
        if shutil.which("openssl"):
            _openssl(folder, *_AUTHORITY, "-subj=/CN=clients", "-out=clients.crt")

    @property
    def url(self) -> str:
        """The same for the whole life of the server, restarts included."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def ca(self) -> Path:
        """The certificate that the server made for itself."""
        return self.folder / "apiserver.crt"

    @property
    def admin(self) -> Client:
        """A new client of the administrator."""
        return self.client(self._token)

    def client(self, token: str) -> Client:
        """A client of whom the token belongs to."""
        return Client(self._port, self.ca, token)

    def kubeconfig(
        self, file: Path, token: str = "", user: Mapping[str, str] | None = None
    ) -> Path:
        """A kubeconfig of the administrator, of whom the token belongs to, or of a user that shows
        something else, as a file."""
        cluster = {"server": self.url, "certificate-authority": str(self.ca)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "me", "user": user or {"token": token or self._token}}],
            "contexts": [{"name": "test", "context": {"cluster": "here", "user": "me"}}],
        }
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        return file

    def certificate(self, user: str, group: str) -> tuple[Path, Path]:
        """A certificate by which the server knows a user of a group, and its key. Needs openssl."""
        certificate, key = self.folder / f"{user}.crt", self.folder / f"{user}.key"
        named = f"-subj=/O={group}/CN={user}", f"-keyout={key.name}", f"-out={certificate.name}"
        signed = "-CA=clients.crt", "-CAkey=clients.key", "-addext=extendedKeyUsage=clientAuth"
        _openssl(self.folder, *_REQUEST, *named, *signed)
        return certificate, key

    # ------------------------------------------------------------------------- life and death

    def start(self) -> None:
        """Both processes, ready. Raises NotReady."""
        self._etcd = self._spawn("etcd", etcd_flags(self.folder))
        for attempt in range(_ATTEMPTS):
            self._port = _free_port()
            try:
                self.start_apiserver()
                return
            except NotReady:
                if attempt == _ATTEMPTS - 1:
                    raise

    def start_apiserver(self, patience: float = READY_SECONDS) -> None:
        """The API server alone, at the same address as before, ready within so many seconds. Raises
        NotReady."""
        flags = f"{_apiserver_flags(self.folder, self._port)} {self.flags}"
        self._apiserver = self._spawn("kube-apiserver", flags)
        until = time.monotonic() + patience
        while time.monotonic() < until and self._apiserver.poll() is None:
            try:
                if self.ca.exists() and self._is_ready():
                    return
            except (OSError, HTTPException):
                pass
            time.sleep(0.2)
        self.kill_apiserver()
        log = (self.folder / "kube-apiserver.log").read_text(errors="replace")
        raise NotReady(f"the API server did not become ready; its last words:\n{log[-3000:]}")

    def _is_ready(self) -> bool:
        with self.admin as admin:
            return admin.request("GET", "/readyz").status == 200

    def kill_apiserver(self) -> None:
        """As when its machine fails: connections break, nothing is said. etcd keeps the objects."""
        _kill(self._apiserver)
        self._apiserver = None

    def restart(self) -> None:
        """Killed and started again, with an empty watch cache."""
        self.kill_apiserver()
        self.start_apiserver()

    def kill(self) -> None:
        """The end of both."""
        self.kill_apiserver()
        _kill(self._etcd)
        self._etcd = None

    def _spawn(self, name: str, flags: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _LAUNCHER, str(os.getpid())]
        command += [str(self._programs / name), *flags.split()]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that run."""
        return tuple(p.pid for p in (self._etcd, self._apiserver) if p is not None)

    # ------------------------------------------------------------------------------------ etcd

    def compact(self) -> int:
        """Drops every revision before the present one from etcd; the present one.

        The API server still remembers events in its watch cache until it is restarted.
        """
        present = etcd_call(self.folder, "/v3/maintenance/status", {})
        revision = int(present["header"]["revision"])
        body = {"revision": revision, "physical": True}
        with suppress(Compacted):  # the API server does it, too, every few minutes
            etcd_call(self.folder, "/v3/kv/compaction", body)
        return revision

    # ------------------------------------------------------------------------------ identities

    def service_account(
        self, namespace: str, name: str, rules: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        """The token of a new service account that may do what the rules of a ClusterRole say, and
        nothing else in the cluster.
        """
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        full = f"{namespace}-{name}"
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": full}
        subject = {"kind": "ServiceAccount", "namespace": namespace, "name": name}
        binding = {"metadata": {"name": full}, "roleRef": role, "subjects": [subject]}
        with self.admin as admin:
            admin.create(accounts, {"metadata": {"name": name}})
            admin.create(f"{rbac}/clusterroles", {"metadata": {"name": full}, "rules": list(rules)})
            admin.create(f"{rbac}/clusterrolebindings", binding)
            user = f"system:serviceaccount:{namespace}:{name}"
            for rule in rules:
                self._wait_for_permission(admin, user, rule)
            token = admin.create(f"{accounts}/{name}/token", {"spec": {"expirationSeconds": 3600}})
        return str(token["status"]["token"])

    def _wait_for_permission(self, admin: Client, user: str, rule: Mapping[str, Any]) -> None:
        """The authorizer learns of roles a moment after they are stored."""
        asked = {"group": rule["apiGroups"][0], "resource": rule["resources"][0]}
        name = {"name": rule["resourceNames"][0]} if "resourceNames" in rule else {}
        spec = {"user": user, "resourceAttributes": {**asked, **name, "verb": rule["verbs"][0]}}
        until = time.monotonic() + 60
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        while not admin.create(path, {"spec": spec})["status"]["allowed"]:
            assert time.monotonic() < until, f"{user} never got {rule}"
            time.sleep(0.02)


@contextmanager
def running(programs: Path, flags: str = "") -> Iterator[ApiServer]:
    """A server for the time of a ``with``, with further flags of the API server."""
    with tempfile.TemporaryDirectory(prefix="podfence-api-") as name:
        server = ApiServer(programs, Path(name), flags)
        try:
            server.start()
            yield server
        finally:
            server.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _openssl(folder: Path, *words: str) -> None:
    """Words with a value: ``-name=value``."""
    command = [part for word in words for part in word.split("=", 1 if word[0] == "-" else 0)]
    done = subprocess.run(["openssl", *command], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def etcd_flags(folder: Path) -> str:
    """etcd on Unix sockets in a folder."""
    client, peer = f"unix://{folder}/c.sock", f"unix://{folder}/p.sock"
    return (
        f"--name=test --data-dir={folder}/etcd --listen-client-urls={client} "
        f"--advertise-client-urls={client} --listen-peer-urls={peer} "
        f"--initial-advertise-peer-urls={peer} --initial-cluster=test={peer} --unsafe-no-fsync"
    )


def _apiserver_flags(folder: Path, port: int) -> str:
    """NamespaceLifecycle is off, so that a namespace is judged by its name and need not exist."""
    clients = folder / "clients.crt"
    return (f"--client-ca-file={clients} " if clients.exists() else "") + (
        f"--etcd-servers=unix://{folder}/c.sock --cert-dir={folder} --bind-address=127.0.0.1 "
        f"--advertise-address=127.0.0.1 --secure-port={port} --endpoint-reconciler-type=none "
        f"--service-cluster-ip-range=10.0.0.0/24 --authorization-mode=RBAC --profiling=false "
        f"--token-auth-file={folder}/tokens.csv "
        f"--service-account-signing-key-file={folder}/accounts.key "
        f"--service-account-key-file={folder}/accounts.key "
        "--service-account-issuer=https://kubernetes.default.svc "
        "--disable-admission-plugins=ServiceAccount,NamespaceLifecycle"
    )


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def etcd_call(folder: Path, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """One request to etcd, as JSON."""
    connection = _UnixConnection(folder / "c.sock")
    try:
        connection.request("POST", path, json.dumps(body))
        response = connection.getresponse()
        answer = Answer(response.status, json.loads(response.read()))
    finally:
        connection.close()
    if "required revision has been compacted" in str(answer.body.get("message")):
        raise Compacted
    assert answer.status == 200, answer
    return answer.body


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait(timeout=30)
