"""Finds labs that are up, and talks to them. Process: a command.

Rule: labs are sockets in a private directory of the user. Anyone who can write into the directory
could pretend to be a lab, so it is used only if it belongs to the user and no one else may enter
it.
"""

from __future__ import annotations

import os
import re
import stat
import time
from multiprocessing.connection import Client, Connection
from multiprocessing.reduction import send_handle
from pathlib import Path
from typing import TypeVar, cast

from podfence._version import __version__
from podfence.errors import LabError, LabGone, PodfenceError
from podfence.lab.api.folder import link_of, remove_folder
from podfence.lab.messages import Down, Message

R = TypeVar("R")
_PATIENCE = 5.0
"""Seconds that a lab may take to end."""


def ask(
    name: str, message: Message[R], descriptor: int | None = None, path: Path | None = None
) -> R:
    """Send a message to a lab and wait for the reply.

    ``descriptor``: a file descriptor to send with the message. ``path``: the lab's socket, for a
    process that has changed its user since. Raises LabGone when no lab has this name or it ends
    before it answers, or the error that the lab raised.
    """
    try:
        connection = _connect(path or socket_path(name))
    except OSError:
        raise no_such_lab(name) from None
    with connection:
        try:
            connection.send((__version__, message))
            if descriptor is not None:
                send_handle(connection, descriptor, 0)
            reply: object = connection.recv()
        except (EOFError, ConnectionError):
            raise LabGone(f"the lab {name} ended before it answered") from None
    if isinstance(reply, PodfenceError):
        raise reply
    return cast("R", reply)  # the type that the message says; both ends are of one version


def labs_that_are_up() -> list[str]:
    """Names of all labs of this user that run."""
    return [name for name in known_names() if is_up(name)]


def no_such_lab(name: str) -> LabGone:
    """The error for a name that no lab has; it lists the labs that are up."""
    names = labs_that_are_up()
    hint = f"up are: {', '.join(names)}" if names else "start one: podfence lab up -f DIR"
    return LabGone(f"no lab named {name} is up; {hint}")


def is_up(name: str) -> bool:
    """Whether a lab of this name runs; what is left of one that does not is removed."""
    path = socket_path(name)
    try:
        _connect(path).close()
    except OSError:
        remove_folder(link_of(path))
        path.unlink(missing_ok=True)
        return False
    return True


def take_down(name: str) -> bool:
    """End a lab and wait until it is gone. False when there was none; a socket that a dead lab left
    is removed. Raises LabError if it does not end in time."""
    if not is_up(name):
        return False
    try:
        ask(name, Down())
    except LabGone:
        is_up(name)  # it crashed meanwhile, and leaves its socket
    path = socket_path(name)
    end = time.monotonic() + _PATIENCE
    while path.exists():
        if time.monotonic() > end:
            raise LabError(f"the lab {name} does not end")
        time.sleep(0.01)
    return True


def _connect(path: Path) -> Connection:
    return Client(str(path), family="AF_UNIX")


# -- where labs are found: one socket each, in a directory that is its user's alone

DEFAULT_NAME = "default"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_LONGEST_PATH = 100
"""Bytes of the path of a socket; the kernel takes a few more."""
_SUFFIX = ".lab"


def directory() -> Path:
    """``$XDG_RUNTIME_DIR``, ``/run`` or ``/tmp``, and in it ``podfence-UID``; made if need be.

    Raises LabError when it cannot be used.
    """
    user = os.geteuid()
    candidates = (os.environ.get("XDG_RUNTIME_DIR", ""), "/run", "/tmp")  # noqa: S108 - see Rule
    base = next(c for c in candidates if c == "/tmp" or (c and os.access(c, os.W_OK)))  # noqa: S108 - as above
    path = Path(base, f"podfence-{user}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise LabError(f"cannot make the lab's socket {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
        raise LabError(
            f"{path} is not a directory of yours alone (owner {found.st_uid}, mode "
            f"{stat.S_IMODE(found.st_mode):03o}); remove it, or set XDG_RUNTIME_DIR"
        )
    return path


def socket_path(name: str) -> Path:
    """The socket of a lab. Raises LabError for an invalid name."""
    if not _NAME.fullmatch(name):
        raise LabError(
            f"{name!r} is not a valid name for a lab: use at most 32 lower-case letters, digits "
            "and inner hyphens"
        )
    path = directory() / f"{name}{_SUFFIX}"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise LabError(f"{path} is too long for a socket; set XDG_RUNTIME_DIR to a shorter path")
    return path


def known_names() -> list[str]:
    """Names of all labs of this user that have a socket, whether they run or not."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in directory().glob(f"*{_SUFFIX}"))
