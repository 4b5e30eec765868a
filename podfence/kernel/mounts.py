"""Files that one process, and all that it starts, see with other contents.

Rule: nobody else sees a difference: the files are covered in a mount namespace of its own.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Mapping

from podfence.errors import HostError

CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
_LIBC = ctypes.CDLL(None, use_errno=True)


def cover(contents: Mapping[str, str]) -> None:
    """Give files of this machine other contents for the calling process, for good. A file that does
    not exist stays absent. Raises HostError when the kernel forbids it.
    """
    try:
        _check(_LIBC.unshare(CLONE_NEWNS), "unshare")
        _mount("none", "/", MS_REC | MS_SLAVE)
        for target, text in contents.items():
            if os.path.exists(target):
                _cover(target, text)
    except OSError as error:
        raise HostError(f"no files of its own for this process: {error.strerror}") from error


def _cover(target: str, text: str) -> None:
    descriptor, path = tempfile.mkstemp(prefix="podfence-")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o644)
        _mount(path, os.path.realpath(target), MS_BIND)
    finally:
        os.unlink(path)  # the mount keeps it


def _mount(source: str, target: str, flags: int) -> None:
    result = _LIBC.mount(os.fsencode(source), os.fsencode(target), None, flags, None)
    _check(result, f"mount {target}")


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
