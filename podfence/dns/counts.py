"""What came of packets of DNS, as numbers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class NameCounts(Struct, frozen=True):
    """``messages``: packets and messages, by what came of them. ``lost``: copies that nobody could
    look at. ``addresses``: those of names now, live or kept; ``evicted``: those that gave way."""

    messages: Mapping[str, int] = {}
    lost: int = 0
    addresses: int = 0
    evicted: int = 0
