"""Where labs that are up are found: one socket for each, in a directory that is its user's alone.

Rule: whoever can write into the directory could pretend to be a lab, so it is used only when it
belongs to the user and nobody else may enter it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from podfence.errors import LabError

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
    base = next(c for c in candidates if c == "/tmp" or (c and os.access(c, os.W_OK)))  # noqa: S108
    path = Path(base, f"podfence-{user}")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise LabError(f"no place for the lab's socket: {path}: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
        raise LabError(
            f"{path} is not a directory of yours alone (owner {found.st_uid}, mode "
            f"{stat.S_IMODE(found.st_mode):03o}); remove it, or set XDG_RUNTIME_DIR"
        )
    return path


def socket_path(name: str) -> Path:
    """The socket of a lab. Raises LabError for what is no name."""
    if not _NAME.fullmatch(name):
        raise LabError(
            f"{name!r} is no name for a lab; at most 32 lower case letters, digits, inner hyphens"
        )
    path = directory() / f"{name}{_SUFFIX}"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise LabError(f"{path} is too long for a socket; set XDG_RUNTIME_DIR to a shorter path")
    return path


def known_names() -> list[str]:
    """Names of all labs of this user that have a socket, whether they still run or not."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in directory().glob(f"*{_SUFFIX}"))
