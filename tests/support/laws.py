"""Laws: what has to hold for every case that Hypothesis can draw.

Rule: a law is tried on numbered cases first, as a plain loop. A mistake is seen there within
seconds, with the number of its case; Hypothesis would shrink it for minutes before it says a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
Law = Callable[[T], None]


def law(
    strategy: SearchStrategy[T], numbered: Callable[[], Iterable[T]]
) -> Callable[[Law[T]], Callable[[], None]]:
    """A test of what it decorates, first on the ``numbered`` cases and then on drawn ones."""

    def decorate(check: Law[T]) -> Callable[[], None]:
        drawn = given(strategy)(check)

        def test() -> None:
            for number, case in enumerate(numbered()):
                try:
                    check(case)
                except AssertionError as error:
                    error.add_note(f"in numbered case {number}")
                    raise
            drawn()

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return pytest.mark.hypothesis(test)

    return decorate
