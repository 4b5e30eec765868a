"""Counts of rules on one node, as they outlive the agent. Pure values.

Rule: a file may come from a life with another clock, or be broken. A file with impossible values is
refused as a whole.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from podfence.model.meta import ObjectRef, Revision


class KeptRuleUse(Struct, frozen=True, gc=False):
    """The use of one rule. ``last``: seconds since 1970; 0: never."""

    uses: Annotated[int, Meta(ge=0, le=1 << 62)] = 0
    last: float = 0.0


class KeptPolicyUse(Struct):
    """The use of one policy. ``since``: seconds since 1970. ``rules``: by path, those that apply
    here or did."""

    revision: Revision
    since: float
    rules: dict[str, KeptRuleUse] = field(default_factory=dict)


class Kept(Struct):
    """``since``: from when on it was counted; ``looked``: when connections were last looked at;
    ``away``: seconds between these in which nobody looked."""

    since: float
    looked: float
    away: float = 0.0
    policies: list[tuple[ObjectRef, KeptPolicyUse]] = field(default_factory=list)

    def can_be(self, now: float) -> bool:
        """Whether all times are of the past, in their order."""
        return (
            0 < self.since <= self.looked <= now
            and 0 <= self.away <= now
            and all(
                0 < entry.since <= now and all(0 <= use.last <= now for use in entry.rules.values())
                for _, entry in self.policies
            )
        )
