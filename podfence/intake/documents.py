"""The output of every source of objects: documents, and what could not be read.

Rule: a source decides nothing about meaning. It may be files or a live cluster.
"""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field
from msgspec.json import Decoder
from msgspec.structs import replace

from podfence.admission.decode import Decoded
from podfence.errors import Source

_DECODER = Decoder()


class Document(Struct, frozen=True):
    """One API object."""

    source: Source
    content: dict[str, Any] | Raw
    """Its value, or valid JSON text. The values of a large input take four times the memory of its
    text, and each is needed only briefly."""

    @property
    def data(self) -> dict[str, Any]:
        """The object as JSON values, parts of which may be shared: read only. A text is decoded at
        each call, so call once."""
        if isinstance(self.content, Raw):
            value: dict[str, Any] = _DECODER.decode(self.content)
            return value
        return self.content

    def may_hold(self, name: str) -> bool:
        """Whether a field may have this name, of ASCII letters; False is certain. Rare fields are
        looked for in all objects, and searching a text is cheaper than decoding it."""
        if not isinstance(self.content, Raw):
            return True
        text = bytes(self.content)
        return name.encode() in text or b"\\" in text  # an escape may be any letter


class Unreadable(Struct, frozen=True):
    """A document, an item of a List, or a whole file that could not be read.

    ``kind`` and ``namespace`` are guesses from the text, ``""`` for none. A kind of ``""`` or
    ``List`` may hide any object; a namespace of ``""`` may be any namespace. ``addresses``: those
    in the text, None if the text is unknown. ``listed_in``: of a kind that could not be listed, the
    namespaces in which it could; None for an object.
    """

    source: Source
    kind: str
    namespace: str
    addresses: tuple[str, ...] | None = ()
    listed_in: frozenset[str] | None = None


# -- Documents decoded by an earlier reading: an object that did not change is decoded once
# Rule: only what has no problem is kept, so that every problem has the position where it was read.


class DecodedDocuments(Struct):
    """Documents that were decoded, shared by two versions of one input. Both are to be read with
    the same settings.

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
