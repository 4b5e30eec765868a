"""One round of probes: what is sent and what is known of it. Process: the lab process, and senders.

Rule: each entry of the board has one writer, so nothing is locked. The entry of a probe belongs to
the process that sends it; the entry of an SCTP INIT that was sent belongs to the process that
receives it. The receiver of a probe's packet notes its arrival, whether or not the answer gets
back. So a denial means that no packet reached the target, not only that no answer came back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from mmap import mmap
from struct import Struct

import msgspec

from podfence.lab.testbed.packets import ECHO_BODY
from podfence.lab.testbed.probes import ProbeOutcome, Probes, both, ones

NONCE = Struct("=IIi")
"""What a datagram carries, and gets back before the name: round, probe, index of the target."""
_NUMBERS = 0xFFFFFF
"""A probe's number has 24 bits of a sequence number or tag, the round the other eight."""
_NAME_SIZE = 4
_IS_SILENT = bytes(outcome == ProbeOutcome.TIMEOUT for outcome in range(256))


class Round(msgspec.Struct, frozen=True):
    """What is to be sent. ``targets``: addresses of a pair's target, by family; ``sources``: those
    of the parties. ``bound``: indices of parties that share a namespace, whose sockets therefore
    have to bind an address. ``names``: the answer of each party, and its index. ``window``: the
    most connections under way. ``port``: the source port of everything but connections; no party
    listens on it, because a probe to it could not be told from an answer."""

    serial: int
    port: int
    probes: Probes
    kinds: bytes
    timeout: float
    sources: Sequence[Mapping[int, str]]
    targets: Sequence[Mapping[int, str]]
    bound: Collection[int]
    names: Mapping[bytes, int]
    window: int

    def mark(self, at: int) -> int:
        """32 bits that tell a probe of this round; never 0."""
        return (self.serial % 0xFF + 1) << 24 | at

    def marked(self, mark: int) -> int:
        """The number of the probe; -1 for one of another round, or for no probe."""
        at = mark & _NUMBERS
        return at if mark == self.mark(at) and at < len(self.probes) else -1


class Board:
    """``outcomes``: one :class:`ProbeOutcome` a probe, TIMEOUT until something is known.
    ``answered``: the index of the party whose name came back, -1: none did. ``arrived``: 1 where a
    datagram reached the party that answers it."""

    def __init__(self, probes: int) -> None:
        memory = memoryview(mmap(-1, probes * (_NAME_SIZE + 2) or 1))
        names = probes * _NAME_SIZE
        self.answered = memory[:names].cast("i")
        self.outcomes = memory[names : names + probes]
        self.arrived = memory[names + probes : names + 2 * probes]
        self.answered[:] = memoryview(b"\xff" * names).cast("i")
        self.outcomes[:] = bytes([ProbeOutcome.TIMEOUT]) * probes

    def found(self) -> bytes:
        """Every outcome after the round. A probe that arrived and got no answer is reported as
        such, not as a timeout."""
        outcomes = bytearray(self.outcomes)
        for at in ones(both(bytes(outcomes.translate(_IS_SILENT)), bytes(self.arrived))):
            outcomes[at] = ProbeOutcome.ONE_WAY
        return bytes(outcomes)


class Arrivals:
    """Notes received packets; a packet that belongs to no probe of this round is ignored."""

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

    def init(self, party_index: int, port: int, tag: int) -> None:
        """The initiate tag of an SCTP INIT, with the party and port that it came to: it is not
        answered, so to have come to the right ones is its outcome."""
        at = self._round.marked(tag)
        if at >= 0 and self._board.outcomes[at] == ProbeOutcome.TIMEOUT:
            probe = self._round.probes[at]
            right = (party_index, port) == (probe.target, probe.port)
            self._board.outcomes[at] = ProbeOutcome.OPEN if right else ProbeOutcome.WRONG_PEER

    def _numbered(self, serial: int, at: int) -> None:
        if serial == self._round.serial and at < len(self._board.arrived):
            self._board.arrived[at] = 1
