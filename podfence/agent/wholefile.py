"""Files that outlive the agent: beside its lock, or on the disk.

Rule: a file is written whole or not at all, also when the machine loses its power. Only the user
that runs the agent may read it. It is read as if anybody had written it.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from podfence.errors import HostError
from podfence.text import printable


def write_whole(path: Path, data: bytes) -> None:
    """Raises OSError; then the file is as it was, and nothing new takes room."""
    new = _new(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        # What lies there may be a pipe that nobody reads, or another name of a file elsewhere.
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a name may reach the disk before what it stands for
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise


def read_whole(path: Path, largest: int) -> bytes | None:
    """None: it has more bytes than ``largest``. Raises OSError; also for what is no file, which
    might never end."""
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        data = file.read(largest + 1)
    return data if len(data) <= largest else None


def delete_whole(path: Path) -> None:
    """With what a write that was cut short has left. Raises HostError."""
    for each in (path, _new(path)):
        try:
            each.unlink(missing_ok=True)
        except OSError as error:
            raise HostError(f"{printable(str(each))}: {error.strerror}") from error


def _new(path: Path) -> Path:
    return path.with_suffix(".new")
