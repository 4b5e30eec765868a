"""What became of live connections while rules changed. Pure.

Rule: a message leaked when it was sent after the commit that forbids its flow and came before the
commit that allows it again; a flow that is allowed all the time loses nothing, and its TCP sends no
segment twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

TimeSpan = tuple[float, float]
"""From the commit that revoked a flow to just before the one that allows it again, by the monotonic
clock."""


class SentMessage(NamedTuple):
    """``flow``: the index of its flow; ``reply``: whether it goes from the target to the source.
    ``received``: its time of arrival, 0: never. Times are those of the monotonic clock."""

    flow: int
    reply: bool
    sent: float
    received: float


class SentTraffic(NamedTuple):
    """All messages, and how many segments each flow sent again (0 for UDP)."""

    messages: list[SentMessage]
    again: list[int]


class TrafficLosses(Struct, frozen=True):
    """``refused``: messages sent while their flow was revoked; ``leaked``: how many of these
    arrived. ``kept``: messages of flows that were never revoked; ``lost``: how many of these did
    not arrive or had segments that TCP sent again."""

    revoked_flows: int
    refused: int
    leaked: int
    kept_flows: int
    kept: int
    lost: int


def account(traffic: SentTraffic, revoked: Mapping[int, Sequence[TimeSpan]]) -> TrafficLosses:
    """Judge an exchange. ``revoked``: when each flow that was revoked at some time was."""
    refused = leaked = kept = lost = 0
    for message in traffic.messages:
        if message.flow in revoked:
            end = _within(message.sent, revoked[message.flow])
            refused += end is not None
            leaked += end is not None and 0 < message.received < end
        else:
            kept += 1
            lost += not message.received
    lost += sum(n for flow, n in enumerate(traffic.again) if flow not in revoked)
    flows = len(traffic.again)
    return TrafficLosses(len(revoked), refused, leaked, flows - len(revoked), kept, lost)


def _within(when: float, intervals: Iterable[TimeSpan]) -> float | None:
    """The end of the interval that holds a time."""
    return next((end for start, end in intervals if start <= when <= end), None)
