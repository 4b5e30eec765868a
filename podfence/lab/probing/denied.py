"""Copies of packets that a node denied, kept until somebody asks. Process: an enforcer, one a node.

Rule: memory is bounded: the oldest copies give way, and are counted. Without a log, which some
kernels keep from those that are not root, nothing is told and everything else goes on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from podfence.errors import NftError
from podfence.kernel.nflog import Copy, LogListener

MOST = 4096
"""Copies."""
_POLL = 60.0


class Noted(Struct, frozen=True):
    """``copies``: each with the seconds since 1970. ``lost``: those that had to give way.
    ``fault``: why there are none."""

    copies: Sequence[tuple[float, Copy]] = ()
    lost: int = 0
    fault: str = ""


class DeniedLog:
    """Listens in the network namespace of the thread that makes it, on a thread of its own."""

    def __init__(self, group: int) -> None:
        self._lock = threading.Lock()
        self._copies: deque[tuple[float, Copy]] = deque()
        self._lost, self._fault = 0, ""
        try:
            listener = LogListener(group, at_once=True)
        except NftError as error:
            self._fault = error.message
            return
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()

    def take(self) -> Noted:
        """What came since the last time."""
        with self._lock:
            found = Noted(tuple(self._copies), self._lost, self._fault)
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
