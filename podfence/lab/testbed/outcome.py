"""What became of one probe, as the sender saw it. Pure."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """Small integers, so that a hundred thousand of them travel as bytes."""

    OPEN = 0  # the right party answered
    TIMEOUT = 1  # nothing came back
    REFUSED = 2  # the target itself, or a filter that rejects, said no
    RESET = 3  # the connection came about and was broken
    UNREACHABLE = 4  # no route, by the own kernel or by an ICMP error
    PROHIBITED = 5  # the own kernel would not let the packet out
    STRANGER = 6  # somebody else answered
    ONE_WAY = 7  # it came to a pod, but no answer came back

    @property
    def words(self) -> str:
        """For a table."""
        return _WORDS[self]


_WORDS = {
    Outcome.OPEN: "open",
    Outcome.TIMEOUT: "no answer",
    Outcome.REFUSED: "refused",
    Outcome.RESET: "reset",
    Outcome.UNREACHABLE: "unreachable",
    Outcome.PROHIBITED: "prohibited",
    Outcome.STRANGER: "answered by another pod",
    Outcome.ONE_WAY: "arrived, but its answer did not",
}
