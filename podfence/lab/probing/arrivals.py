"""What comes to the parties of a lab during one round, said on its board.

Rule: whoever gets a packet of a probe says so, whatever becomes of the answer. So a denial means
that nothing came to the target, and not merely that nothing came back.
"""

from __future__ import annotations

from podfence.lab.probing.board import Board
from podfence.lab.probing.sender import NONCE, Round
from podfence.lab.testbed.outcome import Outcome
from podfence.lab.testbed.packets import ECHO_BODY


class Arrivals:
    """Takes what was received; what belongs to no probe of this round is nobody's."""

    def __init__(self, this: Round, board: Board) -> None:
        self._round = this
        self._board = board

    def datagram(self, data: bytes) -> None:
        """The payload of a datagram, by UDP."""
        if len(data) == NONCE.size:
            serial, at, _ = NONCE.unpack(data)
            self._numbered(serial, at)

    def echo(self, body: bytes) -> None:
        """What an echo request carries."""
        if len(body) == ECHO_BODY.size:
            self._numbered(*ECHO_BODY.unpack(body))

    def syn(self, sequence: int) -> None:
        """The sequence number of a lone SYN."""
        at = self._round.marked(sequence)
        if at >= 0:
            self._board.arrived[at] = 1

    def init(self, place: int, port: int, tag: int) -> None:
        """The initiate tag of an SCTP INIT, with the party and port that it came to: it is not
        answered, so to have come to the right ones is its outcome."""
        at = self._round.marked(tag)
        if at >= 0 and self._board.outcomes[at] == Outcome.TIMEOUT:
            probe = self._round.probes[at]
            right = (place, port) == (probe.target, probe.port)
            self._board.outcomes[at] = Outcome.OPEN if right else Outcome.STRANGER

    def _numbered(self, serial: int, at: int) -> None:
        if serial == self._round.serial and at < len(self._board.arrived):
            self._board.arrived[at] = 1
