"""What following a kind decides: what changed, and what is to be done next."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.kube.follow import (
    ABSENT_PAUSE,
    CONFIRM_PAUSE,
    LONGEST_PAUSE,
    SPREAD,
    Failure,
    Follow,
    Item,
    Listing,
    ObjectChange,
    Pausing,
    SyncState,
    Watching,
)
from podfence.kube.resource import Resource

Labels = dict[str, str]
PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
THINGS = Resource("example.com", "v1", "Thing", "things", namespaced=True)
ALWAYS_THERE = ["Namespace", "NetworkPolicy", "Node", "Pod"]
TIERS = [
    Resource("policy.networking.k8s.io", version, "ClusterNetworkPolicy", "cnps", namespaced=False)
    for version in ("v1beta1", "v1alpha2")
]


def pod(name: str, version: int | str, **labels: str) -> Item[Labels]:
    return Item("shop", name, str(version), labels)


def told(changes: list[ObjectChange[Labels]]) -> list[str]:
    return [("-" if each.data is None else "+") + each.name for each in changes]


def listed(follow: Follow[Labels], *items: Any, version: int | str) -> list[str]:
    return told(follow.listed(items, first=True, last=True, version=str(version)))


def standing(follow: Follow[Labels]) -> SyncState:
    return follow.state.standing


def live(*items: Any, version: int | str = 10, of: Resource = PODS) -> Follow[Labels]:
    follow = Follow[Labels]([of])
    listed(follow, *items, version=version)
    return follow


# --- lists ---------------------------------------------------------------------------------------


def test_a_list_comes_first_and_then_a_watch_from_its_version() -> None:
    follow = Follow[Labels]([PODS])
    assert follow.next(0) == Listing(PODS)
    assert standing(follow) is SyncState.SYNCING
    assert listed(follow, pod("a", 1), pod("b", 2), version=10) == ["+a", "+b"]
    assert standing(follow) is SyncState.LIVE
    assert follow.next(0) == Watching(PODS, "10")


def test_another_list_is_a_difference() -> None:
    follow = live(pod("a", 1), pod("b", 2), pod("c", 3))
    assert listed(follow, pod("a", 1), pod("c", 12), pod("d", 13), version=20) == ["+c", "+d", "-b"]


def test_nothing_is_gone_before_the_list_is_whole() -> None:
    follow = live(pod("a", 1), pod("b", 2))
    assert told(follow.listed([pod("c", 3)], first=True, last=False, version="20")) == ["+c"]
    assert told(follow.listed([pod("a", 1)], first=False, last=True, version="20")) == ["-b"]


def test_a_list_that_begins_again_forgets_what_it_had_seen() -> None:
    follow = live(pod("a", 1), pod("b", 2))
    follow.listed([pod("a", 1)], first=True, last=False, version="20")
    assert listed(follow, pod("b", 2), version=21) == ["-a"]


def test_a_list_that_failed_takes_nothing_away() -> None:
    follow = live(pod("a", 1), pod("b", 2))
    follow.failed(Failure(410, "expired"))
    follow.listed([pod("a", 1)], first=True, last=False, version="20")
    follow.failed(Failure(0, "lost"))
    assert listed(follow, pod("a", 1), pod("b", 2), version=30) == []


def test_after_a_restored_backup_the_list_is_right_though_its_numbers_are_smaller() -> None:
    follow = live(pod("a", 900), version=1000)
    follow.failed(Failure(504, "Too large resource version", too_new=True))
    assert isinstance(follow.next(0), Pausing)
    assert listed(follow, pod("a", 5), version=50) == ["+a"]
    assert follow.next(0) == Watching(PODS, "50")
    assert told(follow.event("MODIFIED", pod("a", 51))) == ["+a"]


# --- watches -------------------------------------------------------------------------------------


def test_events_change_what_is_held_and_where_to_resume() -> None:
    follow = live(pod("a", 1))
    assert told(follow.event("ADDED", pod("b", 11))) == ["+b"]
    assert told(follow.event("MODIFIED", pod("a", 12))) == ["+a"]
    assert told(follow.event("DELETED", pod("b", 13))) == ["-b"]
    assert follow.next(0) == Watching(PODS, "13")


def test_what_is_sent_twice_is_one_change() -> None:
    follow = live(pod("a", 1))
    follow.event("ADDED", pod("b", 11))
    follow.event("DELETED", pod("b", 12))
    assert follow.event("ADDED", pod("b", 11)) == []
    assert follow.event("DELETED", pod("b", 12)) == []
    assert told(follow.event("ADDED", pod("b", 13))) == ["+b"]
    assert follow.event("DELETED", pod("b", 12)) == [], "that was the one before"
    assert follow.next(0) == Watching(PODS, "13")


def test_versions_that_are_no_numbers_are_taken_as_they_come() -> None:
    follow = live(pod("a", "x"), version="x")
    assert told(follow.event("MODIFIED", pod("a", "q"))) == ["+a"]
    assert follow.event("MODIFIED", pod("a", "q")) == []
    assert told(follow.event("DELETED", pod("a", "r"))) == ["-a"]


def test_a_bookmark_moves_the_version_alone() -> None:
    follow = live(pod("a", 1))
    assert follow.bookmark("77", ends_initial=False) == []
    assert follow.next(0) == Watching(PODS, "77")


def test_a_watch_that_ended_is_resumed_at_once() -> None:
    follow = live()
    follow.ended(anything=True)
    assert follow.next(0) == Watching(PODS, "10")


def test_a_server_that_hangs_up_at_once_is_not_asked_without_end() -> None:
    follow = live()
    pauses = []
    for _ in range(20):
        follow.ended(anything=False)
        pause = follow.next(1)
        assert isinstance(pause, Pausing)
        pauses.append(pause.seconds)
        assert isinstance(follow.next(1), Watching)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


@pytest.mark.parametrize("failure", [Failure(410, "expired"), Failure(504, "x", too_new=True)])
def test_a_past_that_is_forgotten_is_listed_again_not_by_all_at_one_moment(
    failure: Failure,
) -> None:
    for chance in (0.0, 0.5, 1.0):
        follow = live(pod("a", 1))
        follow.failed(failure)
        assert standing(follow) is SyncState.LATE
        assert follow.next(chance) == Pausing(chance * SPREAD)
        assert follow.next(chance) == Listing(PODS)


def test_a_lost_connection_is_resumed_after_a_pause_that_grows() -> None:
    follow = live()
    follow.failed(Failure(0, "no answer for 90 s"))
    assert standing(follow) is SyncState.LATE
    assert "90 s" in follow.state.message
    assert follow.next(1) == Pausing(0.4)
    follow.failed(Failure(0, "no answer for 90 s"))
    assert follow.next(1) == Pausing(0.8)
    assert follow.next(1) == Watching(PODS, "10")
    follow.opened(Watching(PODS, "10"))
    assert standing(follow) is SyncState.LIVE


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_the_server_asks_for_is_the_least(status: int) -> None:
    for chance in (0.0, 1.0):
        follow = live()
        follow.failed(Failure(status, "slow down", pause=7.0))
        pause = follow.next(chance)
        assert isinstance(pause, Pausing)
        assert 7.0 <= pause.seconds <= 10.0


# --- streamed lists ------------------------------------------------------------------------------


def test_a_streamed_list_is_whole_at_its_bookmark() -> None:
    follow = Follow[Labels]([PODS], streamed=True)
    action = follow.next(0)
    assert action == Watching(PODS, "", initial=True)
    assert isinstance(action, Watching)
    follow.opened(action)
    assert told(follow.event("ADDED", pod("a", 5))) == ["+a"]
    assert standing(follow) is SyncState.SYNCING
    assert follow.bookmark("10", ends_initial=True) == []
    assert standing(follow) is SyncState.LIVE
    assert follow.next(0) == Watching(PODS, "10")


def test_a_streamed_list_is_a_difference_too() -> None:
    follow = Follow[Labels]([PODS], streamed=True)
    for names, version in ((("a", "b"), "10"), (("b",), "20")):
        follow.opened(Watching(PODS, "", initial=True))
        for name in names:
            follow.event("ADDED", pod(name, 5))
        changes = follow.bookmark(version, ends_initial=True)
        follow.failed(Failure(410, "expired"))
    assert told(changes) == ["-a"]


def test_a_streamed_list_that_breaks_takes_nothing_away() -> None:
    follow = live(pod("a", 1), pod("b", 2))
    follow._streamed = True
    follow.failed(Failure(410, "expired"))
    follow.opened(Watching(PODS, "", initial=True))
    follow.event("ADDED", pod("a", 1))
    follow.failed(Failure(0, "lost"))
    follow.opened(Watching(PODS, "", initial=True))
    for name, version in (("a", 1), ("b", 2)):
        assert follow.event("ADDED", pod(name, version)) == []
    assert follow.bookmark("30", ends_initial=True) == []


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_cannot_stream_lists_is_asked_for_pages(status: int) -> None:
    follow = Follow[Labels]([PODS], streamed=True)
    follow.failed(Failure(status, "sendInitialEvents is forbidden"))
    assert follow.next(0) == Listing(PODS)


# --- kinds that are absent or forbidden ----------------------------------------------------------


def test_a_kind_that_was_never_there_is_absent_when_no_version_is() -> None:
    follow = Follow[Labels](TIERS)
    follow.failed(Failure(404, "not found"))
    assert follow.next(1) == Listing(TIERS[1])
    assert standing(follow) is SyncState.SYNCING
    follow.failed(Failure(404, "not found"))
    assert standing(follow) is SyncState.ABSENT
    assert follow.given_up() == []
    assert follow.next(1) == Pausing(ABSENT_PAUSE)
    assert follow.next(1) == Listing(TIERS[0])


def test_a_kind_that_appears_is_followed() -> None:
    follow = Follow[Labels]([THINGS])
    follow.failed(Failure(404, "not found"))
    assert standing(follow) is SyncState.ABSENT
    assert listed(follow, pod("a", 1), version=5) == ["+a"]
    assert standing(follow) is SyncState.LIVE


def test_a_kind_that_vanishes_is_believed_the_second_time() -> None:
    follow = live(pod("a", 1), of=THINGS)
    follow.failed(Failure(404, "not found"))
    assert follow.given_up() == []
    assert standing(follow) is SyncState.LATE
    assert follow.next(0) == Pausing(CONFIRM_PAUSE)
    assert follow.next(0) == Listing(THINGS)
    follow.failed(Failure(404, "not found"))
    assert told(follow.given_up()) == ["-a"]
    assert follow.given_up() == []


@pytest.mark.parametrize("kind", ALWAYS_THERE)
def test_what_every_server_has_is_never_absent(kind: str) -> None:
    resource = Resource("", "v1", kind, "plural", namespaced=True)
    new, known = Follow[Labels]([resource]), live(pod("a", 1), of=resource)
    for follow, expected in ((new, SyncState.SYNCING), (known, SyncState.LATE)):
        for _ in range(9):
            follow.failed(Failure(404, "not found"))
            assert follow.given_up() == []
            assert follow.state.standing is expected
            assert follow.state.message == "not found"
            assert isinstance(follow.next(1), Pausing)
    assert listed(known, pod("a", 1), version=12) == []
    assert standing(known) is SyncState.LIVE


def test_a_404_that_passes_takes_nothing_away() -> None:
    follow = live(pod("a", 1), of=THINGS)
    for _ in range(3):
        follow.failed(Failure(404, "not found"))
        assert follow.given_up() == []
        assert listed(follow, pod("a", 1), version=12) == []


def test_absences_with_something_else_between_them_are_not_believed() -> None:
    follow = live(pod("a", 1), of=THINGS)
    for other in (Failure(500, "leader changed"), Failure(0, "lost"), Failure(410, "expired")):
        follow.failed(Failure(404, "not found"))
        follow.failed(other)
    follow.failed(Failure(404, "not found"))
    assert follow.given_up() == []


def test_a_forbidden_kind_stays_as_it_was_known() -> None:
    follow = live(pod("a", 1))
    follow.failed(Failure(403, "pods is forbidden"))
    assert (follow.state.standing, follow.state.message) == (
        SyncState.FORBIDDEN,
        "pods is forbidden",
    )
    assert follow.given_up() == []
    assert follow.next(1) == Pausing(ABSENT_PAUSE)
    assert follow.next(1) == Listing(PODS)
    assert listed(follow, pod("a", 1), version=12) == []
    assert standing(follow) is SyncState.LIVE
