"""Which revision of each policy is in force on this node, and which pods it selects.

Rule: a revision counts from when the kernel holds what follows from it, until the kernel holds what
follows from another revision or from none. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.json import Decoder

from podfence.errors import UNREADABLE
from podfence.model.facts import Event, Gone, PolicyFacts, Put
from podfence.model.meta import ObjectRef, Revision, is_audited


class SelectedPods(Struct, frozen=True):
    """How many pods of this node a policy selects. ``closed``: those of them that are closed, since
    the kernel refuses their rules."""

    pods: int
    closed: int = 0


class _RevisionMetadata(Struct):
    uid: str = ""
    generation: int = 0
    annotations: dict[str, object] | None = None


class _RevisionObject(Struct):
    metadata: _RevisionMetadata


_object = Decoder(_RevisionObject)
_NONE = Revision("")


class Revisions:
    """The thread that enforces calls ``arrived``; any thread may call ``of``."""

    def __init__(self) -> None:
        self._held: dict[ObjectRef, Revision] = {}

    def arrived(self, events: Iterable[Event]) -> None:
        """The kernel holds all that follows from these."""
        for event in events:
            match event:
                case Put(PolicyFacts(kind, namespace, name, document)):
                    self._held[ObjectRef(kind, namespace, name)] = revision_of(document)
                case Gone(kind, namespace, name):
                    self._held.pop(ObjectRef(kind, namespace, name), None)

    @property
    def all(self) -> Mapping[ObjectRef, Revision]:
        """Those in force, for the thread that enforces."""
        return self._held

    def of(self, policy: ObjectRef) -> Revision | None:
        """The one in force; None where there is none."""
        return self._held.get(policy)


def revision_of(document: bytes) -> Revision:
    """That of an object as the API sends it."""
    try:
        metadata = _object.decode(document).metadata
    except UNREADABLE:
        return _NONE
    return Revision(metadata.uid, metadata.generation, is_audited(metadata.annotations))
