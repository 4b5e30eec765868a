"""Several threads ask the API server whether agents are authorised.

Rule: a token is always reviewed by the same thread, which caches the answer. Agents that lose a
mirror connect to the next one all at the same time, so reviews must run in parallel.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

from podfence.agent.reviews import ResourceAttributes, Reviewer, ReviewOutcome


class Authorizer(Protocol):
    """Decides whether a client is authorised (``Reviewer``, ``Reviewers``)."""

    def review(self, token: str, wish: ResourceAttributes) -> ReviewOutcome:
        """Whether the owner of a token may read this; may block."""


class Reviewers:
    """For any thread. The cached answer about a token is with one reviewer."""

    def __init__(self, reviewers: Sequence[Reviewer]) -> None:
        self._reviewers = reviewers

    def review(self, token: str, wish: ResourceAttributes) -> ReviewOutcome:
        """As ``Reviewer.review``."""
        number = zlib.crc32(token.encode("utf-8", "replace")) % len(self._reviewers)
        return self._reviewers[number].review(token, wish)
