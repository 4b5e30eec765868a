"""Documents decoded by an earlier reading: an object that did not change is decoded once.

Rule: only what has no problem is kept, so that every problem has the position where it was read.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from podfence.admission.decode import Decoded
from podfence.intake.documents import Document


class DecodedDocuments(Struct):
    """Two versions of one input share one; both have to be read with the same settings.

    ``values``: the value of a document by its text.
    """

    values: dict[str, Any] = field(default_factory=dict)
    _decoded: dict[int, tuple[Any, Decoded]] = field(default_factory=dict)

    def decoded(self, document: Document) -> Decoded | None:
        """What an object with the very same value was decoded to, as if it were read from here."""
        known = self._decoded.get(id(document.content))
        if known is None:
            return None
        things = known[1].objects
        return Decoded(tuple([replace(thing, source=document.source) for thing in things]))

    def keep(self, document: Document, decoded: Decoded) -> None:
        """Keep what an object was decoded to, if there is nothing to say of it."""
        if not decoded.problems:
            self._decoded[id(document.content)] = document.content, decoded
