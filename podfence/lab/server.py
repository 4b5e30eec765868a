"""A lab that stays: the process in the background, and its socket. Process: that one, and the
command that starts it.

Rule: it holds nothing outside its own processes but the socket. When it ends, in whatever way, the
namespaces end with it; a socket that is left over is found and removed by the next command.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing.connection import Connection, Listener
from multiprocessing.reduction import recv_handle
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from podfence._version import __version__
from podfence.errors import LabError, PodfenceError
from podfence.lab.messages import Down, Message, StepAside
from podfence.lab.probing.forking import fork_with_pipe
from podfence.lab.probing.process import LabProcess
from podfence.lab.replies import StatusReply
from podfence.lab.session import Session

_PATIENCE = 10.0
"""Seconds within which a client has to send its message."""
_BACKLOG = 16


def start(path: Path, process: LabProcess, begin: Callable[[LabProcess], Session]) -> StatusReply:
    """Run a lab in the background, listening at ``path``. ``begin`` builds it in its process.

    Returns once it is up, with what it says of itself. Raises what building it raised.
    """
    pid, ours = fork_with_pipe(lambda theirs, _: _run(path, process, begin, theirs))
    try:
        reply: object = ours.recv()
    except EOFError:
        raise LabError("the lab ended unexpectedly; was it killed?") from None
    except KeyboardInterrupt:
        os.kill(pid, signal.SIGTERM)
        raise
    finally:
        ours.close()
    if isinstance(reply, PodfenceError):
        os.waitpid(pid, 0)
        raise reply
    assert isinstance(reply, StatusReply)
    return reply


def _run(
    path: Path,
    process: LabProcess,
    begin: Callable[[LabProcess], Session],
    parent: Connection,
) -> NoReturn:
    """The life of the background process. Never returns into the caller's code."""
    status = 1
    try:
        _detach()
        # The socket is there before the lab and goes after it: two labs never share a name.
        with _listener(path) as listener, process as lab:
            session = begin(lab)
            with closing(session):
                parent.send(session.status())
                parent.close()
                _serve(listener, session)
        status = 0
    except PodfenceError as error:
        with suppress(OSError):
            parent.send(error)
    except SystemExit:
        status = 0
    except BaseException:  # noqa: BLE001 - there is nobody else to tell
        with suppress(OSError):
            parent.send(LabError(f"the lab failed: {traceback.format_exc()}"))
    finally:
        os._exit(status)


def _listener(path: Path) -> Listener:
    try:
        return Listener(str(path), family="AF_UNIX", backlog=_BACKLOG)
    except OSError as error:
        raise LabError(f"cannot listen at {path}: {error.strerror}") from error


def _detach() -> None:
    """Away from the terminal, its signals and the working directory."""
    os.setsid()
    os.chdir("/")
    os.umask(0o077)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit


def _serve(listener: Listener, session: Session) -> None:
    """Answer one message after the other, until one of them ends the lab."""
    while True:
        # Who leaves before the answer has ended nothing but their own question.
        with listener.accept() as connection, suppress(EOFError, ConnectionError):
            if not connection.poll(_PATIENCE):
                continue
            version, message = connection.recv()
            descriptor = recv_handle(connection) if isinstance(message, StepAside) else None
            connection.send(_reply(session, version, message, descriptor))
            if isinstance(message, Down):
                return


def _reply(session: Session, version: str, message: Message[Any], descriptor: int | None) -> object:
    if version != __version__ and not isinstance(message, Down):
        return LabError(
            f"the lab was started by podfence {__version__}, this is {version}; "
            "take it down and up again"
        )
    try:
        if isinstance(message, StepAside) and descriptor is not None:
            session.step_aside(message.party, descriptor)
            return None
        return session.do(message)
    except PodfenceError as error:
        return error
    finally:
        if descriptor is not None:
            os.close(descriptor)
