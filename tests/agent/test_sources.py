"""Which Nodes an agent follows: its own, and the others once a policy asks for Nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from podfence.agent.inbox import Inbox
from podfence.agent.sources import asks_for_nodes, feed, nodes_of_others, read, resources, sources
from podfence.kube.access import Access, ServerAddress, StaticCredential
from podfence.kube.resource import own_node
from podfence.kube.watch import Watch
from podfence.live.wire import ReadObject
from podfence.model.facts import Event, Gone, NodeFacts, PodFacts, PolicyFacts, Put
from tests.kube.fakeapi import serving
from tests.kube.fakecluster import SERVED, TIER, FakeCluster

OTHERS = nodes_of_others("n1")
OWN = ("Node", own_node("n1")[0].only)
WAIT = 60.0


class Fed:
    """An inbox that a cluster is fed into. ``events``: all that came; ``whole``: whether
    everything was known by then that has to be."""

    def __init__(self, watch: Watch[ReadObject]) -> None:
        wanted = ((each[0].kind, each[0].only) for each in resources("n1"))
        self.watch = watch
        self.inbox = Inbox("n1", (part for part in wanted if part != OTHERS))
        self.events: list[Event] = []
        self.whole = False

    def until(self, true: Callable[[], bool]) -> None:
        for _ in range(int(WAIT / 0.05)):
            taken = self.inbox.take(0.05)
            self.events += [told.event for told in taken.events]
            self.whole = taken.whole
            if true():
                return
        raise AssertionError((self.events, self.whole))

    @property
    def nodes(self) -> set[str]:
        facts = [event.facts for event in self.events if isinstance(event, Put)]
        return {each.name for each in facts if isinstance(each, NodeFacts)}

    @property
    def parts(self) -> set[str]:
        return {each.part for each in sources(self.watch) if each.kind == "Node"}


@contextmanager
def fed(cluster: FakeCluster) -> Iterator[Fed]:
    with serving(cluster.respond) as api:
        access = Access(ServerAddress(api.url), StaticCredential())
        watch = Watch(access, resources("n1"), read, later=[OTHERS], environment={})
        found = Fed(watch)
        stopped = threading.Event()
        thread = threading.Thread(target=feed, args=(watch, found.inbox, stopped, OTHERS))
        thread.start()
        try:
            yield found
        finally:
            stopped.set()
            cluster.cut()
            thread.join()


@pytest.fixture
def cluster() -> FakeCluster:
    found = FakeCluster(served={**SERVED, TIER: ("ClusterNetworkPolicy", False)})
    for name in ("n1", "n2", "n3"):
        found.apply({"kind": "Node", "metadata": {"name": name}})
    return found


def policy(*peers: dict[str, Any]) -> dict[str, Any]:
    rule = {"action": "Deny", "to": list(peers)}
    return {"kind": "ClusterNetworkPolicy", "metadata": {"name": "x"}, "spec": {"egress": [rule]}}


NODES = policy({"nodes": {"matchLabels": {"a": "b"}}})


def test_without_such_a_policy_the_own_node_is_enough(cluster: FakeCluster) -> None:
    cluster.apply(policy({"networks": ["10.0.0.0/8"]}))
    with fed(cluster) as found:
        found.until(lambda: found.whole)
        assert (found.nodes, found.parts) == ({"n1"}, {"own"})


def test_with_one_from_the_start_nothing_is_whole_before_all_nodes_are_known(
    cluster: FakeCluster,
) -> None:
    """A rule that denies Nodes would be open for those that are not known yet."""
    cluster.apply(NODES)
    with fed(cluster) as found:
        found.until(lambda: found.whole)
        assert (found.nodes, found.parts) == ({"n1", "n2", "n3"}, {"own", "other"})


def test_the_first_one_that_comes_later_brings_the_others(cluster: FakeCluster) -> None:
    with fed(cluster) as found:
        found.until(lambda: found.whole)
        cluster.apply(NODES)
        found.until(lambda: found.nodes == {"n1", "n2", "n3"})
        cluster.delete("nodes", "", "n3")
        found.until(lambda: Gone("Node", "", "n3") in found.events)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (Put(PolicyFacts("ClusterNetworkPolicy", "", "x", b'{"spec":{"nodes":{}}}')), True),
        (Put(PolicyFacts("AdminNetworkPolicy", "", "x", b'{"spec":{"nodes":{}}}')), True),
        (Put(PolicyFacts("ClusterNetworkPolicy", "", "x", b'{"spec":{}}')), False),
        (Put(PolicyFacts("NetworkPolicy", "a", "x", b'{"spec":{"nodes":{}}}')), False),
        (Put(PodFacts("a", "x")), False),
        (Gone("ClusterNetworkPolicy", "", "x"), False),
    ],
)
def test_policies_that_ask_for_nodes(event: Event, expected: bool) -> None:
    assert asks_for_nodes(event) is expected
