"""Objects beside policies and pods: ways in from outside, and policies of other APIs.

Rule: no verdict depends on them. An object that cannot be read is a warning with its position, and
the rest is kept. Without such objects, nothing is read or imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import Struct

from podfence.admission.kinds import group_of, is_policy_elsewhere
from podfence.admission.schema import Json
from podfence.errors import Problem, Source
from podfence.intake.documents import Document
from podfence.model.cluster import Cluster

if TYPE_CHECKING:
    from podfence.model.entries import Entries
    from podfence.model.objects import ForeignPolicy

BESIDE_CODES = {"PF122": "an object beside the policies that cannot be read"}


class SurroundingObjects(Struct, frozen=True, dict=True):
    """The objects beside, read on first use. ``counted``: policies of other APIs of which only the
    number is known."""

    documents: tuple[Document, ...] = ()
    counted: Mapping[str, int] = {}

    @cached_property
    def _read(self) -> tuple[Entries, tuple[Problem, ...]]:
        from podfence.intake.entries import entries_of

        return entries_of(self.documents)

    @property
    def kinds(self) -> Counter[str]:
        """How many objects of each kind were read, without policies of other APIs."""
        found: Counter[str] = Counter()
        for document in self.documents:
            kind, version = str(document.data["kind"]), str(document.data.get("apiVersion", ""))
            if not is_policy_elsewhere(kind, group_of(version)):
                found[kind] += 1
        return found

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Problems of these objects."""
        return self._read[1] if self.documents else ()

    @property
    def has_policies(self) -> bool:
        """Whether there may be policies of other APIs."""
        return bool(self.documents or self.counted)

    @cached_property
    def foreign(self) -> tuple[ForeignPolicy, ...]:
        """The policies of other APIs."""
        if not self.has_policies:
            return ()
        from podfence.intake.entries import foreign_of

        return foreign_of(self.documents, self.counted)

    @property
    def routes(self) -> Entries:
        """The entries that a controller serves, and the Services that the API server calls."""
        return self._read[0]

    def entries(self, cluster: Cluster, raw: Callable[[Source | None], Json | None]) -> Entries:
        """All entries, with those of Services and of ports of nodes. ``raw``: returns an object as
        it was written, None if that is unknown."""
        from podfence.intake.entries import with_services

        return with_services(self.routes, cluster, raw)


NOTHING_BESIDE = SurroundingObjects()
