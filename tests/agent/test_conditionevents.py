"""What is said of the objects that conditions are about."""

from __future__ import annotations

from msgspec.structs import replace

from podfence.agent.conditions import Condition, ConditionKind
from podfence.agent.eventseries import AGAIN, ConditionEvents, EventContent
from podfence.model.meta import ObjectRef

DB = ObjectRef("NetworkPolicy", "shop", "db")
REFUSED = Condition(ConditionKind.REFUSED, "NetworkPolicy shop/db", "spec: bad", 0, about=DB)


def test_a_policy_that_cannot_be_read() -> None:
    assert ConditionEvents("n").look([REFUSED], 0) == [EventContent(DB, "Refused", "spec: bad")]


def test_pods_that_are_closed() -> None:
    found = Condition(
        ConditionKind.KERNEL_REFUSED, "in-1", "out of memory", 0, ("shop/a", "shop/b")
    )
    note = "nothing of this pod passes: out of memory"
    assert ConditionEvents("n").look([found], 0) == [
        EventContent(ObjectRef("Pod", "shop", name), "Closed", note) for name in ("a", "b")
    ]


def test_the_node() -> None:
    found = Condition(ConditionKind.DRIFT, "", "changed by nft", 0)
    assert ConditionEvents("n").look([found], 0) == [
        EventContent(ObjectRef("Node", "", "n"), "Drift", "changed by nft")
    ]


def test_that_the_api_is_away_is_not_said_to_the_api() -> None:
    found = [
        Condition(kind, "Pod", "x", 0)
        for kind in (ConditionKind.API_UNREACHABLE, ConditionKind.FORBIDDEN)
    ]
    assert ConditionEvents("n").look(found, 0) == []


def test_what_holds_is_said_once_and_again_before_it_is_forgotten() -> None:
    events = ConditionEvents("n")
    assert events.look([REFUSED], 0)
    assert events.look([REFUSED], AGAIN - 1) == []
    assert events.look([REFUSED], AGAIN)


def test_another_message_is_said_and_so_is_a_condition_that_begins_again() -> None:
    events = ConditionEvents("n")
    assert events.look([REFUSED], 0)
    assert events.look([replace(REFUSED, message="other")], 1)
    assert events.look([], 2) == []
    assert events.look([REFUSED], 3)
