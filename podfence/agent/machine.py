"""Figures of the machine for the agent's metrics: denied packets, tracked connections, and the
process.

Rule: reading changes nothing and waits for nobody. A figure that cannot be read is left out.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from podfence.errors import NftError
from podfence.kernel import netns
from podfence.kernel.nftables.counters import ChainCount, counted
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.nft.lowering.deny import Denier, denied_in

FRESH = 5.0
"""Seconds that counters are kept: reading them costs time for each rule."""
_CONNTRACK = "/proc/sys/net/netfilter/nf_conntrack_"
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


class Process(Struct, frozen=True):
    """Bytes, seconds of CPU, seconds since 1970, open files."""

    resident: int
    virtual: int
    cpu: float
    started: float
    files: int


class Machine(Struct, frozen=True):
    """``denied``: packets since the chains were written, by what denied them. ``conntrack``: how
    many connections the kernel tracks in the node's network, and how many it may; None where it
    does not say."""

    denied: Mapping[Denier, ChainCount]
    conntrack: tuple[int, int] | None
    process: Process | None


class Meter:
    """Reads the figures, in any thread. ``namespace_fd``: another network namespace than the
    process's."""

    def __init__(
        self,
        table: str,
        namespace_fd: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._namespace_fd = namespace_fd
        self._clock = clock
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._last: dict[str, ChainCount] = {}
        self._denied: dict[Denier, ChainCount] = {}

    def read(self) -> Machine:
        """How it is now; counters are at most ``FRESH`` seconds old."""
        with self._lock:
            if self._clock() - self._at >= FRESH:
                self._count()
            return Machine(dict(self._denied), self.conntrack(), _process())

    def _count(self) -> None:
        """The kernel's counters start again when their chain is written again or goes. What they
        had stays counted, except for what came after the last reading."""
        try:
            with NftSocket(self._namespace_fd) as opened:
                now = counted(opened, self._table)
        except NftError:
            return  # the next one will; numbers that stand still tell as much as none
        self._at = self._clock()
        for chain, found in now.items():
            denied = denied_in(chain)
            if denied is not None:
                more = found.since(self._last.get(chain, ChainCount()))
                self._denied[denied] = self._denied.get(denied, ChainCount()) + more
        self._last = now

    def conntrack(self) -> tuple[int, int] | None:
        """Connections that the kernel tracks, and how many it may; None where it does not say."""

        def numbers() -> tuple[int, int]:
            return _number(f"{_CONNTRACK}count"), _number(f"{_CONNTRACK}max")

        try:
            if self._namespace_fd is None:
                return numbers()
            return netns.run_inside(self._namespace_fd, numbers)
        except (OSError, ValueError):
            return None


def _number(path: str) -> int:
    return int(Path(path).read_text(encoding="ascii"))


def _process() -> Process | None:
    with suppress(OSError, ValueError, IndexError):
        # Behind the name, which may hold anything: fields 3 and on of proc(5).
        fields = Path("/proc/self/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        return Process(
            resident=int(fields[21]) * _PAGE,
            virtual=int(fields[20]),
            cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
            started=boot + int(fields[19]) / _TICKS,
            files=len(os.listdir("/proc/self/fd")),
        )
    return None
