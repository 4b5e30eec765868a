"""How much of its time the thread that enforces gives to what people want to know.

Rule: pure. Who may create policies can make one question cost much: thousands of rules are asked
for it. So a turn ends after some milliseconds, and one that took as long or longer is followed by a
rest in which nothing is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

TURN: Final = 0.005
"""Seconds after which a turn asks no more. One question is answered in whole."""
REST: Final = 10
"""How many times as long as a turn took is rested after it."""


class IdleBudget:
    """``timer`` gives seconds since any time. For one thread."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._began = -inf
        self._rested = -inf

    def begin(self) -> bool:
        """Begin a turn; whether there is one now."""
        self._began = self._timer()
        return self._began >= self._rested

    @property
    def is_over(self) -> bool:
        """Whether the turn that was begun has taken long enough."""
        return self._timer() >= self._began + TURN

    def end(self) -> None:
        """The turn is done."""
        now = self._timer()
        if now >= self._began + TURN:
            self._rested = now + REST * (now - self._began)
