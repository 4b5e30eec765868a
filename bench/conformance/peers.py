"""Who is asked beside podfence, how each is had, and what it does not claim to answer.

Rule: a peer is a program that reads a cluster and connections, a line of JSON, and writes a line of
answers. Nothing of a peer is in this repository: registries have it, and what is made of it is kept
in ``.conformance``. One that cannot be had is left out, with the reason.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from bench.conformance.aspects import Aspect
from tests.support.golang import Go, Unavailable, cache_folder, filled

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".conformance"
SECONDS = 120
"""How long a peer may think about one cluster."""
CLUSTERS_OF_A_PROCESS = 500

NETWORK_POLICY = frozenset({"NetworkPolicy"})
OLDER_KINDS = frozenset({"AdminNetworkPolicy", "BaselineAdminNetworkPolicy"})


@dataclass(frozen=True)
class Peer:
    """``source``: a folder with a Go module, or a script for Python. ``module``: as its registry
    calls it. ``asked``: which part of it answers. ``kinds``: policies that it reads. ``beyond``:
    what it does not claim to judge, or what the way it is asked here takes away from it."""

    name: str
    module: str
    version: str
    source: str
    asked: str
    kinds: frozenset[str]
    beyond: frozenset[Aspect]

    @property
    def is_go(self) -> bool:
        """Whether it is built from a Go module; else a package for Python is installed."""
        return (HERE / self.source).is_dir()


_NO_NODES = frozenset(
    {
        Aspect.NODE,
        Aspect.ITSELF,
        Aspect.NO_PORTS,
        Aspect.HOST_NETWORK,
        Aspect.MAPPED,
        Aspect.NO_POD,
    }
)

PEERS = (
    Peer(
        "kube-network-policies",
        "sigs.k8s.io/kube-network-policies",
        "v0.8.0",
        "knp",
        "the engine of its agent, `evaluatePacket`, with its caches filled as an API server would",
        NETWORK_POLICY | OLDER_KINDS,
        _NO_NODES | {Aspect.SHARED_ADDRESS},
    ),
    Peer(
        "cyclonus",
        "github.com/mattfenwick/cyclonus",
        "v0.5.6",
        "cyclonus",
        "its matcher, `IsTrafficAllowed`, with policies simplified as its command does by default",
        NETWORK_POLICY,
        _NO_NODES | {Aspect.LIFE_CYCLE, Aspect.SHARED_ADDRESS},
    ),
    Peer(
        "network-config-analyzer",
        "network-config-analyzer",
        "2.1.0",
        "nca_peer.py",
        "all allowed connections of `NetworkConfig`, the map behind its `--connectivity`",
        NETWORK_POLICY,
        _NO_NODES | {Aspect.LIFE_CYCLE, Aspect.SHARED_ADDRESS, Aspect.PORT_ZERO},
    ),
    Peer(
        "kube-netpol",
        "kube-netpol",
        "1.0.0",
        "kube_netpol_peer.py",
        "`simulate_traffic`, behind its `simulate`",
        NETWORK_POLICY,
        _NO_NODES
        | {
            Aspect.LIFE_CYCLE,
            Aspect.SHARED_ADDRESS,
            Aspect.OUTSIDE,
            Aspect.BLOCKS,
            Aspect.NAMESPACE_LABELS,
            Aspect.PORT_NAMES,
        },
    ),
)

LEFT_OUT = {
    "netpol-analyzer": "the module proxy does not serve `github.com/np-guard/netpol-analyzer`",
    "policy-assistant": "no registry has a version of it: it is a module of its own inside the "
    "repository of network-policy-api, and the published module of that leaves it out",
    "Calico, Cilium, kube-router, Antrea": "they judge packets in the kernel or in a switch, and "
    "have no part that answers a question without it",
}
"""Tools that people know and that are not asked, and why."""


def program(peer: Peer) -> Sequence[str]:
    """The command of a peer, made where it is missing. Raises Unavailable."""
    source = HERE / peer.source
    files = sorted(source.iterdir()) if peer.is_go else [source]
    folder = cache_folder(CACHE, f"{source.stem}-", files, peer.module, peer.version)
    CACHE.mkdir(exist_ok=True)
    if peer.is_go:
        if not folder.is_dir():
            go = Go(source, CACHE)
            go.fetch("mod", "download")
            try:
                filled(folder, lambda new: go.build(new / "peer", ".", "-s -w"))
            except subprocess.CalledProcessError as error:
                raise Unavailable(f"it does not build: exit status {error.returncode}") from None
        return (str(folder / "peer"),)
    if not folder.is_dir():
        filled(folder, partial(_installed, peer=peer))
    return (str(folder / "bin" / "python"), str(source))


def _installed(new: Path, peer: Peer) -> None:
    """An environment with the package. Raises Unavailable."""
    try:
        venv.create(new, with_pip=True, symlinks=True)
        words = ["-m", "pip", "--disable-pip-version-check", "install", "-q"]
        command = [str(new / "bin" / "python"), *words, f"{peer.module}=={peer.version}"]
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:]
        raise Unavailable(f"pip does not install it: {' '.join(last)}") from None


class Asked:
    """A peer that runs. It is started anew when it has ended or thinks for too long, and now and
    then: what an engine keeps of one cluster stays for good in some."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._asked = 0
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, line: bytes) -> list[str]:
        """An answer for each connection: ``allow``, ``deny`` or ``error: ...``; a single one where
        the whole cluster was refused."""
        self._asked += 1
        if (
            self._process is None
            or self._process.poll() is not None
            or self._asked % CLUSTERS_OF_A_PROCESS == 0
        ):
            self.close()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONHASHSEED": "0"},
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            self.close()
            return ["error: it ended"]
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        text = process.stdout.readline() if ready else b""
        if not text:
            self.close()
            return [f"error: no answer in {SECONDS} s" if not ready else "error: it ended"]
        found = msgspec.json.decode(text, type=_Answers)
        return found.answers or [f"error: {found.error}"]

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            with self._process:  # closes the pipes and waits
                self._process = None


class _Answers(msgspec.Struct):
    answers: list[str] = []
    error: str = ""


def say(text: str) -> None:
    """A line for whoever waits."""
    print(f"conformance: {text}", file=sys.stderr, flush=True)
