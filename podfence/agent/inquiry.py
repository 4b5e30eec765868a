"""A question that only the thread that enforces can answer, asked by another thread.

Rule: the thread that asks waits for a while and no longer. The thread that enforces never waits.
"""

from __future__ import annotations

import threading

from podfence.agent.revisions import Selected
from podfence.model.meta import ObjectRef


class Inquiry:
    """Whom a policy selects here."""

    def __init__(self, policy: ObjectRef) -> None:
        self.policy = policy
        self._answered = threading.Event()
        self._answer: Selected | None = None

    def answer(self, found: Selected) -> None:
        """For the thread that enforces."""
        self._answer = found
        self._answered.set()

    def wait(self, seconds: float) -> Selected | None:
        """The answer; None where there is none within the time."""
        self._answered.wait(seconds)
        return self._answer
