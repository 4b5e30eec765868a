"""Several who ask the API server whether an agent may ask, so that its answers are not waited for
one after the other: agents that lost a mirror come to the next one all at once.
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
