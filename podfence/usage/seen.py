"""The state of a ledger at one moment -> the record of it. Pure.

Rule: nothing in it changes any more, so writing it out holds nobody up.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from podfence.model.meta import ObjectRef
from podfence.usage.kept import KeptPolicyUse
from podfence.usage.record import NodeUsage, PolicyUse, RuleUse


class UsageSnapshot(Struct, frozen=True):
    """Times are seconds since 1970. The rest is as in ``NodeUsage``."""

    since: float
    looked: float
    fault: str
    away: float
    looks: int
    cut: int
    missed: int
    uncounted: int
    policies: list[tuple[ObjectRef, KeptPolicyUse]]

    def rules(self, node: str, date: Callable[[float], str]) -> NodeUsage:
        """``date``: seconds since 1970 as RFC 3339 has them."""
        found = (
            PolicyUse(
                ref.kind,
                str(ref),
                entry.revision.uid,
                entry.revision.generation,
                date(entry.since),
                tuple(
                    RuleUse(path, use.uses, date(use.last) if use.last else "")
                    for path, use in entry.rules.items()
                ),
            )
            for ref, entry in sorted(self.policies, key=lambda each: each[0])
            if entry.rules
        )
        counts = int(self.away), self.looks, self.cut, self.missed, self.uncounted
        looked = date(self.looked) if self.fault else ""
        return NodeUsage(node, date(self.since), *counts, tuple(found), self.fault, looked)
