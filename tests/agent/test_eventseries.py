"""Which Events are written, and when."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.agent.eventseries import (
    BURST,
    FOLD,
    FORGET,
    MOST,
    MOST_OF_ONE,
    REFILL,
    Create,
    EventContent,
    EventSeries,
    SeriesCount,
    WriteOutcome,
    event,
)
from podfence.model.meta import ObjectRef

DB = ObjectRef("NetworkPolicy", "shop", "db")
POD = ObjectRef("Pod", "shop", "db-0")
REFUSED = EventContent(DB, "Refused", "spec.ingress[0].ports[0].port: too large")


def said(number: int, about: ObjectRef | None = None) -> EventContent:
    return EventContent(about or ObjectRef("Pod", "shop", f"p{number}"), "Closed", f"note {number}")


def written(
    series: EventSeries, now: float, outcome: WriteOutcome = WriteOutcome.WRITTEN
) -> list[EventContent]:
    """Everything that is written at a time."""
    found = []
    while (write := series.next(now)) is not None:
        found.append(write.said)
        series.answered(write, outcome, now)
    return found


def test_what_is_said_is_created_at_once() -> None:
    series = EventSeries("n")
    series.say(REFUSED, 0)
    write = series.next(0)
    assert isinstance(write, Create)
    assert write.said == REFUSED


def test_what_is_said_again_is_counted_later() -> None:
    series = EventSeries("n")
    series.say(REFUSED, 0)
    assert written(series, 0) == [REFUSED]
    for at in (1, 2, 3):
        series.say(REFUSED, at)
    assert series.next(FOLD - 1) is None
    write = series.next(FOLD)
    assert isinstance(write, SeriesCount)
    assert write.count == 4


def test_what_is_not_said_again_is_not_written_again() -> None:
    series = EventSeries("n")
    series.say(REFUSED, 0)
    assert written(series, 0) == [REFUSED]
    assert series.next(FOLD) is None


def test_what_was_silent_for_long_is_another_event() -> None:
    series = EventSeries("n")
    series.say(REFUSED, 0)
    assert written(series, 0) == [REFUSED]
    assert series.next(FORGET + 1) is None
    series.say(REFUSED, FORGET + 2)
    assert isinstance(series.next(FORGET + 2), Create)


def test_nodes_share_an_event_about_a_policy() -> None:
    """The first node writes it; the others see that it is there, and count nothing."""
    one, other = EventSeries("n1"), EventSeries("n2")
    for series in (one, other):
        series.say(REFUSED, 0)
    first, second = one.next(0), other.next(0)
    assert first is not None
    assert second is not None
    assert first.name == second.name
    other.answered(second, WriteOutcome.THERE, 0)
    assert other.next(0) is None
    other.say(REFUSED, 1)
    assert isinstance(other.next(FOLD), Create)


@pytest.mark.parametrize("about", [POD, ObjectRef("Node", "", "n1")], ids=lambda each: each.kind)
def test_an_event_about_a_pod_or_a_node_is_this_processs_own(about: ObjectRef) -> None:
    names = set()
    for origin in ("n1 at 1", "n1 at 2"):
        series = EventSeries(origin)
        series.say(said(1, about), 0)
        write = series.next(0)
        assert write is not None
        names.add(write.name)
    assert len(names) == 2


def test_a_burst_and_then_one_after_the_other() -> None:
    series = EventSeries("n")
    for number in range(3 * BURST):
        series.say(said(number), 0)
    assert len(written(series, 0)) == BURST
    assert written(series, REFILL - 0.1) == []
    assert len(written(series, REFILL)) == 1
    assert len(written(series, 4 * REFILL)) == 3


def test_one_object_has_few_events() -> None:
    series = EventSeries("n")
    for number in range(100):
        series.say(said(number, POD), 0)
    assert (len(series), series.passed_over) == (MOST_OF_ONE, 100 - MOST_OF_ONE)
    series.say(REFUSED, 0)
    assert len(series) == MOST_OF_ONE + 1


def test_what_waits_is_bounded() -> None:
    series = EventSeries("n")
    for number in range(MOST + 5):
        series.say(said(number), 0)
    assert (len(series), series.passed_over) == (MOST, 5)


@pytest.mark.parametrize("outcome", [WriteOutcome.FAILED, WriteOutcome.FORBIDDEN])
def test_what_fails_is_tried_later_and_slower(outcome: WriteOutcome) -> None:
    series = EventSeries("n")
    series.say(REFUSED, 0)
    times = []
    for now in range(3000):
        if (write := series.next(now)) is not None:
            times.append(now)
            series.answered(write, outcome, now)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[0] >= REFILL
    assert len(times) < 20


@pytest.mark.parametrize("outcome", [WriteOutcome.FAILED, WriteOutcome.FORBIDDEN])
def test_what_fails_for_weeks_is_still_tried(outcome: WriteOutcome) -> None:
    series = EventSeries("n")
    now = 0.0
    for _ in range(1100):
        series.say(REFUSED, now)
        while (write := series.next(now)) is None:
            now += 300
        series.answered(write, outcome, now)


def test_an_event_that_expired_is_written_anew() -> None:
    series = EventSeries("n")
    series.say(REFUSED, 0)
    written(series, 0)
    series.say(REFUSED, 1)
    write = series.next(FOLD)
    assert isinstance(write, SeriesCount)
    series.answered(write, WriteOutcome.GONE, FOLD)
    assert isinstance(series.next(FOLD), Create)


def test_an_object_that_is_gone_has_no_event() -> None:
    series = EventSeries("n")
    series.say(REFUSED, 0)
    assert written(series, 0, WriteOutcome.GONE) == [REFUSED]
    assert len(series) == 0


@given(st.text(max_size=3000))
def test_a_note_is_harmless_and_short_whatever_is_in_it(text: str) -> None:
    found = event(Create(EventContent(POD, "Closed", text), "x"), "v1", "u", "n" * 253, "now")
    note, instance = found["note"], found["reportingInstance"]
    assert isinstance(note, str)
    assert isinstance(instance, str)
    assert note.isprintable()
    assert len(note.encode()) <= 1024
    assert len(instance) <= 128


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 100)), max_size=60))
def test_nothing_is_lost_and_nothing_is_counted_twice(days: list[tuple[int, float]]) -> None:
    """Whatever is said when: in the end every Event tells how often it was said."""
    series, now = EventSeries("n"), 0.0
    spoken: dict[EventContent, int] = {}
    told: dict[EventContent, int] = {}

    def settle(at: float) -> None:
        while (write := series.next(at)) is not None:
            told[write.said] = write.count if isinstance(write, SeriesCount) else 1
            series.answered(write, WriteOutcome.WRITTEN, at)

    for number, pause in days:
        now += pause / 10  # all within one FORGET
        series.say(said(number), now)
        spoken[said(number)] = spoken.get(said(number), 0) + 1
        settle(now)
    settle(now + FOLD + 1)
    settle(now + 2 * FOLD + 2)
    assert told == spoken
