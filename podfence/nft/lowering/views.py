"""Which field of a packet belongs to whom: the subject, its peer, the port that policies judge.

Rule: every question about a connection exists twice: for packets of the original direction, and for
packets of the reply direction with source and destination swapped.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.nft.objects import Field
from podfence.policy.flow import Direction

SOURCES = {4: Field.IP_SADDR, 6: Field.IP6_SADDR}
DESTINATIONS = {4: Field.IP_DADDR, 6: Field.IP6_DADDR}
FAMILIES = (4, 6)


class DirectionView(Struct, frozen=True):
    """One policy direction, seen in packets of the original direction or, if ``reply``, of the
    reply direction. ``audit``: what audited policies would say of it; asked after all that is
    enforced."""

    direction: Direction
    reply: bool
    audit: bool = False

    @property
    def suffix(self) -> str:
        """What names of this view end with."""
        return "_r" if self.reply else ""

    @property
    def subject(self) -> dict[int, Field]:
        """By family, where the address of the judged pod stands."""
        return SOURCES if self._subject_sends else DESTINATIONS

    @property
    def peer(self) -> dict[int, Field]:
        """By family, where the address of the remote end stands."""
        return DESTINATIONS if self._subject_sends else SOURCES

    @property
    def port(self) -> Field:
        """Where the destination port of the connection stands (NP-38)."""
        return Field.TH_SPORT if self.reply else Field.TH_DPORT

    @property
    def _subject_sends(self) -> bool:
        return (self.direction is Direction.EGRESS) is not self.reply


VIEWS = tuple(DirectionView(direction, reply) for reply in (False, True) for direction in Direction)
"""Egress before ingress, original before reply."""
AUDIT_VIEWS = tuple(DirectionView(view.direction, view.reply, audit=True) for view in VIEWS)
"""The same, of what is only audited."""
