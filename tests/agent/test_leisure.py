"""What people want to know takes a small part of the time of the thread that enforces."""

from __future__ import annotations

import io
import struct
from ipaddress import ip_address
from typing import cast

import pytest

from podfence.agent.drops import NAMED, Watcher
from podfence.agent.leisure import REST, TURN, IdleBudget
from podfence.agent.log import EventLog
from podfence.drops.attempt import Attempt
from podfence.drops.attribution import Attribution
from podfence.drops.record import Cause, FlowEnd
from podfence.kernel.nflog import LoggedPacket, LoggedPackets
from podfence.live.pods import At
from tests.support.clock import Clock


@pytest.mark.parametrize("cost", [0.0005, 0.005, 0.06, 2.0])
def test_of_endless_questions_a_share_of_the_time_is_taken(cost: float) -> None:
    """The thread comes round each millisecond, and somebody always wants something."""
    clock = Clock(100.0)
    leisure = IdleBudget(clock)
    answered, longest = 0, 0.0
    while clock.now < 200:
        clock.now += 0.001
        begun = clock.now
        if leisure.begin():
            while not leisure.is_over:
                clock.now += cost
                answered += 1
            leisure.end()
        longest = max(longest, clock.now - begun)
    assert answered
    assert answered * cost <= 100 / (REST + 1) + max(cost, TURN)
    assert longest < TURN + cost


def test_a_turn_that_was_short_is_followed_by_the_next() -> None:
    clock = Clock(100.0)
    leisure = IdleBudget(clock)
    for _ in range(9):
        assert leisure.begin()
        clock.now += TURN / 2
        assert not leisure.is_over
        leisure.end()


def denied(port: int) -> LoggedPacket:
    """The copy of a packet of TCP that a group denies."""
    ends = b"".join(ip_address(each).packed for each in ("10.1.0.9", "10.1.0.2"))
    head = struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0, 63, 6, 0)
    return LoggedPacket("podfence:deny:in_x", 4, head + ends + struct.pack(">HH", 40000, port))


class Slow:
    """As an attribution where a policy has thousands of rules."""

    def __init__(self, clock: Clock, cost: float) -> None:
        self.clock, self.cost, self.asked = clock, cost, 0

    def end(self, at: At) -> FlowEnd:
        return FlowEnd(str(at), (), "")

    def cause(self, _: Attempt) -> Cause:
        self.clock.now += self.cost
        self.asked += 1
        return Cause("isolated")


@pytest.mark.parametrize("cost", [0.06, 0.0001])
def test_who_is_denied_again_and_again_holds_nobody_up(cost: float) -> None:
    clock = Clock(100.0)
    watcher = Watcher("n1", 77, EventLog(io.StringIO()), timer=clock)
    slow = Slow(clock, cost)
    longest = 0.0
    for second in range(20):
        watcher.take(LoggedPackets(tuple(denied(1 + second * NAMED + n) for n in range(NAMED))))
        for _ in range(100):
            clock.now += 0.01
            begun = clock.now
            watcher.name(cast(Attribution, slow))
            longest = max(longest, clock.now - begun)
    assert longest < TURN + cost
    named = len(watcher.drops().drops)
    assert named == slow.asked
    assert named == 20 * NAMED if cost < TURN else 0 < named < 20 * NAMED
