"""Files that a command makes: all of them whole, or none.

Rule: a link stays a link and a file keeps its mode; a device or a pipe is written to, and never
replaced.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

DEVICES: Final = "/dev/"
_NEW: Final = 0o666
"""The mode of a new file, less the process's mask."""


def write_whole(contents: Mapping[str, bytes]) -> None:
    """Write every file through a temporary one beside it: who reads an old one meanwhile gets it
    whole. Raises OSError with the name of the file; one that cannot be made changes none."""
    made: dict[str, str] = {}
    try:
        for path, data in contents.items():
            if is_stream(path):
                continue
            with _named(path):
                made[path] = _beside(path, data)
        for path, data in contents.items():
            with _named(path):
                if path in made:
                    os.replace(made[path], os.path.realpath(path))
                else:
                    _send(path, data)
    finally:
        for temporary in made.values():
            with suppress(FileNotFoundError):
                os.unlink(temporary)


def is_stream(path: str) -> bool:
    """Whether it is a device, a pipe or a name for one: what is written there is passed on."""
    if os.path.abspath(path).startswith(DEVICES):  # /dev/stdout may lead to a file
        return os.path.exists(path)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _beside(path: str, data: bytes) -> str:
    """A temporary file beside the one that it is to replace."""
    real = os.path.realpath(path)
    if os.path.isdir(real):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    mode = stat.S_IMODE(os.stat(real).st_mode) if os.path.exists(real) else _NEW & ~_mask()
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(real), prefix=".podfence-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, mode)
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _send(path: str, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb") as stream:
        stream.write(data)


def _mask() -> int:
    """The process's mask; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Puts the name of the file that was asked for into an OSError."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise
