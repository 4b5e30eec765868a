"""``podfence drops``: what is shown of what nodes tell, and what is said of those that do not."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from podfence.agent.fleet import NodeReply
from podfence.cli.drops_command import DropFilter, ShownDrops
from podfence.drops.record import Cause, Drop, Drops, FlowEnd

WEB, DB = FlowEnd("10.0.0.1", ("shop/web",)), FlowEnd("10.0.0.2", ("shop/db",))
BEGIN, END = "2026-01-01T10:00:00.1Z", "2026-01-01T10:00:05.1Z"
DROP = Drop("n1", 3, BEGIN, END, 1, "ingress", WEB, DB, "TCP", Cause("past"), 80)
LATER = replace(DROP, node="n2", last="2026-01-01T10:00:09.1Z")
Captured = pytest.CaptureFixture[str]


def told(node: str, serial: int, *drops: Drop, lost: int = 0) -> NodeReply[Drops]:
    return NodeReply(node, Drops(node, serial, 9, lost, 0, drops))


def test_drops_of_all_nodes_in_the_order_of_time(capsys: Captured) -> None:
    ShownDrops(several=True).show([told("n2", 3, LATER), told("n1", 3, DROP)], "table")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["2026-01-01T10:00:05Z", "n1"],
        ["2026-01-01T10:00:09Z", "n2"],
    ]


def test_nothing_is_shown_twice_but_what_goes_on(capsys: Captured) -> None:
    shown = ShownDrops(several=False)
    shown.show([told("n1", 3, DROP)], "json")
    shown.show([told("n1", 3, DROP)], "json")
    shown.show([told("n1", 4, replace(DROP, serial=4, count=2))], "json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["drop"]["count"] for line in lines] == [1, 2]


def test_an_agent_that_was_started_again_counts_anew(capsys: Captured) -> None:
    shown = ShownDrops(several=False)
    shown.show([told("n1", 30, replace(DROP, serial=30))], "table")
    shown.show([told("n1", 2, replace(DROP, serial=2))], "table")
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (DropFilter(), [False, True]),
        (DropFilter(audit=True), [True]),
        (DropFilter("shop", "db", audit=True), [True]),
        (DropFilter(pod="shop/cron", audit=True), []),
        (DropFilter("ops"), []),
    ],
)
def test_what_is_asked_for(wanted: DropFilter, shown: list[bool]) -> None:
    drops = (DROP, replace(DROP, audit=True))
    assert [drop.audit for drop in drops if wanted.holds(drop)] == shown


def test_all_is_asked_for_again_of_an_agent_that_was_started_again() -> None:
    shown = ShownDrops(several=False)
    shown.show([told("n1", 30, replace(DROP, serial=30))], "table")
    assert shown.serials == {"n1": 30}
    shown.show([told("n1", 2)], "table")
    assert shown.serials == {"n1": 0}
    shown.show([told("n1", 3, DROP)], "table")
    assert shown.serials == {"n1": 3}


def test_a_node_that_does_not_answer_is_named_once(capsys: Captured) -> None:
    shown = ShownDrops(several=True)
    for _ in range(3):
        shown.show([told("n1", 3, DROP), NodeReply("n2\x1b", None, "no agent runs there")], "table")
    shown.show([told("n1", 3, lost=4)], "table")
    found = capsys.readouterr()
    assert found.err.splitlines() == [
        "note: node n2\\x1b: no agent runs there",
        "note: node n1: 4 logged packets could not be examined",
    ]
    assert len(found.out.splitlines()) == 1
