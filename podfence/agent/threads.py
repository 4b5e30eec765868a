"""The threads of one process, and what ends it.

Rule: there is no half process. A thread that dies or ends too early ends all of them, as SIGTERM
and SIGINT do.
"""

from __future__ import annotations

import queue
import signal
import sys
import threading
from collections.abc import Callable

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
