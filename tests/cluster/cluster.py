"""A cluster for the tests, seen from outside: up, down, and what is done in it.

Rule: a copy of this repository has one cluster, named by its path. It ends with the process that
started it, unless it was told to stay.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from http.client import HTTPSConnection
from pathlib import Path

import yaml

from podfence.kernel import netns
from tests.apiserver.client import Client
from tests.cluster import build, cgroups, keeper, layout, world
from tests.cluster.layout import Node

NAME = f"podfence-cluster-{hashlib.sha256(os.fsencode(build.ROOT)).hexdigest()[:8]}"
FOLDER = Path("/tmp") / NAME
START_SECONDS = 660
STOP_SECONDS = 60


class NotStarted(RuntimeError):
    """A cluster did not become ready; what it said."""


class Cluster:
    """A cluster that runs."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder
        self.nodes = layout.nodes(len(list(folder.glob("node?.kubeconfig"))))

    @property
    def assets(self) -> Path:
        """The folder with the programs that it was started with."""
        return self.folder / keeper.ASSETS

    @property
    def kubeconfig(self) -> Path:
        """The administrator's; its address is one of the cluster's own network."""
        return self.folder / f"{layout.ADMIN}.kubeconfig"

    @cached_property
    def _pids(self) -> dict[str, int]:
        """The first process of each node, and of the cluster itself (``""``), as this process
        sees them.
        """
        return dict(first_processes(self.folder))

    def pid(self, node: Node | None = None) -> int:
        """The first process of a node; without one, of the cluster."""
        return self._pids[node.name if node else ""]

    def command(self, words: Sequence[str], node: Node | None = None) -> list[str]:
        """A command as it is run in the namespaces of a node, or of the control plane."""
        where = ["--net", "--mount", "--uts", "--ipc", "--pid"] if node else ["--net"]
        return ["nsenter", "--target", str(self.pid(node)), *where, "--", *words]

    def run(self, *words: str, node: Node | None = None, check: bool = True) -> str:
        """Its output. Raises CalledProcessError."""
        done = subprocess.run(
            self.command(words, node), stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if check and done.returncode:
            print(done.stdout, done.stderr, file=sys.stderr)
            done.check_returncode()
        return done.stdout

    def kubectl(self, *words: str, check: bool = True) -> str:
        """Its output. Raises CalledProcessError."""
        return self.run(*self.kubectl_command, *words, check=check)

    @property
    def kubectl_command(self) -> tuple[str, str]:
        """kubectl as the administrator, for who is in the cluster's network."""
        return str(self.assets / "kubectl"), f"--kubeconfig={self.kubeconfig}"

    def load(self, archive: Path) -> None:
        """Gives an image to every node. Raises CalledProcessError."""
        for node in self.nodes:
            words = ("--namespace", "k8s.io", "images", "import", str(archive))
            self.run(str(self.assets / "ctr"), *words, node=node)

    @property
    def admin(self) -> Client:
        """A new client of the administrator."""
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="ascii"))
        token = config["users"][0]["user"]["token"]
        return _ClientInside(self.pid(), self.folder / "apiserver.crt", token)


class _ClientInside(Client):
    """A client whose sockets belong to the network of a cluster."""

    def __init__(self, pid: int, ca: Path, token: str) -> None:
        super().__init__(layout.PORT, ca, token, layout.CONTROL[0])
        self._pid = pid

    def _open(self) -> HTTPSConnection:
        connection = super()._open()
        namespace = os.open(f"/proc/{self._pid}/ns/net", os.O_RDONLY)
        try:
            with netns.inside(namespace):
                connection.connect()
        finally:
            os.close(namespace)
        return connection


def first_processes(folder: Path) -> Iterator[tuple[str, int]]:
    """The first process of each node of a cluster, and of the cluster itself (``""``)."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
            status = (process / "status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it ended just now
        if words[:2] != [sys.executable, "-m"] or words[3:4] != [str(folder)]:
            continue
        inside = next(line for line in status.splitlines() if line.startswith("NSpid:"))
        if inside.split()[-1] != "1":
            continue
        if words[2] == "tests.cluster.world":
            yield "", int(process.name)
        elif words[2] == "tests.cluster.node":
            yield Node(int(words[5])).name, int(process.name)


# ------------------------------------------------------------------------------------ up and down


def running(folder: Path = FOLDER) -> Cluster | None:
    """The cluster of this repository, if it is up."""
    return Cluster(folder) if (folder / world.READY).exists() and keeper_of(folder) else None


def keeper_of(folder: Path) -> int:
    """The process id of a cluster's keeper; 0 where there is none."""
    if not folder.is_dir():
        return 0
    descriptor = keeper.try_lock(folder)
    if descriptor is not None:
        os.close(descriptor)
        return 0
    return int((folder / keeper.LOCK).read_text() or 0)


def start(nodes: int, folder: Path = FOLDER, name: str = NAME) -> subprocess.Popen[bytes]:
    """A new cluster, ready; it ends with this process or the returned one. Raises NotStarted,
    Unavailable.
    """
    assets = build.assets()
    if keeper_of(folder):
        raise NotStarted(f"a cluster of {folder} is up already")
    keeper.clean(folder, name)
    folder.mkdir(mode=0o755)
    words = [str(folder), name, str(nodes), str(assets)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.keeper", *words],
        stdin=subprocess.PIPE,
        cwd=build.ROOT,
        start_new_session=True,
    )
    until = time.monotonic() + START_SECONDS
    while not (folder / world.READY).exists():
        if process.poll() is not None:
            raise NotStarted((folder / world.LOG).read_text(errors="replace"))
        if time.monotonic() > until:
            stop(folder, name)
            raise NotStarted(f"not ready after {START_SECONDS} s; {folder}")
        time.sleep(0.1)
    return process


def keep(process: subprocess.Popen[bytes]) -> None:
    """Lets a cluster outlive this process."""
    assert process.stdin is not None
    process.stdin.write(keeper.KEEP)
    process.stdin.close()


def stop(folder: Path = FOLDER, name: str = NAME) -> bool:
    """Ends the cluster and removes what it left, if there was anything. Raises OSError."""
    was_there = folder.is_dir() or bool(cgroups.left(name))
    if found := keeper_of(folder):
        os.kill(found, signal.SIGTERM)
        until = time.monotonic() + STOP_SECONDS
        while keeper_of(folder):
            assert time.monotonic() < until, f"the keeper of {folder}, process {found}, stays"
            time.sleep(0.05)
    keeper.clean(folder, name)
    return was_there


@contextmanager
def borrowed(nodes: int) -> Iterator[Cluster]:
    """The cluster that is up, if it has as many nodes; else a new one for this time."""
    if (found := running()) and len(found.nodes) >= nodes:
        yield found
        return
    stop()
    with start(nodes):
        try:
            yield Cluster()
        finally:
            stop()
