"""fork(2) for processes that never return into their parent's code. Process: any that forks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from typing import NoReturn


def _fork() -> int:
    """fork(2), for a child that never returns into its parent's code.

    The child may use only what its module imports.
    """
    with warnings.catch_warnings():
        # Newer interpreters warn when other threads exist, for one of them might hold a lock. The
        # child uses no lock of theirs: it opens its own files and sockets, and ends with _exit.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def fork_with_pipe(child: Callable[[Connection, int], NoReturn]) -> tuple[int, Connection]:
    """Start a process that talks with this one; returns its number and our end of the pipe.

    ``child`` gets the other end and this process's number, for :func:`netns.die_with_parent`.
    """
    ours, theirs = Pipe()
    parent = os.getpid()
    process = _fork()
    if process == 0:
        ours.close()
        child(theirs, parent)
    theirs.close()
    return process, ours
