"""Policies of other APIs: nothing of them is judged, but it is known whom they may touch.

Rule: whom a policy may touch is never taken too small. A selector that is not understood means all
pods of the namespace, or of the cluster.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.errors import Source
from podfence.model.selectors import LabelSelector


class ForeignPolicy(Struct, frozen=True):
    """One policy of another API, or ``number`` of them of which no more than the kind is known."""

    kind: str
    """``CiliumNetworkPolicy.cilium.io``."""
    namespace: str | None = None
    """None: it may touch pods of every namespace."""
    name: str = ""
    selectors: tuple[LabelSelector, ...] = (LabelSelector(),)
    """It may touch pods that one of them matches; empty: none."""
    number: int = 1
    """-1: that cannot be told."""
    source: Source | None = None

    @property
    def short_kind(self) -> str:
        """``CiliumNetworkPolicy``."""
        return self.kind.partition(".")[0]

    def __str__(self) -> str:
        if not self.name:
            return f"{self.short_kind} ({'an unknown number' if self.number < 0 else self.number})"
        space = "" if self.namespace is None else f"{self.namespace}/"
        return f"{self.short_kind} {space}{self.name}"
