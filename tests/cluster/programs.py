"""The first process of a PID namespace: starts programs, and ends when one of them does.

Rule: a program writes to a log of its own. What ends without having been started here is an orphan
of a program, and is reaped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

LAST_WORDS = 2000


class Ended(RuntimeError):
    """A program ended that has to run, or did not become ready; its last words."""


class Programs:
    """The programs of a namespace. ``folder``: where their logs go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[int, str] = {}
        self._kept: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: Sequence[str | Path]) -> int:
        """Starts one; its process id. Raises OSError."""
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        # Kept, so that nobody but this class waits for it.
        self._kept.append(process)
        self._names[process.pid] = name
        return process.pid

    def wait_until(self, what: str, is_so: Callable[[], bool], seconds: float) -> None:
        """Waits for something that the programs bring about. Raises Ended."""
        until = time.monotonic() + seconds
        while not is_so():
            self._reap(os.WNOHANG)
            if time.monotonic() > until:
                logs = "\n".join(self._last_words(name) for name in self._names.values())
                raise Ended(f"{what}: not within {seconds:g} s\n{logs}")
            time.sleep(0.1)

    def run(self) -> None:
        """Reaps until a program ends. Raises Ended."""
        while True:
            self._reap(0)

    def _reap(self, options: int) -> None:
        while True:
            pid, status = os.waitpid(-1, options)
            if pid in self._names:
                name = self._names[pid]
                code = os.waitstatus_to_exitcode(status)
                raise Ended(f"{name} ended with {code}\n{self._last_words(name)}")
            if pid == 0 or options == 0:
                return

    def _last_words(self, name: str) -> str:
        log = (self._folder / f"{name}.log").read_text(errors="replace")
        return f"--- {name}\n{log[-LAST_WORDS:]}"
