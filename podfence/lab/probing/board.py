"""Memory that the processes of one round of probes share.

Rule: one writer an entry. A probe's entry belongs to the process that sends it; that of an SCTP
INIT which has left, to the one that answers. So nothing is ever locked.
"""

from __future__ import annotations

from mmap import mmap

from podfence.lab.testbed.flags import both, ones
from podfence.lab.testbed.outcome import Outcome

_NUMBER = 4
_IS_SILENT = bytes(outcome == Outcome.TIMEOUT for outcome in range(256))


class Board:
    """``outcomes``: one :class:`Outcome` a probe, TIMEOUT until something is known; ``answered``:
    the place of the party whose name came back, -1: none did; ``arrived``: 1 where a datagram came
    to whoever answers it."""

    def __init__(self, probes: int) -> None:
        memory = memoryview(mmap(-1, probes * (_NUMBER + 2) or 1))
        names = probes * _NUMBER
        self.answered = memory[:names].cast("i")
        self.outcomes = memory[names : names + probes]
        self.arrived = memory[names + probes : names + 2 * probes]
        self.answered[:] = memoryview(b"\xff" * names).cast("i")
        self.outcomes[:] = bytes([Outcome.TIMEOUT]) * probes

    def found(self) -> bytes:
        """Every outcome, when all is over: what arrived and got no answer is no mere silence."""
        outcomes = bytearray(self.outcomes)
        for at in ones(both(bytes(outcomes.translate(_IS_SILENT)), bytes(self.arrived))):
            outcomes[at] = Outcome.ONE_WAY
        return bytes(outcomes)
