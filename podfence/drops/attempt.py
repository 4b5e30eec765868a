"""A copy of a denied packet -> the attempt that it belongs to: the key by which drops are folded.

Rule: an attempt is told from the side that began, also where the packet is a reply. Ports of the
client are left out, since policies never look at them.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.drops.headers import read_headers
from podfence.nft.lowering.deny import direction_of, is_audit, logged
from podfence.policy.flow import Direction

At = tuple[int, int]
"""Family and address."""


class Attempt(Struct, frozen=True):
    """``denier``: as ``deny.logged`` reads it from the log prefix. ``number``, ``protocol`` and
    ``shown``: the transport protocol by number, as policies see it, and as people call it."""

    denier: str
    source: At
    destination: At
    number: int
    protocol: str
    shown: str
    port: int | None = None
    reply: bool = False

    @property
    def direction(self) -> Direction | None:
        """Whose policies deny; None where no policy is asked."""
        return direction_of(self.denier)

    @property
    def audit(self) -> bool:
        """Whether it passed, and would have been denied if audited policies were enforced."""
        return is_audit(self.denier)


def attempt_of(prefix: str, family: int, data: bytes) -> Attempt | None:
    """None: a message that is not ours, or bytes that are no packet."""
    said = logged(prefix)
    found = read_headers(family, data) if said is not None else None
    if said is None or found is None:
        return None
    source, destination = (family, found.source), (family, found.destination)
    port = found.destination_port
    if said.is_reply:
        source, destination, port = destination, source, found.source_port
    number, protocol, shown = found.number, found.protocol, found.shown
    return Attempt(said.denier, source, destination, number, protocol, shown, port, said.is_reply)
