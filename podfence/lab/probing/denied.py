"""Copies of packets that a node denied, kept until they are fetched. Process: an enforcer, one for
each node.

Rule: memory is bounded: the oldest copies are dropped and counted. Some kernels give the log only
to root; without it no denials are reported, and everything else works.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from podfence.errors import NftError
from podfence.kernel.nflog import LoggedPacket, LogListener

MOST = 4096
"""Copies."""
_POLL = 60.0


class DenialBatch(Struct, frozen=True):
    """``copies``: each with its time in seconds since 1970. ``lost``: how many were dropped.
    ``fault``: why there are none."""

    copies: Sequence[tuple[float, LoggedPacket]] = ()
    lost: int = 0
    fault: str = ""


class DeniedLog:
    """Listens in the network namespace of the thread that makes it, on a thread of its own."""

    def __init__(self, group: int) -> None:
        self._lock = threading.Lock()
        self._copies: deque[tuple[float, LoggedPacket]] = deque()
        self._lost, self._fault = 0, ""
        try:
            listener = LogListener(group, at_once=True)
        except NftError as error:
            self._fault = error.message
            return
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def take(self) -> DenialBatch:
        """What came since the last time."""
        with self._lock:
            found = DenialBatch(tuple(self._copies), self._lost, self._fault)
            self._copies.clear()
            self._lost = 0
        return found

    def _listen(self, listener: LogListener) -> None:
        while True:
            try:
                came = listener.wait(_POLL)
            except NftError as error:
                with self._lock:
                    self._fault = error.message
                return
            now = time.time()
            with self._lock:
                self._copies.extend((now, copy) for copy in came.packets)
                self._lost += came.lost
                while len(self._copies) > MOST:
                    self._copies.popleft()
                    self._lost += 1
