"""One agent a network namespace: a lock that ends with the process that holds it.

Rule: the lock is named after the network namespace, so that nodes that share a file system (a lab)
do not meet. The file stays when the lock ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from podfence.errors import HostError
from podfence.text import printable


@contextmanager
def only_agent(folder: Path, namespace: int) -> Iterator[None]:
    """Hold the lock of a network namespace (its inode). Raises HostError where another has it."""
    path = folder / f"agent-{namespace}.lock"
    shown = printable(str(path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(f"{shown}: {error.strerror}; name another folder with --run-dir") from error
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(opened, 32, 0).decode("ascii", "replace").strip()
            raise HostError(
                f"an agent runs on this node already (process {printable(holder)}, lock {shown})"
            ) from None
        os.truncate(opened, 0)
        os.pwrite(opened, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(opened)
