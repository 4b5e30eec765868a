"""etcd and kube-apiserver of one lab, on loopback. Process: the background one of a lab.

Rule: both end with this process, however it ends. etcd listens on Unix sockets in a private folder
of the user. The API server has its own certificate and tokens; anyone who can read that folder is
its administrator. A lab that was killed leaves only this folder, which a link beside the lab's
socket names.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import tempfile
import time
from base64 import b64encode, encodebytes
from contextlib import suppress
from pathlib import Path

import msgspec

from podfence.errors import ClusterError, LabError
from podfence.kube.access import Access, Credential, ServerAddress, StaticCredential
from podfence.kube.client import Client
from podfence.lab.api.become import command
from podfence.lab.api.folder import remove_folder
from podfence.lab.api.programs import Programs
from podfence.lab.trial import families
from podfence.text import printable

READY_SECONDS = 60.0
AGENT = "podfence-agent"
"""The user that agents are."""
SERVICES = {4: "10.96.0.0/16", 6: "fd00:10:96::/112"}
"""The ranges of cluster addresses."""
_ATTEMPTS = 3
"""A port that was free may be taken by the time that the server asks for it."""
_LAST_WORDS = 1500


class ControlPlane:
    """Both processes, and how to reach them. A context manager: leaving it ends them."""

    def __init__(self, programs: Programs, link: Path) -> None:
        """``link``: where the folder is found. Raises LabError."""
        self._programs = programs
        self._link = link
        self._port = 0
        self._running: list[subprocess.Popen[bytes]] = []
        self._tokens = {"admin": secrets.token_hex(16), AGENT: secrets.token_hex(16)}
        remove_folder(link)
        self.folder = Path(tempfile.mkdtemp(prefix="podfence-lab-"))
        try:
            link.symlink_to(self.folder)
        except OSError as error:
            raise LabError(f"cannot write {link}: {error.strerror}") from error

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self._link / "kubeconfig"

    @property
    def agents_kubeconfig(self) -> Path:
        """That of the agents."""
        return self._link / "agent.kubeconfig"

    def access(self, user: str = "admin") -> Access:
        """The server, as one of the two users."""
        server = ServerAddress(self.url, (self.folder / "apiserver.crt").read_bytes())
        return Access(server, StaticCredential(Credential(self._tokens[user])), name="lab")

    def start(self) -> None:
        """Both, ready. Raises LabError with the last words of the one that is not."""
        groups = {"admin": "system:masters", AGENT: AGENT}
        lines = (f"{token},{user},{user},{groups[user]}" for user, token in self._tokens.items())
        (self.folder / "tokens.csv").write_text("\n".join(lines), encoding="ascii")
        (self.folder / "accounts.key").write_text(private_key(), encoding="ascii")
        self._start("etcd", self._programs.etcd, etcd_flags(self.folder))
        for attempt in range(_ATTEMPTS):
            self._port = _free_port()
            flags = _apiserver_flags(self.folder, self._port)
            process = self._start("kube-apiserver", self._programs.apiserver, flags)
            if self._wait(process):
                break
            if attempt == _ATTEMPTS - 1 or process.poll() is None:
                raise LabError(f"the API server did not become ready; {self._last_words()}")
        self._write_kubeconfig(self.folder / "kubeconfig", "admin")
        self._write_kubeconfig(self.folder / "agent.kubeconfig", AGENT)

    def spawn(self, name: str, program: list[str]) -> subprocess.Popen[bytes]:
        """A process whose words go to a file of the folder. It ends with this process."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(program, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def close(self) -> None:
        """End both processes and remove the folder."""
        for process in reversed(self._running):
            process.kill()
        for process in self._running:
            process.wait()
        remove_folder(self._link)

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, name: str, program: Path, flags: list[str]) -> subprocess.Popen[bytes]:
        process = self.spawn(name, command(0, str(program), *flags))
        self._running.append(process)
        return process

    def _wait(self, process: subprocess.Popen[bytes]) -> bool:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until and process.poll() is None:
            with suppress(ClusterError, OSError), Client(self.access(), tries=1) as client:
                client.get("/readyz")
                return True
            time.sleep(0.1)
        return False

    def _last_words(self) -> str:
        for name, process in zip(("etcd", "kube-apiserver"), self._running, strict=False):
            if process.poll() is not None:
                log = self.folder / f"{name}.log"
                said = log.read_text(encoding="utf-8", errors="replace")[-_LAST_WORDS:].strip()
                return f"{name} ended with status {process.returncode} and said: {printable(said)}"
        return f"it did not say so within {READY_SECONDS:.0f} s"

    def _write_kubeconfig(self, file: Path, user: str) -> None:
        """A kubeconfig that needs no other file. JSON is YAML."""
        authority = b64encode((self.folder / "apiserver.crt").read_bytes()).decode("ascii")
        cluster = {"server": self.url, "certificate-authority-data": authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "podfence-lab",
            "clusters": [{"name": "podfence-lab", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self._tokens[user]}}],
            "contexts": [
                {"name": "podfence-lab", "context": {"cluster": "podfence-lab", "user": user}}
            ],
        }
        file.write_bytes(msgspec.json.format(msgspec.json.encode(config)))
        file.chmod(0o600)


def etcd_flags(folder: Path) -> list[str]:
    """etcd on Unix sockets in a folder. Nothing outlives its process, so nothing is synced."""
    client, peer = f"unix://{folder}/c.sock", f"unix://{folder}/p.sock"
    return [
        "--name=lab",
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=lab={peer}",
        "--unsafe-no-fsync",
    ]


def _apiserver_flags(folder: Path, port: int) -> list[str]:
    """The admission plugins that wait for controllers are off, because no such controllers run
    here. Nodes have no address of the type by which the server finds a kubelet, so a request that
    needs one fails at once."""
    return [
        f"--etcd-servers=unix://{folder}/c.sock",
        f"--cert-dir={folder}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={','.join(SERVICES[family] for family in families())}",
        "--authorization-mode=RBAC",
        "--profiling=false",
        f"--token-auth-file={folder}/tokens.csv",
        f"--service-account-signing-key-file={folder}/accounts.key",
        f"--service-account-key-file={folder}/accounts.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
        "--kubelet-preferred-address-types=ExternalDNS",
    ]


def private_key() -> str:
    """A key of the curve P-256 in the form of SEC 1, its public half left out."""
    head, curve = bytes.fromhex("30310201010420"), bytes.fromhex("a00a06082a8648ce3d030107")
    # A number below 2**255 is below the order of the curve.
    number = (secrets.randbits(255) | 1).to_bytes(32, "big")
    body = encodebytes(head + number + curve).decode("ascii")
    return f"-----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
