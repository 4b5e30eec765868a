"""What findings depend on besides the policies and pods of an index.

Rule: what is not known is empty, and the findings that need it are silent.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.model.entries import Controllers, Entries
from podfence.questions.unjudged import UNTOUCHED, Touched


class Surroundings(Struct, frozen=True):
    """``touched``: pods that policies of other APIs may touch; ``entries``: ways in from outside,
    with who serves them."""

    touched: Touched = UNTOUCHED
    entries: Entries = Entries()
    controllers: Controllers = Controllers()


NOWHERE = Surroundings()
