"""Counts of rules on one node, as they outlive the agent. Pure values.

Rule: a file may come from a life with another clock, or be broken. A file with impossible values is
refused as a whole.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from podfence.errors import UNREADABLE
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


class KeptUsage(Struct):
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


# -- Counts of rules on one node, as bytes that outlive the machine's run. Pure
# Rule: the bytes are read as if anybody had written them, and they name their node: a disk may be
# copied to another node, and an agent of another version may have written them.


VERSION: Final = 1
"""Of the form. A change of a field's meaning increases it: then all counts restart."""


class _SavedHead(Struct):
    version: Annotated[int, Meta(ge=0, le=1 << 31)]


class _Saved(_SavedHead):
    version: Literal[1]
    node: str
    kept: KeptUsage


def saved(node: str, kept: KeptUsage) -> bytes:
    """The bytes of a file."""
    return msgspec.json.encode(_Saved(VERSION, node, kept))


def restored(data: bytes, node: str) -> KeptUsage:
    """What was saved of this node. Raises ValueError, which says in printable words why nothing
    of it can be used."""
    try:
        head = msgspec.json.decode(data, type=_SavedHead)
        if head.version != VERSION:
            raise ValueError(f"it is of another version of podfence (form {head.version})")
        found = msgspec.json.decode(data, type=_Saved)
    except UNREADABLE as error:
        raise ValueError("it is broken") from error
    if found.node != node:
        raise ValueError("it is of another node")
    return found.kept
