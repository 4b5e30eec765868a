"""Memory that the processes of one round of probes share.

Rule: one writer an entry. A probe's entry belongs to the process that sends it; that of an SCTP
INIT which has left, to the one that answers. So nothing is ever locked.
"""

from __future__ import annotations

from mmap import mmap

from podfence.lab.outcome import Outcome

_NUMBER = 4
_TIME = 8


class Board:
    """``outcomes``: one :class:`Outcome` a probe, TIMEOUT until something is known; ``answered``:
    the place of the party whose name came back, -1: none did."""

    def __init__(self, probes: int) -> None:
        memory = memoryview(mmap(-1, _TIME + probes * (_NUMBER + 1)))
        names = _TIME + probes * _NUMBER
        self._idle = memory[:_TIME].cast("d")
        self.answered = memory[_TIME:names].cast("i")
        self.outcomes = memory[names:]
        self.answered[:] = memoryview(b"\xff" * (probes * _NUMBER)).cast("i")
        self.outcomes[:] = bytes([Outcome.TIMEOUT]) * probes

    @property
    def idle_since(self) -> float:
        """When the answering process last looked for something to answer and found nothing.
        Whatever had come to it before then has been answered."""
        return self._idle[0]

    @idle_since.setter
    def idle_since(self, moment: float) -> None:
        self._idle[0] = moment
