"""What somebody probably meant by a word that is not known.

Rule: only wrong input pays: ``difflib`` is imported when a word has to be guessed.
"""

from __future__ import annotations

from collections.abc import Iterable


def similar(word: str, known: Iterable[str], count: int = 1, cutoff: float = 0.6) -> list[str]:
    """At most ``count`` of the known words that are like ``word``, the most similar first.
    ``cutoff``: how alike they have to be, from 0 to 1."""
    from difflib import get_close_matches

    return get_close_matches(word, list(known), count, cutoff)


def likeness(one: str, other: str) -> float:
    """How alike two words are, from 0 to 1."""
    from difflib import SequenceMatcher

    return SequenceMatcher(None, one, other).ratio()
