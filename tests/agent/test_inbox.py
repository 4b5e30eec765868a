"""What waits for the thread that enforces."""

from __future__ import annotations

import threading

import pytest

from podfence.agent.inbox import MOST, Inbox
from podfence.kernel.nftables.notices import Notice
from podfence.kube.follow import KindState, SyncState
from podfence.model.facts import Event, Gone, NamespaceFacts, NodeFacts, PodFacts, PolicyFacts, Put

NODE = "n1"
FAR, NEAR = PodFacts("a", "far", node="n2"), PodFacts("a", "near", node=NODE)
POLICY = PolicyFacts("NetworkPolicy", "a", "p", b"{}")


def inbox(*parts: str) -> Inbox:
    return Inbox(NODE, ((part, "") for part in parts))


def told(box: Inbox, *events: Event, at: float = 1.0) -> None:
    box.tell(((event, "") for event in events), at)


def taken(box: Inbox) -> list[Event]:
    return [each.event for each in box.take(0).events]


def test_the_latest_of_an_object_is_told_with_the_first_time() -> None:
    box = inbox()
    told(box, Put(FAR), at=1.0)
    told(box, Gone("Pod", "a", "far"), at=2.0)
    (found,) = box.take(0).events
    assert (found.event, found.at) == (Gone("Pod", "a", "far"), 1.0)
    assert taken(box) == []


@pytest.mark.parametrize(
    "first",
    [
        Put(NEAR),
        Put(POLICY),
        Put(NamespaceFacts("a")),
        Put(NodeFacts("n2")),
        Gone("NetworkPolicy", "a", "p"),
    ],
    ids=lambda event: type(getattr(event, "facts", event)).__name__,
)
def test_what_pods_of_this_node_depend_on_goes_first(first: Event) -> None:
    box = inbox()
    told(box, *(Put(PodFacts("a", f"far-{n}", node="n2")) for n in range(2 * MOST)), first)
    assert taken(box)[0] == first


def test_a_pod_of_this_node_that_goes_goes_first() -> None:
    box = inbox()
    told(box, Put(NEAR))
    assert taken(box) == [Put(NEAR)]
    told(box, Put(FAR), Gone("Pod", "a", "near"))
    assert taken(box) == [Gone("Pod", "a", "near"), Put(FAR)]


def test_a_name_that_moves_to_another_node_is_one_event() -> None:
    box = inbox()
    told(box, Put(NEAR), Put(PodFacts("a", "near", node="n2")))
    assert taken(box) == [Put(PodFacts("a", "near", node="n2"))]


def test_a_batch_has_an_end() -> None:
    box = inbox()
    told(box, *(Put(PodFacts("a", f"p{n}")) for n in range(MOST + 1)))
    assert [len(taken(box)) for _ in range(3)] == [MOST, 1, 0]


def test_all_is_whole_when_every_part_was_listed_and_taken() -> None:
    box = inbox("Pod", "Node")
    told(box, *(Put(PodFacts("a", f"p{n}")) for n in range(MOST + 1)))
    box.stand(KindState("Pod", SyncState.LIVE))
    assert not box.take(0).whole
    box.stand(KindState("Node", SyncState.SYNCING))
    assert not box.take(0).whole
    box.stand(KindState("Node", SyncState.FORBIDDEN))
    assert not box.take(0).whole
    box.stand(KindState("Node", SyncState.ABSENT))
    assert box.take(0).whole
    told(box, *(Put(PodFacts("a", f"p{n}")) for n in range(MOST + 1)))
    assert [box.take(0).whole for _ in range(2)] == [False, True]


def test_the_parts_of_a_kind_count_each() -> None:
    box = Inbox(NODE, [("Pod", "own"), ("Pod", "other")])
    box.stand(KindState("Pod", SyncState.LIVE, only="own"))
    assert not box.take(0).whole
    box.stand(KindState("Pod", SyncState.LIVE, only="other"))
    assert box.take(0).whole


def test_the_end_wakes_a_waiting_thread() -> None:
    box = inbox()
    found: list[bool] = []
    waiting = threading.Thread(target=lambda: found.append(box.take(60).ended))
    waiting.start()
    box.end()
    waiting.join(30)
    assert found == [True]


def test_notices_and_standings_are_told_once() -> None:
    box = inbox()
    box.notice(Notice("nft", 7))
    box.stand(KindState("Pod", SyncState.LATE, "away"))
    first, second = box.take(0), box.take(0)
    assert (first.notices, first.standings) == (
        (Notice("nft", 7),),
        (KindState("Pod", SyncState.LATE, "away"),),
    )
    assert (second.notices, second.standings) == ((), ())
