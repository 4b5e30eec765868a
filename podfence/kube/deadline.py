"""How long an exchange with a server that is not trusted may take.

Rule: a server that sends a byte now and then is never silent, in headers, trailers and chunk sizes
as well as in a body. So the connection is cut from outside, and the reader then checks the reason.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from types import TracebackType


class Deadline:
    """A context manager around one exchange; it runs from ``begin``.

    ``longest``: seconds; 0: no bound, and nothing is done. ``cut``: ends what another thread reads.
    """

    def __init__(self, longest: float, cut: Callable[[], None]) -> None:
        self._longest = longest
        self._cut = cut
        self._timer: threading.Timer | None = None
        self.is_over = False
        """Whether the exchange took too long."""

    def __enter__(self) -> None:
        self.is_over = False

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def begin(self) -> None:
        """There is a connection that can be cut. A second request begins again."""
        self.stop()
        if self._longest:
            self._timer = threading.Timer(self._longest, self._end)
            self._timer.daemon = True
            self._timer.start()

    def check(self) -> None:
        """Raises HTTPException where the exchange took too long."""
        if self.is_over:
            raise self.error

    @property
    def error(self) -> http.client.HTTPException:
        """What to say of an exchange that took too long."""
        return http.client.HTTPException(f"its answer takes more than {self._longest:g} s")

    def stop(self) -> None:
        """What follows is not the server's time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self) -> None:
        self.is_over = True
        self._cut()
