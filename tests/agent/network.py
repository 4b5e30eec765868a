"""A node as the agent meets it: a network namespace that forwards, pods that hang on it, and a way
to the API server that can be cut.

Rule: everything lives in namespaces of its own, held by descriptors; nothing is left behind.
"""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import msgspec
import yaml

from podfence.kernel import netns
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.kernel.rtnetlink import (
    Rtnetlink,
    VethEnd,
    default_route,
    host_address,
    host_route,
    link_gone,
    link_up,
    neighbour,
    veth,
)
from podfence.nft.ruleset import Ruleset

_GATEWAY = ip_address("169.254.1.1")
_GATEWAY_MAC = bytes.fromhex("eeeeeeeeeeee")
_SIOCETHTOOL, _ETHTOOL_GLINK = 0x8946, 0xA
_LOOPBACK, _UPLINK, _FIRST = 1, 2, 100
_SYSCTLS = (
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
)
_LAUNCHER = """
import os, sys
from podfence.kernel import netns
netns.die_with_parent(int(sys.argv[1]))
netns.join(int(sys.argv[2]))
os.execv(sys.executable, [sys.executable, "-m", "podfence", *sys.argv[3:]])
"""
_JUMPING = """
import datetime, os, sys, time
from pathlib import Path
offset = Path(sys.argv[4])
real, day = time.time, datetime.datetime
time.time = lambda: real() + float(offset.read_text() or 0)
class Jumping(day):
    @classmethod
    def now(cls, tz=None):
        return day.fromtimestamp(time.time(), tz)
datetime.datetime = Jumping
from podfence.kernel import netns
netns.die_with_parent(int(sys.argv[1]))
netns.join(int(sys.argv[2]))
from podfence.cli.main import main
sys.argv = ["podfence", sys.argv[3], *sys.argv[5:]]
main()
"""
"""A launcher after which the time of the day is off by what a file says, whenever it is asked."""
PATIENCE = float(os.environ.get("PODFENCE_PATIENCE", "60"))
"""Seconds after which what should have happened has not; more on a machine that others use."""


class Pod:
    """A namespace with one address. ``index``: of its interface on the node."""

    def __init__(self, name: str, address: str, index: int) -> None:
        self.name = name
        self.address = address
        self.index = index
        self.namespace = netns.create()

    def socket(self, port: int = 0) -> socket.socket:
        """A UDP socket in there that never blocks."""
        with netns.inside(self.namespace):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.bind((self.address, port))
        return opened


class Relay:
    """Connections from inside a node's namespace to a port of the tests' own loopback. ``cut``:
    those that are there break, and new ones are refused."""

    def __init__(self, namespace: int, port: int) -> None:
        self._port = port
        self._namespace = namespace
        self._pairs: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listening: socket.socket | None = None
        self.mend()

    def mend(self) -> None:
        with netns.inside(self._namespace):
            listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self._port))
        listening.listen(64)
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            found, self._listening = self._listening, None
            if found is not None:
                with suppress(OSError):
                    found.shutdown(socket.SHUT_RDWR)
                found.close()
            for each in self._pairs:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._pairs.clear()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                here, _ = listening.accept()
            except OSError:  # it was cut
                return
            try:
                there = socket.create_connection(("127.0.0.1", self._port))
            except OSError:  # the server does not run
                here.close()
                continue
            with self._lock:
                self._pairs += [here, there]
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)
    one.close()


class Agent:
    """The process on a node, with what it logs."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def lines(self, event: str = "") -> list[dict[str, object]]:
        """What it logged, every line being JSON."""
        found = [msgspec.json.decode(line) for line in self._log.read_bytes().splitlines()]
        return [line for line in found if not event or line["event"] == event]

    def log(self) -> str:
        """All that it has said."""
        return self._log.read_text()

    def wait_for(self, event: str, count: int = 1) -> dict[str, object]:
        """The ``count``-th line of an event."""
        until = time.monotonic() + PATIENCE
        while len(found := self.lines(event)) < count:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)
        return found[count - 1]

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


class Node:
    """``port``: that of the API server. ``name``: of the Node object."""

    def __init__(self, name: str, folder: Path, kubeconfig: Path) -> None:
        self.name = name
        self._folder = folder
        self.clock = folder / "clock"
        """For an agent whose time of the day jumps."""
        self.kubeconfig = kubeconfig
        self.namespace = netns.create()
        self.is_closed = False
        self.prefix = ""
        """The first two numbers of the addresses of its pods."""
        self.pods: dict[str, Pod] = {}
        self._number = 0
        self._agents: list[Agent] = []
        with netns.inside(self.namespace):
            for sysctl in _SYSCTLS:
                netns.write_sysctl(*sysctl)
            with Rtnetlink() as links:
                links.apply([link_up(_LOOPBACK)], of=name)
            self._socket = NftSocket()
        self.table = NetlinkNft(self._socket)
        server = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        self.relay = Relay(self.namespace, int(server.rpartition(":")[2]))

    def close(self) -> None:
        """Tear it down, pods and agents too; for once."""
        if self.is_closed:
            return
        for agent in self._agents:
            if agent.process.poll() is None:
                agent.process.kill()
                agent.process.wait(timeout=PATIENCE)
        self.relay.cut()
        self._socket.close()
        for pod in self.pods.values():
            os.close(pod.namespace)
        os.close(self.namespace)
        self.is_closed = True

    def add(self, name: str, address: str) -> Pod:
        """A pod that hangs on the node, or anything else that is reached through it."""
        self._number += 1
        pod = self.pods[name] = Pod(name, address, _FIRST + self._number)
        mac = bytes((2, 2)) + self._number.to_bytes(4, "big")
        at = IPv4Address(address)
        with netns.inside(self.namespace), Rtnetlink() as links:
            here = VethEnd(f"p{self._number}", pod.index, _GATEWAY_MAC)
            there = VethEnd("eth0", _UPLINK, mac)
            links.apply(
                [
                    veth(here, there, pod.namespace),
                    host_route(at, pod.index),
                    neighbour(at, mac, pod.index),
                ],
                of=name,
            )
        with netns.inside(pod.namespace), Rtnetlink() as links:
            links.apply(
                [
                    link_up(_LOOPBACK),
                    link_up(_UPLINK),
                    host_address(at, _UPLINK),
                    neighbour(_GATEWAY, _GATEWAY_MAC, _UPLINK),
                    default_route(_GATEWAY, _UPLINK),
                ],
                of=name,
            )
        with netns.inside(self.namespace):
            _await_link(here.name)
        return pod

    def remove(self, name: str) -> None:
        pod = self.pods.pop(name)
        with netns.inside(self.namespace), Rtnetlink() as links:
            links.apply([link_gone(pod.index)], of=name)
        os.close(pod.namespace)

    def agent(self, *options: str, wait: bool = True, jumping: bool = False) -> Agent:
        """Start the agent; ``wait`` until it is in sync. ``jumping``: its time of the day is off by
        what ``clock`` says."""
        number = len(self._agents)
        log = self._folder / f"{self.name}-agent-{number}.log"
        launcher = _JUMPING if jumping else _LAUNCHER
        command = [sys.executable, "-c", launcher, str(os.getpid()), str(self.namespace), "agent"]
        command += [str(self.clock)] if jumping else []
        command += ["--node", self.name, "--kubeconfig", str(self.kubeconfig)]
        command += [*self._folders(), *options]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=stream, pass_fds=[self.namespace]
            )
        agent = Agent(process, log)
        self._agents.append(agent)
        if wait:
            agent.wait_for("in sync")
        return agent

    def podfence(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of podfence in the node's namespace."""
        command = [sys.executable, "-c", _LAUNCHER, str(os.getpid()), str(self.namespace)]
        return subprocess.run(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            pass_fds=[self.namespace],
        )

    def cleanup(self) -> subprocess.CompletedProcess[str]:
        """``podfence agent cleanup`` of this node, which leaves the machine's own folders alone."""
        return self.podfence("agent", "cleanup", *self._folders())

    def _folders(self) -> tuple[str, ...]:
        state = self._folder / f"state-{self.name}"
        return "--run-dir", str(self._folder / "run"), "--state-dir", str(state)

    def nft(self, *arguments: str) -> str:
        """nft in the node's namespace: somebody else's hands."""
        enter = ["nsenter", f"--net=/proc/self/fd/{self.namespace}", "nft", *arguments]
        done = subprocess.run(
            enter, capture_output=True, text=True, check=True, pass_fds=[self.namespace]
        )
        return done.stdout

    def rules(self) -> Ruleset | None:
        return self.table.list()

    def passes(self, source: str, target: str, port: int = 80, patience: float = 0.3) -> bool:
        """Whether the first packet of a new connection arrives."""
        with self.pods[source].socket() as one, self.pods[target].socket(port) as other:
            one.sendto(b"x", (self.pods[target].address, port))
            with selectors.DefaultSelector() as ready:
                ready.register(other, selectors.EVENT_READ)
                return bool(ready.select(patience))

    def becomes(self, expected: bool, source: str, target: str, port: int = 80) -> None:
        """Wait until new connections pass, or do so no more."""
        until = time.monotonic() + PATIENCE
        while self.passes(source, target, port) is not expected:
            assert time.monotonic() < until, (source, target, expected, self.rules())


def _await_link(name: str) -> None:
    """The end of a pair that was up first takes packets once the kernel's link watch has looked at
    it, on a machine that is busy milliseconds later; until then it drops them. Who asks for its
    state makes it look."""
    asked = array("I", (_ETHTOOL_GLINK, 0))
    request = struct.pack("16sP", name.encode(), asked.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        fcntl.ioctl(opened, _SIOCETHTOOL, request)
    assert asked[1], f"{name} has no carrier"


@contextmanager
def node(name: str, folder: Path, kubeconfig: Path) -> Iterator[Node]:
    """A node for the time of a ``with``."""
    folder.mkdir(exist_ok=True)
    made = Node(name, folder, kubeconfig)
    try:
        yield made
    finally:
        made.close()
