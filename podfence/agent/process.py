"""One process of an agent or a mirror: its threads and what ends it, its memory, its lock.

Rule: there is no half process. A thread that dies or ends too early ends all of them, as SIGTERM
and SIGINT do.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from podfence.errors import HostError
from podfence.text import printable

HAND_OVER = 0.0005
"""Seconds after which a thread that computes gives way to one that has something to do. With
Python's own 5 ms an event waits that long wherever it is handed over: read, told, enforced."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Threads:
    """``stopped`` is set when the process is to end; every thread looks at it."""

    def __init__(self) -> None:
        sys.setswitchinterval(HAND_OVER)
        self.stopped = threading.Event()
        self._ends: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()

    def start(self, name: str, function: Callable[[], None]) -> threading.Thread:
        """A thread that runs until the process ends."""

        def guarded() -> None:
            try:
                function()
                if not self.stopped.is_set():
                    raise RuntimeError(f"the thread {name} ended")
            except BaseException as error:  # noqa: BLE001 - it ends the process, and is told
                self._ends.put(error)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def take_signals(self) -> None:
        """From now on SIGTERM and SIGINT end the process in order."""
        for number in _SIGNALS:
            # put() may interrupt itself: it is made for this.
            signal.signal(number, lambda found, _: self._ends.put(found))

    def end(self) -> int | BaseException:
        """Wait for the end: the number of a signal, or what a thread died of."""
        found = self._ends.get()
        self.stopped.set()
        return found


# -- Memory that was freed, given back to the node
# Rule: what the C library keeps of freed blocks is nobody's gain. A first list, a large write or an
# answer to many leaves holes between blocks that stay, in a heap of each thread, and the library
# gives back only what is free at a heap's end: 49 MiB of 150 after the first list of 100,000 pods.


HEAP_PAUSE: Final = 10.0
"""Seconds between two times: giving back takes a millisecond at 100,000 pods."""
_LIBC: Final = ctypes.CDLL(None)
_trim: Final = getattr(_LIBC, "malloc_trim", None)
"""glibc has it; other C libraries give back by themselves."""


def give_back() -> None:
    """Give whole free pages of all heaps back to the system."""
    if _trim is not None:
        _trim(0)


def keep_giving_back(stopped: threading.Event) -> None:
    """Again and again, until ``stopped``."""
    while not stopped.wait(HEAP_PAUSE):
        give_back()


# -- One agent a network namespace: a lock that ends with the process that holds it
# Rule: the lock is named after the network namespace, so that nodes that share a file system (a
# lab) do not meet. The file stays when the lock ends.


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
