"""Denied attempts are folded, and memory is bounded."""

from __future__ import annotations

from msgspec.json import decode, encode
from msgspec.structs import replace

from podfence.drops.attempt import Attempt
from podfence.drops.ledger import HOLDS, Attributed, DropLedger
from podfence.drops.record import Cause, FlowEnd

ONE = Attempt("in_a", (4, 1), (4, 2), 6, "TCP", "TCP", 80)
NAMES = Attributed(FlowEnd("0.0.0.1", ("a/x",)), FlowEnd("0.0.0.2", ("a/y",)), Cause("isolated"))


def ledger(most: int = 100) -> DropLedger:
    return DropLedger("n1", lambda seconds: f"{seconds:.0f}", most)


def other(number: int) -> Attempt:
    return replace(ONE, port=number)


def test_alike_packets_are_one_entry() -> None:
    made = ledger()
    for now in (1.0, 2.0, 5.0):
        made.add(ONE, now)
    made.answer(ONE, NAMES, 5.0)
    (drop,) = made.drops().drops
    assert (drop.count, drop.first, drop.last) == (3, "1", "5")
    assert (drop.direction, drop.protocol, drop.port) == ("ingress", "TCP", 80)


def test_nothing_is_told_without_names() -> None:
    made = ledger()
    made.add(ONE, 1.0)
    assert made.drops().drops == ()
    assert made.questions(10) == [ONE]
    made.answer(ONE, NAMES, 1.0)
    assert made.questions(10) == []


def test_an_entry_that_sees_packets_again_is_asked_again_after_a_while() -> None:
    made = ledger()
    made.add(ONE, 1.0)
    made.answer(ONE, NAMES, 1.0)
    made.add(ONE, 1.0 + HOLDS)
    assert made.questions(10) == []
    made.add(ONE, 1.1 + HOLDS)
    assert made.questions(10) == [ONE]


def test_a_clock_that_is_set_back_holds_no_names_for_ever() -> None:
    made = ledger()
    made.add(ONE, 1000.0)
    made.answer(ONE, NAMES, 1000.0)
    made.add(ONE, 1.0)
    assert made.questions(10) == [ONE]


def test_only_what_changed_since_a_serial() -> None:
    made = ledger()
    for number in (1, 2):
        made.add(other(number), 1.0)
        made.answer(other(number), NAMES, 1.0)
    serial = made.drops().serial
    assert made.drops(serial).drops == ()
    made.add(other(1), 2.0)
    assert [drop.port for drop in made.drops(serial).drops] == [1]
    assert [drop.port for drop in made.drops(0).drops] == [2, 1]


def test_the_entry_that_was_quiet_for_longest_gives_way() -> None:
    made = ledger(most=3)
    for number in (1, 2, 3, 1, 4):
        made.add(other(number), 1.0)
    for each in made.questions(10):
        made.answer(each, NAMES, 1.0)
    found = made.drops()
    assert [drop.port for drop in found.drops] == [3, 1, 4]
    assert (found.forgotten, found.seen) == (1, 5)


def test_a_flood_of_different_attempts_keeps_no_more_than_there_is_room_for() -> None:
    made = ledger(most=50)
    for number in range(5000):
        made.add(other(number), 1.0)
        assert len(made.questions(10_000)) <= 50
    assert made.counts().kept == 50
    assert made.counts().forgotten == 4950
    made.answer(other(1), NAMES, 1.0)  # of an entry that is gone
    assert made.drops().drops == ()


def test_equal_ends_and_causes_are_kept_once_and_a_flood_of_different_ones_is_not_kept() -> None:
    made = ledger(most=50)
    for number in range(200):
        made.add(other(number), 1.0)
        of_number = replace(NAMES, source=FlowEnd(f"0.0.1.{number}"))
        made.answer(other(number), decode(encode(of_number), type=Attributed), 1.0)
    told = made.drops().drops
    assert [drop.source.address for drop in told] == [f"0.0.1.{n}" for n in range(150, 200)]
    assert len({id(drop.destination) for drop in told}) <= 2
    assert len({id(drop.cause) for drop in told}) <= 2


def test_packets_count_by_direction_and_reason_once_they_have_names() -> None:
    made = ledger()
    for _ in range(3):
        made.add(ONE, 1.0)
    assert made.counts().seen == {}
    made.answer(ONE, NAMES, 1.0)
    made.add(ONE, 1.5)
    made.add(replace(ONE, denier="unknown"), 1.5)
    for each in made.questions(10):
        made.answer(each, replace(NAMES, cause=Cause("unknown")), 1.5)
    assert made.counts().seen == {("ingress", "isolated"): 4, ("", "unknown"): 1}


def test_what_passed_is_told_as_such_and_counted_apart() -> None:
    made = ledger()
    audit = replace(ONE, denier="audit_in_a")
    for attempt in (ONE, audit):
        made.add(attempt, 1.0)
        made.answer(attempt, NAMES, 1.0)
    assert [(drop.audit, drop.direction) for drop in made.drops().drops] == [
        (False, "ingress"),
        (True, "ingress"),
    ]
    assert made.counts().seen == {("ingress", "isolated"): 1, ("ingress", "audit"): 1}


def test_lost_packets_are_told() -> None:
    made = ledger()
    made.lose(7)
    assert made.drops().lost == made.counts().lost == 7
