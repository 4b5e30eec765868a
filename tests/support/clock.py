"""A clock that goes on only where a test or a sleep says so."""

from __future__ import annotations


class Clock:
    """``now``: seconds. A sleep takes ``stretch`` times what was asked for."""

    def __init__(self, now: float = 0.0, stretch: float = 1.0) -> None:
        self.now = now
        self._stretch = stretch

    def __call__(self) -> float:
        """The time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass, at once."""
        self.now += self._stretch * seconds
