"""Creates or replaces files for the user: all of them completely, or none.

Rule: a reader gets the old file or the new one, never a part. When anything fails, every file is as
it was. A link stays a link, and the file behind it is written. A file keeps its mode and, where
this user may give it away, its owner. A read-only file stays as it is. A device or a pipe is
written to and never replaced. New bytes reach the disk before a name stands for them.

An agent's own files, which only it may read, are written by ``agent.keptfiles``.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

_DESCRIPTOR: Final = re.compile(r"/dev/(std(in|out|err)|fd/\d+)|/proc/(self|\d+)/fd/\d+")
"""Names of open files of a process, which may be regular files. Other names below /dev, such as
those of /dev/shm, are not special."""
_NEW: Final = 0o666
"""The mode of a new file, less the process's mask."""
_MAY_WRITE: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""Errors of a file system without hard links, or of a kernel that refuses one."""


class ReadOnlyFile(PermissionError):
    """A file that is write-protected, for everyone or for this user. ``mode``: its permissions."""

    def __init__(self, path: str, mode: int) -> None:
        super().__init__(errno.EACCES, "the file is read-only", path)
        self.mode = mode


def replace_whole(contents: Mapping[str, bytes], confirm: Callable[[], None] | None = None) -> None:
    """Write files, some of which may be there already.

    ``confirm`` is called when all are ready and none is replaced; what it raises changes nothing.
    Raises OSError with the name of the file, and ReadOnlyFile; then every file is as it was.
    """
    with ExitStack() as stack:
        made = {
            path: stack.enter_context(_beside(path, data, os.path.realpath(path)))
            for path, data in contents.items()
            if not is_stream(path)
        }
        olds = {path: stack.enter_context(_second_name(path, made[path])) for path in made}
        if confirm is not None:
            confirm()
        done: list[str] = []
        try:
            for path, temporary in made.items():
                with _named(path):
                    os.replace(temporary, os.path.realpath(path))
                done.append(path)
            for path in contents.keys() - made.keys():
                with _named(path):
                    _send(path, contents[path])
        except BaseException:
            for path in done:
                _put_back(os.path.realpath(path), olds[path])
            raise


def create_whole(contents: Mapping[str, bytes], folder: str | None = None) -> None:
    """Write files that are not there yet. ``folder`` is made, with those above it, where it is
    missing.

    Raises OSError with the name of the file, FileExistsError for one that is there, be it a link to
    nothing; then no file and no folder is new.
    """
    folders: list[str] = []
    done: list[str] = []
    with ExitStack() as stack:
        try:
            for path in filter(os.path.lexists, contents):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            if folder is not None:
                _make_folders(os.path.abspath(folder), folders)
            made = {
                path: stack.enter_context(_beside(path, data, path))
                for path, data in contents.items()
            }
            for path, temporary in made.items():
                with _named(path):
                    _give_name(temporary, path)
                done.append(path)
        except BaseException:
            stack.close()
            for path in done:
                os.unlink(path)
            for folder in reversed(folders):
                with suppress(OSError):  # somebody else has put something there
                    os.rmdir(folder)
            raise


def is_stream(path: str) -> bool:
    """Whether it is a device, a pipe or a name for one: what is written there is passed on."""
    if _DESCRIPTOR.fullmatch(os.path.abspath(path)):
        return os.path.exists(path)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def require_writable(paths: Iterable[str]) -> None:
    """A new file in the place of an old one needs the right to the folder alone, so the file itself
    is asked: by its mode, which holds for root too, and by the right of this user. Raises
    ReadOnlyFile, and OSError for a file that is not there."""
    for path in paths:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if not (mode & _MAY_WRITE and os.access(path, os.W_OK)):
            raise ReadOnlyFile(path, mode)


def _require_own(real: str, owner: int) -> None:
    """In a folder such as /tmp only its owner takes a file away, so that it cannot be replaced, nor
    a second name of it be taken away again. Raises PermissionError."""
    folder = os.stat(os.path.dirname(real) or ".")
    if folder.st_mode & stat.S_ISVTX and os.geteuid() not in (0, owner, folder.st_uid):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@contextmanager
def _beside(path: str, data: bytes, real: str) -> Iterator[str]:
    """A temporary file in the folder of the one that it is to become, ``real``."""
    with _named(path):
        temporary = _written_beside(real, data)
    try:
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _written_beside(real: str, data: bytes) -> str:
    if os.path.isdir(real):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    old = os.stat(real) if os.path.exists(real) else None
    if old is not None:
        require_writable([real])
        _require_own(real, old.st_uid)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(real) or ".", prefix=".podfence-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if old is not None:
            with suppress(OSError):  # only root may give a file away
                os.chown(temporary, old.st_uid, old.st_gid)
        os.chmod(temporary, _NEW & ~_mask() if old is None else stat.S_IMODE(old.st_mode))
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


@contextmanager
def _second_name(path: str, temporary: str) -> Iterator[str | None]:
    """The old file under a second name, from which it can be put back; None: there is none."""
    real, kept = os.path.realpath(path), f"{temporary}.old"
    if not os.path.exists(real):
        yield None
        return
    with _named(path):
        try:
            os.link(real, kept)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with open(real, "rb") as file:
                os.rename(_written_beside(real, file.read()), kept)
    try:
        yield kept
    finally:
        with suppress(FileNotFoundError):
            os.unlink(kept)


def _put_back(real: str, kept: str | None) -> None:
    if kept is None:
        os.unlink(real)
    else:
        os.replace(kept, real)


def _give_name(temporary: str, path: str) -> None:
    """Like a rename that never takes the place of a file."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        os.rename(temporary, path)


def _make_folders(folder: str, made: list[str]) -> None:
    """``made`` gets those that were not there, outer ones first."""
    missing: list[str] = []
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for each in reversed(missing):
        os.mkdir(each)
        made.append(each)


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
