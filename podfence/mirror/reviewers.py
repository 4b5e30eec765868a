"""Several threads ask the API server whether an agent may ask.

Rule: a token is always asked about by the same one, which remembers the answer. Agents that lost a
mirror come to the next one all at once, and must not wait for one answer after the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

from podfence.agent.reviews import Reviewer, ReviewOutcome, Wish


class Authorizer(Protocol):
    """Who says whether somebody may ask (``Reviewer``, ``Reviewers``)."""

    def review(self, token: str, wish: Wish) -> ReviewOutcome:
        """Whether whom a token belongs to may read this; may wait."""


class Reviewers:
    """For any thread. What is remembered of a token is with one of them."""

    def __init__(self, reviewers: Sequence[Reviewer]) -> None:
        self._reviewers = reviewers

    def review(self, token: str, wish: Wish) -> ReviewOutcome:
        """As ``Reviewer.review``."""
        number = zlib.crc32(token.encode("utf-8", "replace")) % len(self._reviewers)
        return self._reviewers[number].review(token, wish)
