"""What every source of objects hands over: documents, and what it could not read.

Rule: a source decides nothing about meaning. It may be files or a live cluster.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from podfence.errors import Source


class Document(Struct, frozen=True):
    """One API object. ``data`` holds JSON values, parts of which may be shared: read only."""

    source: Source
    data: dict[str, Any]


class Unreadable(Struct, frozen=True):
    """A document, an item of a List, or a whole file that could not be read.

    ``kind`` and ``namespace`` are guesses from the text, ``""`` where there is none. A kind of
    ``""`` or ``List`` may hide any object; a namespace of ``""`` may be any namespace.
    ``addresses``: those that stand in the text, None where the text is not known. ``listed_in``: of
    a kind that could not be listed, the namespaces in which it could; None for an object.
    """

    source: Source
    kind: str
    namespace: str
    addresses: tuple[str, ...] | None = ()
    listed_in: frozenset[str] | None = None
