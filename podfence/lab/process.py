"""The lab process: a child that leaves the host's network and does what its parent asks.

Rule: everything that touches a network happens in the child, after it has entered a namespace of
its own. It ends when its parent ends, in whatever way, and all namespaces end with it; so there is
nothing to clean up, and killing it is the way to stop it.
"""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from select import epoll
from time import monotonic
from types import TracebackType
from typing import NoReturn, Self

from podfence.edge import netns
from podfence.edge.nftcli import INSTALL, run_nft
from podfence.errors import LabError, NftError, PodfenceError
from podfence.lab.answer import Answerers
from podfence.lab.plan import LabPlan
from podfence.lab.probe import Prober
from podfence.lab.topology import Topology, build

_WINDOW = 30_000
"""Connections under way at most, where the limit of open files bears it. What is denied stays under
way until its time is up, so this is what bounds a round of denials."""
_SMALLEST_WINDOW = 64
_SYSTEM_PROGRAMS = "/usr/sbin:/sbin"
"""Where nft is; some systems keep this from the PATH of users that are not root."""
_SPARE_FILES = 64
_SHORT_MEMORY = (
    ("net/netfilter/nf_conntrack_tcp_timeout_close", "2"),
    ("net/netfilter/nf_conntrack_udp_timeout", "5"),
    ("net/netfilter/nf_conntrack_udp_timeout_stream", "10"),
)
"""Finished probes leave the node's connection table soon, so that it never fills."""


@dataclass(frozen=True, slots=True)
class Build:
    """Make the namespaces and listen everywhere; the answer's outcome is empty."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send the probes with these numbers, waiting ``timeout`` seconds for each."""

    numbers: Sequence[int]
    timeout: float


@dataclass(frozen=True, slots=True)
class Enforce:
    """Load an nft ruleset on a node."""

    node: str
    text: str


Request = Build | Send | Enforce


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request led to, and the seconds it took. ``outcomes``: of a :class:`Send`."""

    seconds: float
    outcomes: bytes = b""


@dataclass(frozen=True, slots=True)
class _Ready:
    rootless: bool


@dataclass(frozen=True, slots=True)
class _Failed:
    """A mistake of ours in the child."""

    traceback: str


class LabProcess:
    """The parent's handle. A context manager: leaving it ends the lab, whatever happened."""

    def __init__(self, plan: LabPlan) -> None:
        self._plan = plan
        self.rootless = False

    def __enter__(self) -> Self:
        """Start the child. Raises LabError where it cannot have a network of its own."""
        self._connection, theirs = Pipe()
        parent = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        self._child = _fork()
        if self._child == 0:
            self._connection.close()
            _run_child(theirs, self._plan, parent)
        theirs.close()
        os.setpgid(self._child, self._child)  # the child does it too: whoever comes first
        try:
            ready = self._receive()
        except BaseException:
            self.kill()
            raise
        assert isinstance(ready, _Ready)
        self.rootless = ready.rootless
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End the lab at once, with whatever program it is running."""
        os.killpg(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        self._connection.close()

    def ask(self, request: Request) -> None:
        """Send a request; the child answers requests in order. A child that has failed meanwhile
        says so in place of the answer."""
        with suppress(BrokenPipeError):
            self._connection.send(request)

    def answer(self) -> Answer:
        """Wait for the next answer. Raises what the child raised (LabError, NftError)."""
        answer = self._receive()
        assert isinstance(answer, Answer)
        return answer

    def call(self, request: Request) -> Answer:
        """Ask and wait."""
        self.ask(request)
        return self.answer()

    def _receive(self) -> object:
        try:
            message: object = self._connection.recv()
        except (EOFError, ConnectionError):
            raise LabError("the lab process ended unexpectedly; was it killed?") from None
        match message:
            case PodfenceError():
                raise message
            case _Failed(text):
                raise RuntimeError(f"the lab process failed:\n{text}")
            case _:
                return message


def _fork() -> int:
    """fork(2); the child must go on with what this module imports and nothing else."""
    with warnings.catch_warnings():
        # Newer interpreters warn when other threads exist, for one of them might hold a lock. The
        # child uses no lock of theirs: it opens its own files and sockets, and ends with _exit.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _run_child(connection: Connection, plan: LabPlan, parent: int) -> NoReturn:
    """The child's whole life. Never returns into the parent's code."""
    status = 1
    try:
        os.setpgid(0, 0)  # an interrupt from the keyboard is the parent's to handle
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PROGRAMS}"
        gc.disable()  # short-lived, and everything it makes is freed by count
        rootless = netns.enter_private_network()
        netns.die_with_parent(parent)
        connection.send(_Ready(rootless))
        _serve(connection, plan)
        status = 0
    except PodfenceError as error:
        connection.send(error)
    except BaseException:  # noqa: BLE001 - reported to the parent, which raises it
        connection.send(_Failed(traceback.format_exc()))
    finally:
        os._exit(status)


def _serve(connection: Connection, plan: LabPlan) -> None:
    lab = _Lab(plan)
    while True:
        try:
            request: Request = connection.recv()
        except EOFError:
            return
        start = monotonic()
        outcomes = lab.do(request)
        connection.send(Answer(monotonic() - start, outcomes))


class _Lab:
    """The child's side of the requests."""

    def __init__(self, plan: LabPlan) -> None:
        self._plan = plan

    def do(self, request: Request) -> bytes:
        """Raises LabError or NftError."""
        match request:
            case Build():
                self._build()
                return b""
            case Send(numbers, timeout):
                return self._send(numbers, timeout)
            case Enforce(node, text):
                self._enforce(self._topology.nodes[node], text)
                return b""

    def _build(self) -> None:
        if shutil.which("nft") is None:
            raise NftError(INSTALL)  # now, not after a minute of control probes
        poll = epoll()
        window = _window(self._plan)
        self._topology: Topology = build(self._plan)
        answerers = Answerers(self._plan, self._topology, poll)
        self._prober = Prober(self._plan, self._topology, answerers, poll, window)

    def _send(self, numbers: Sequence[int], timeout: float) -> bytes:
        try:
            return self._prober.run(numbers, timeout)
        except OSError as error:
            raise LabError(f"this machine cannot send the lab's probes: {error}") from error

    def _enforce(self, namespace: int, text: str) -> None:
        run_nft(text, namespace)
        with netns.inside(namespace):
            for name, value in _SHORT_MEMORY:
                if netns.read_sysctl(name) is not None:  # none without connection tracking
                    netns.write_sysctl(name, value)


def _window(plan: LabPlan) -> int:
    """How many probes may be under way; makes room for the plan's listening sockets.

    Raises LabError when the limit of open files bears too few.
    """
    listening = sum(len(party.addresses) for party in plan.parties) * len(plan.ports) * 2
    fixed = listening + 3 * len(plan.parties) * 2 + _SPARE_FILES
    limit = _raise_open_files(fixed + _WINDOW)
    window = min(_WINDOW, limit - fixed)
    if window < _SMALLEST_WINDOW:
        raise LabError(
            f"the lab needs {fixed + _SMALLEST_WINDOW} open files and may have {limit}; "
            "raise the limit (ulimit -n), or probe fewer ports"
        )
    return window


def _raise_open_files(wanted: int) -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (ValueError, PermissionError):  # not privileged: what we have must do
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
