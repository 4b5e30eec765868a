"""What the start of a pod waits for: its address, enforced, and never for long."""

from __future__ import annotations

import threading
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from podfence.agent.inbox import Inbox
from podfence.agent.nri import Sandbox
from podfence.agent.podstarts import PodStarts
from podfence.model.facts import Gone, PodFacts, Put
from tests.agent.newpod import NEW, A, B


class Starts:
    """Pod starts with an inbox that is emptied at once, as a writer would."""

    def __init__(self, patience: float = 20.0) -> None:
        self.inbox = Inbox("n1", [])
        self.starts = PodStarts("n1", self.inbox, patience=patience)
        self.enforced: dict[str, PodFacts | None] = {}

    def enforce(self) -> None:
        """One turn of the writer."""
        events = [told.event for told in self.inbox.take(0.0).events]
        for event in events:
            if isinstance(event, Gone):
                self.enforced[event.name] = None
            elif isinstance(event.facts, PodFacts):
                self.enforced[event.facts.name] = event.facts
        self.starts.arrived(events)

    def api(self, *events: Put | Gone) -> None:
        self.starts.tell([(event, "") for event in events], 0.0)
        self.enforce()

    def start(self, address: str) -> threading.Thread:
        given = Sandbox("shop", "web", (ip_address(address),) if address else ())
        thread = threading.Thread(target=self.starts.start, args=(given,), daemon=True)
        thread.start()
        return thread

    def until_done(self, thread: threading.Thread) -> None:
        for _ in range(2000):
            self.enforce()
            thread.join(0.01)
            if not thread.is_alive():
                return
        raise AssertionError("it waits for ever")

    def now(self) -> tuple[int, int] | None:
        found = self.enforced["web"]
        return None if found is None else (found.v4, found.v6)


def test_a_start_waits_until_the_address_is_enforced() -> None:
    world = Starts()
    world.api(Put(NEW))
    thread = world.start("10.1.0.1")
    thread.join(0.2)
    assert thread.is_alive()
    world.until_done(thread)
    assert world.now() == (A, -1)
    assert world.enforced["web"] is not None
    assert world.enforced["web"].labels == NEW.labels
    assert world.starts.counts == {"in_time": 1}


def test_what_the_api_has_told_is_not_enforced_yet() -> None:
    """The address may be on its way from the one thread to the other."""
    world = Starts()
    world.starts.tell([(Put(replace(NEW, v4=A)), "")], 0.0)
    thread = world.start("10.1.0.1")
    thread.join(0.2)
    assert thread.is_alive()
    world.until_done(thread)
    assert world.now() == (A, -1)
    assert world.starts.counts == {"in_time": 1}


def test_a_pod_that_is_other_than_what_is_enforced_waits() -> None:
    """One of the same name and address has gone, and its rules were others."""
    world = Starts()
    old = replace(NEW, v4=A)
    world.api(Put(old))
    world.starts.tell([(Put(replace(old, labels=b'{"app":"other"}')), "")], 0.0)
    thread = world.start("10.1.0.1")
    thread.join(0.2)
    assert thread.is_alive()
    world.until_done(thread)


def test_a_pod_that_the_api_tells_of_later_has_its_address_at_once() -> None:
    world = Starts()
    thread = world.start("10.1.0.1")
    thread.join(0.1)
    world.api(Put(NEW))
    world.until_done(thread)
    assert world.now() == (A, -1)


def test_news_without_an_address_do_not_take_it_away() -> None:
    world = Starts()
    world.api(Put(NEW))
    world.until_done(world.start("10.1.0.1"))
    labels = b'{"app":"x"}'
    world.api(Put(PodFacts("shop", "web", labels, node="n1")))
    assert world.now() == (A, -1)
    found = world.enforced["web"]
    assert found is not None
    assert found.labels == labels


@pytest.mark.parametrize("address", [A, B])
def test_the_api_has_the_last_word(address: int) -> None:
    world = Starts()
    world.api(Put(NEW))
    world.until_done(world.start("10.1.0.1"))
    world.api(Put(PodFacts("shop", "web", v4=address, node="n1")))
    assert world.now() == (address, -1)
    world.api(Put(NEW))
    assert world.now() == (-1, -1)


def test_a_pod_of_the_same_name_does_not_inherit_the_address() -> None:
    world = Starts()
    world.api(Put(NEW))
    world.until_done(world.start("10.1.0.1"))
    world.api(Gone("Pod", "shop", "web"))
    world.api(Put(NEW))
    assert world.now() == (-1, -1)


def test_a_pod_takes_the_place_of_one_that_is_going() -> None:
    world = Starts()
    world.api(Put(PodFacts("shop", "web", v4=A, node="n1", deleting=True)))
    thread = world.start("10.1.0.2")
    thread.join(0.1)
    world.enforce()
    assert world.now() == (A, -1)
    world.api(Gone("Pod", "shop", "web"))
    world.api(Put(NEW))
    world.until_done(thread)
    assert world.now() == (B, -1)


def test_a_second_network_of_a_known_pod_is_taken() -> None:
    world = Starts()
    old = PodFacts("shop", "web", v4=A, node="n1")
    world.api(Put(old))
    world.until_done(world.start("10.1.0.2"))
    assert world.now() == (B, -1)
    world.api(Put(old))  # the API has not heard of it yet
    assert world.now() == (B, -1)


def test_a_third_network_with_the_address_of_the_first_makes_the_second_forgotten() -> None:
    world = Starts()
    old = PodFacts("shop", "web", v4=A, node="n1")
    world.api(Put(old))
    world.until_done(world.start("10.1.0.2"))
    world.until_done(world.start("10.1.0.1"))
    assert world.now() == (A, -1)
    world.api(Put(replace(old, labels=b'{"app":"x"}')))
    assert world.now() == (A, -1)


def test_a_third_network_is_enforced_though_the_second_was_not_yet() -> None:
    """What the kernel holds is the address of the first, and the second's is on its way to it."""
    world = Starts(patience=0.05)
    world.api(Put(PodFacts("shop", "web", v4=A, node="n1")))
    world.start("10.1.0.2").join(20)
    assert world.starts.counts == {"late": 1}
    world.starts.start(Sandbox("shop", "web", (ip_address("10.1.0.1"),)))
    world.enforce()
    assert world.now() == (A, -1)


@pytest.mark.parametrize(
    ("known", "address", "outcome"),
    [
        (None, "10.1.0.1", "late"),
        (NEW, "10.1.0.1", "late"),
        (NEW, "", "no_address"),
        (PodFacts("shop", "web", v4=A, node="n1"), "10.1.0.1", "in_time"),
        (PodFacts("shop", "web", node="n1", seen=False), "10.1.0.1", "in_time"),
        (PodFacts("shop", "web", node="other"), "10.1.0.1", "late"),
    ],
)
def test_a_start_never_waits_for_long(known: PodFacts | None, address: str, outcome: str) -> None:
    world = Starts(patience=0.05)
    if known is not None:
        world.api(Put(known))
    thread = world.start(address)  # and nobody enforces anything
    thread.join(20)
    assert not thread.is_alive()
    assert world.starts.counts == {outcome: 1}
