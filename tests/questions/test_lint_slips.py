"""Slips of the pen in a tree that has no mistake: those that turn a verdict are errors."""

from __future__ import annotations

import pytest

from podfence.errors import Severity
from tests.support.slips import PATTERNS, PORT_NUMBER, slips


@pytest.mark.law
def test_nine_of_ten_slips_that_turn_a_verdict_are_errors() -> None:
    """Nobody knows which port of somebody else's machine was meant; of all others one may."""
    turned = [slip for slip in slips(100) if slip.changes_the_map]
    caught = [slip for slip in turned if slip.said is Severity.ERROR]
    assert len(turned) > 50
    assert len(caught) > 0.9 * len(turned)


@pytest.mark.law
def test_no_misspelt_word_that_turns_a_verdict_is_missed() -> None:
    words = [kind for kind in PATTERNS if kind != PORT_NUMBER]
    turned = [slip for slip in slips(120, seed=2, kinds=words) if slip.changes_the_map]
    assert len(turned) > 50
    assert [slip for slip in turned if slip.said is not Severity.ERROR] == []
