"""What an event costs a node: the feed is the same every time, and every line is measured."""

from __future__ import annotations

from io import BytesIO

import pytest

from bench.eventfeed import MIX, SHAPES, Feed, line
from bench.events import measure


def fed(events: int) -> bytes:
    feed = Feed(SHAPES["small"])
    listed = b"".join(line(*each) for each in feed.objects())
    return listed + b"\n" + b"".join(line(*each) for each in feed.events(events))


def test_the_feed_is_the_same_every_time() -> None:
    assert fed(100) == fed(100)


def test_pods_are_as_long_as_those_of_a_server() -> None:
    pods = [found for found in fed(0).split(b"\n") if found.startswith(b"Pod")]
    assert 6_000 < sum(map(len, pods)) / len(pods) < 8_000


def test_the_mix_is_a_hundred_events() -> None:
    assert sum(MIX.values()) == 100


def test_every_event_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    measure(BytesIO(fed(60)))
    rows = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows if row[:1] == ["all"]] == ["60"]
