"""Identity and labels of API objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

Labels = tuple[tuple[str, str], ...]
"""Labels as pairs sorted by key: hashable, so that equal label sets share one value."""

METADATA_NAME_LABEL = "kubernetes.io/metadata.name"
"""Label that every namespace carries with its own name as the value (NP-21)."""

MODE_ANNOTATION = "podfence.io/mode"
"""Annotation of a policy that says whether it is enforced (AUD-1)."""
AUDIT, ENFORCE = "audit", "enforce"
"""Its values; whatever else it says, the policy is enforced."""

IGNORE_ANNOTATION = "podfence.io/ignore"
"""Annotation of an object that says which findings about it are meant."""

DEFAULT_NAMESPACE = "default"
"""Namespace of objects and names that are given without one."""


def labels_of(mapping: Mapping[str, str] | None) -> Labels:
    """Sorted label pairs of a JSON map; ``None`` and ``{}`` mean no labels."""
    return tuple(sorted(mapping.items())) if mapping else ()


class ObjectRef(Struct, frozen=True, order=True, cache_hash=True):
    """Names one API object. ``namespace`` is ``""`` for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class Revision(Struct, frozen=True):
    """``uid``: of the object, another one when it was deleted and made again. ``generation``: as
    the API server counts changes of its ``spec``; 0 where it does not. ``audited``: as AUD-1 has
    it, of a policy; that is an annotation, of which no generation tells."""

    uid: str
    generation: int = 0
    audited: bool = False

    def covers(self, wanted: Revision) -> bool:
        """Whether this is a revision, or a later one of the same object, and as much enforced."""
        same = self.uid == wanted.uid and self.audited == wanted.audited
        return same and self.generation >= wanted.generation


def is_audited(annotations: object) -> bool:
    """Whether a policy with these annotations, as JSON has them, is only audited (AUD-1). With an
    unknown value, or one that is not text, the policy is enforced."""
    return isinstance(annotations, Mapping) and annotations.get(MODE_ANNOTATION) == AUDIT


# -- Numbers that others have counted
# Rule: they come from nodes that may be hostile, and are added, compared and printed: what no
# counter can hold is refused where it is decoded, so that the fault is that of the node which tells
# it.


Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""How many; a serial, a generation, an epoch. msgspec checks it in what it decodes."""
