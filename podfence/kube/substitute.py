"""The protocol of a source that tells of a part of a kind instead of the API server.

Rule: it uses the API server's own versions, so that the two can take turns at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from podfence.kube.follow import Follow, Listing, ObjectChange, Watching

T = TypeVar("T")


class Substitute(Protocol[T]):
    """The thread that follows the part uses it; any thread may call ``interrupt``."""

    longest: int
    """Seconds that a watch at the API server may last before the substitute is asked again."""

    def is_asked(self) -> bool:
        """Whether it is asked now, and not the API server."""

    def run(
        self,
        action: Listing | Watching,
        follow: Follow[T],
        tell: Callable[[Sequence[ObjectChange[T]], float], None],
    ) -> None:
        """Do it, to its end. ``tell``: what changed, and when the API server was last heard of, in
        seconds of the monotonic clock. Whatever is wrong is told to ``follow``."""

    def interrupt(self) -> None:
        """End what ``run`` waits for."""
