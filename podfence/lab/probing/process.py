"""The lab process, as a handle of its parent. Process: a command, or the background one of a lab.

Rule: everything that touches a network happens in the child, after it has entered a namespace of
its own. It ends when its parent ends, in whatever way, and all namespaces end with it; so there is
nothing to clean up, and killing it is the way to stop it.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from msgspec import Struct

from podfence.errors import LabError, PodfenceError
from podfence.kernel import netns
from podfence.lab.probing.child import serve
from podfence.lab.probing.forking import fork_with_pipe
from podfence.lab.probing.requests import ChildResult, Request
from podfence.lab.testbed.probeplan import ProbePlan

_SYSTEM_PROGRAMS = "/usr/sbin:/sbin"
"""Where nft is; some systems keep this from the PATH of users that are not root."""


A = TypeVar("A")


class _Ready(Struct, frozen=True):
    rootless: bool


class _Failed(Struct, frozen=True):
    """A mistake of ours in the child."""

    traceback: str


class PendingRequest(Generic[A]):
    """A request that was sent, and will be answered in its turn."""

    __slots__ = ("_receive",)

    def __init__(self, receive: Callable[[], ChildResult[Any]]) -> None:
        self._receive = receive

    def answer(self) -> ChildResult[A]:
        """Wait for the answer, after those of earlier requests. Raises what the child raised
        (LabError, NftError)."""
        return self._receive()


class LabProcess:
    """The parent's handle. A context manager: leaving it ends the lab, whatever happened."""

    def __init__(self, plan: ProbePlan) -> None:
        self._plan = plan
        self.rootless = False
        self.pid = 0

    def __enter__(self) -> Self:
        """Start the child. Raises LabError where it cannot have a network of its own."""
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid, self._connection = fork_with_pipe(partial(_run_child, self._plan))
        os.setpgid(self.pid, self.pid)  # the child does it too: the first one counts
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
        os.killpg(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._connection.close()

    @property
    def has_ended(self) -> bool:
        """Whether the child has ended without being asked to."""
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is not None

    def ask(self, request: Request[A]) -> PendingRequest[A]:
        """Send a request; the child answers requests in order. A child that has failed meanwhile
        says so in place of the answer."""
        with suppress(BrokenPipeError):
            self._connection.send(request)
        return PendingRequest(self._answer)

    def call(self, request: Request[A]) -> ChildResult[A]:
        """Ask and wait. Raises what the child raised (LabError, NftError)."""
        return self.ask(request).answer()

    def call_with(self, request: Request[A], descriptor: int) -> ChildResult[A]:
        """The same for a request that a descriptor follows; the caller keeps its own copy."""
        pending = self.ask(request)
        with suppress(BrokenPipeError):
            send_handle(self._connection, descriptor, self.pid)
        return pending.answer()

    def _answer(self) -> ChildResult[Any]:
        answer = self._receive()
        assert isinstance(answer, ChildResult)
        return answer

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


def _run_child(plan: ProbePlan, connection: Connection, parent: int) -> NoReturn:
    """The child's whole life. Never returns into the parent's code."""
    status = 1
    try:
        os.setpgid(0, 0)  # an interrupt from the keyboard is the parent's to handle
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PROGRAMS}"
        gc.disable()  # collected between requests, never within one
        rootless = netns.enter_private_network()
        netns.die_with_parent(parent)
        connection.send(_Ready(rootless))
        serve(connection, plan)
        status = 0
    except PodfenceError as error:
        connection.send(error)
    except BaseException:  # noqa: BLE001 - reported to the parent, which raises it
        connection.send(_Failed(traceback.format_exc()))
    finally:
        os._exit(status)
