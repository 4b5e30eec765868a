"""Questions that pods have asked and nobody has answered yet.

Rule: an answer counts only if somebody asked for it. It must have the same ends and ports and the
same number and name, and must come in by the interface by which the question went out. The
interface keeps out packets that a pod writes in the name of a resolver. Every question is answered
once.
"""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

from podfence.dns.message import Question
from podfence.dns.packets import DnsPacket

MOST = 1024
"""Questions of one interface; the oldest give way."""
SILENCE = 15.0
"""Seconds that a question waits for its answer."""


class Interfaces(Struct, frozen=True):
    """The interfaces by which a packet comes in and goes out, by number; 0: the node itself sends
    or gets it. ``port_in``, ``port_out``: ports of a bridge; 0: none, or not known."""

    comes: int = 0
    goes: int = 0
    port_in: int = 0
    port_out: int = 0

    def is_back(self, there: Interfaces) -> bool:
        """Whether this is the way back of ``there``, from where that one went."""
        return (self.comes, self.goes) == (there.goes, there.comes) and all(
            a == b or not (a and b)
            for a, b in ((self.port_in, there.port_out), (self.port_out, there.port_in))
        )


_Key = tuple[int, int, int, int, int, int, int, Question]
_Lane = OrderedDict[_Key, tuple[Interfaces, float]]


class Questions:
    """Times are monotonic seconds, and never go back."""

    def __init__(self) -> None:
        self._open: dict[int, dict[int, _Lane]] = {}
        """By interface and port of a bridge that they came in by, which no pod can choose."""
        self._swept = 0.0

    def __len__(self) -> int:
        """How many are open."""
        return sum(len(lane) for lanes in self._open.values() for lane in lanes.values())

    def ask(
        self, packet: DnsPacket, number: int, question: Question, way: Interfaces, now: float
    ) -> None:
        """A question passes."""
        if now - self._swept > SILENCE:
            self._sweep(now)
        lane = self._open.setdefault(way.comes, {}).setdefault(way.port_in, OrderedDict())
        key = *_ends(packet), number, question
        lane.pop(key, None)
        lane[key] = way, now
        if len(lane) > MOST:
            lane.popitem(last=False)

    def answer(
        self, packet: DnsPacket, number: int, question: Question, way: Interfaces, now: float
    ) -> bool:
        """An answer passes; whether it is the one to an open question."""
        key = *_back(packet), number, question
        for lane in self._open.get(way.goes, {}).values():
            there, at = lane.get(key, (None, 0.0))
            if there is not None and way.is_back(there):
                del lane[key]
                return at >= now - SILENCE
        return False

    def _sweep(self, now: float) -> None:
        self._swept = now
        for interface, lanes in [*self._open.items()]:
            for port, lane in [*lanes.items()]:
                while lane and next(iter(lane.values()))[1] < now - SILENCE:
                    lane.popitem(last=False)
                if not lane:
                    del lanes[port]
            if not lanes:
                del self._open[interface]


def _ends(packet: DnsPacket) -> tuple[int, int, int, int, int, int]:
    return (
        packet.family,
        packet.protocol,
        packet.source,
        packet.source_port,
        packet.destination,
        packet.destination_port,
    )


def _back(packet: DnsPacket) -> tuple[int, int, int, int, int, int]:
    return (
        packet.family,
        packet.protocol,
        packet.destination,
        packet.destination_port,
        packet.source,
        packet.source_port,
    )
