"""A whole cluster followed event by event, against a compile of its last state from nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from podfence.engine.allpairs import Reachability, all_pairs
from podfence.engine.clusterpairs import ClusterPairs
from podfence.live import clusterstep
from podfence.live.clusterevents import ClusterEvent, gone, put, unread
from podfence.live.clusterindex import Affected, ClusterIndex
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.doubt import Doubt
from podfence.model.meta import ObjectRef
from podfence.model.objects import Node, Pod
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.policy.classes import ClassKey, class_key
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.certainty import Certainty
from podfence.questions.connectivity import connectivity
from podfence.questions.why import why
from podfence.render.map_data import map_json
from podfence.render.verdicts import why_text
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    node,
    peer,
    pod,
    policy,
    requirement,
    rule,
    selector,
)
from tests.support.counting import lines_of
from tests.support.described import described, names_of_classes
from tests.support.odd_clusters import odd_cluster
from tests.support.random_clusters import TIERS, Size, objects_of, random_cluster
from tests.support.random_events import cluster_after, random_events
from tests.support.random_tiers import NAMES

SEQUENCES = 2000 if os.environ.get("PODFENCE_HYPOTHESIS") == "long" else 24
EVENTS = 50
FAMILIES = (4, 6)


class Followed:
    """A state and its pairs, as events have led to them."""

    def __init__(self, cluster: Cluster | None = None) -> None:
        empty = ClusterIndex.empty(NAMES)
        self.live = empty if cluster is None else ClusterIndex.of(cluster, NAMES)
        self.pairs = {family: ClusterPairs.of(self.live.index, family) for family in FAMILIES}

    def take(self, events: Iterable[ClusterEvent]) -> Affected:
        self.live, affected = self.live.apply(events)
        self.pairs = {f: pairs.after(self.live.index, affected) for f, pairs in self.pairs.items()}
        return affected


def rows(index: PolicyIndex, found: Reachability) -> dict[Any, dict[Any, Any]]:
    """Pairs by what is in the classes."""
    name = names_of_classes(index)
    return {
        name(destination): {ports: frozenset(map(name, who)) for ports, who in row.items()}
        for destination, row in found.rows.items()
    }


def agree(followed: Followed, cluster: Cluster) -> PolicyIndex:
    """The compile from nothing, which says the same."""
    full = compile_cluster(cluster, NAMES)
    assert described(followed.live.index) == described(full)
    for family, pairs in followed.pairs.items():
        assert rows(followed.live.index, pairs.reachability) == rows(full, all_pairs(full, family))
    return full


def batches(rng: Random, events: Iterable[ClusterEvent]) -> Iterator[list[ClusterEvent]]:
    left = list(events)
    while left:
        size = rng.choice((1, 1, 1, 2, 7))
        yield left[:size]
        left = left[size:]


def answers(index: PolicyIndex) -> list[Any]:
    """What a user reads: the map, explanations, and what is certain about them."""
    found: list[Any] = [read_map(b"".join(map_json(connectivity(index))))]
    asker, certainty = QueryEvaluator(index), Certainty(index)
    names = sorted(name for name, e in index.endpoints.items() if e.addresses)[:4]
    found.append(certainty.open_pods())
    for source in names:
        for destination in names:
            if index.endpoints[source].addresses[0].version in {
                address.version for address in index.endpoints[destination].addresses
            }:
                question = Can(source, destination, 80)
                found.append(why_text(why(asker, question), lambda source, path: None))
                found += [
                    set(certainty.open(case.source, case.destination, case.verdict))
                    for case in asker.can(question).cases
                ]
    return found


def read_map(text: bytes) -> Any:
    """A map; the sources of a row have no order of their own."""
    found = json.loads(text)
    for row in found["connections"]:
        row["from"].sort()
    return found


# -- laws


@pytest.mark.law
@pytest.mark.parametrize("size", [Size(pods=8, policies=6), TIERS], ids=["policies", "tiers"])
def test_following_events_is_compiling_the_last_state(size: Size) -> None:
    for seed in range(SEQUENCES):
        rng = Random(seed)
        events = list(random_events(rng, EVENTS, size))
        followed, told = Followed(), list[ClusterEvent]()
        for batch in batches(rng, events):
            followed.take(batch)
            told += batch
            if rng.random() < 0.3 or len(told) == len(events):
                try:
                    agree(followed, cluster_after(told))
                except AssertionError as error:
                    error.add_note(f"sequence {seed}, after {len(told)} events, the last {batch}")
                    raise


@pytest.mark.law
def test_what_users_read_is_the_same() -> None:
    for seed in range(SEQUENCES):
        rng = Random(seed)
        events = list(random_events(rng, EVENTS))
        live = ClusterIndex.empty(NAMES)
        for batch in batches(rng, events):
            live, _ = live.apply(batch)
        full = compile_cluster(cluster_after(events), NAMES)
        assert answers(live.index) == answers(full), f"sequence {seed}"


@pytest.mark.law
def test_the_rules_of_a_kernel_are_the_same() -> None:
    for seed in range(SEQUENCES):
        events = list(random_events(Random(seed), EVENTS))
        live, _ = ClusterIndex.empty(NAMES).apply(events[:25])
        for event in events[25:]:
            live, _ = live.apply([event])
        full = compile_cluster(cluster_after(events), NAMES)
        assert lower(live.index, LocalNode("n1")) == lower(full, LocalNode("n1")), seed


def test_a_state_never_changes_and_may_be_left_in_several_ways() -> None:
    for seed in range(SEQUENCES // 4):
        rng = Random(seed)
        base = Followed(random_cluster(rng, TIERS))
        before = described(base.live.index)
        pairs = {f: rows(base.live.index, p.reachability) for f, p in base.pairs.items()}
        for way in range(4):
            live, kept = base.live, base.pairs
            for event in random_events(Random(seed * 10 + way), 8):
                live, affected = live.apply([event])
                kept = {f: p.after(live.index, affected) for f, p in kept.items()}
            again = compile_cluster(live.objects.cluster, NAMES)
            assert described(live.index) == described(again)
            for family in FAMILIES:
                found = rows(live.index, kept[family].reachability)
                assert found == rows(again, all_pairs(again, family))
        assert described(base.live.index) == before
        assert {f: rows(base.live.index, p.reachability) for f, p in base.pairs.items()} == pairs


def test_what_is_not_affected_is_as_before() -> None:
    for seed in range(SEQUENCES // 2):
        rng = Random(seed)
        followed = Followed(random_cluster(rng, TIERS))
        for event in random_events(rng, 10):
            old = {f: p.reachability.rows for f, p in followed.pairs.items()}
            affected = followed.take([event])
            for family, pairs in followed.pairs.items():
                now = pairs.reachability.rows
                for to in (old[family].keys() & now.keys()) - set(affected.classes):
                    if to not in affected.ingress:
                        for who in (affected.egress | affected.classes,):
                            assert without(now[to], who) == without(old[family][to], who)


def without(row: Any, classes: Any) -> Any:
    found = ((ports, who - classes) for ports, who in row.items())
    return {ports: who for ports, who in found if who}


@pytest.mark.law
def test_odd_objects_that_come_and_go_leave_nothing_behind() -> None:
    for seed in range(SEQUENCES):
        rng = Random(seed)
        things = objects_of(odd_cluster(rng, TIERS))
        nodes = [thing.name for thing in things if isinstance(thing, Node) and rng.random() < 0.5]
        events, lost = (
            [put(thing) for thing in things],
            [gone(ObjectRef("Node", "", name)) for name in nodes],
        )
        followed = Followed()
        followed.take(events)
        agree(followed, cluster_after(events))
        followed.take(lost)
        agree(followed, cluster_after([*events, *lost]))


def test_a_cluster_becomes_another_by_what_differs() -> None:
    for seed in range(SEQUENCES):
        rng = Random(seed)
        one, other = random_cluster(rng, TIERS), random_cluster(rng, TIERS)
        live, _ = ClusterIndex.of(one, NAMES).to(other)
        assert described(live.index) == described(compile_cluster(other, NAMES)), seed
        same, affected = live.to(other)
        assert same is live
        assert not affected


# -- single events

WEB = pod("n/web", {"app": "web"}, addresses=["10.0.0.1"], ports=["http:80"])
OTHER_WEB = pod("n/web-2", {"app": "web"}, addresses=["10.0.0.4"], ports=["http:80"])
DB = pod("n/db", {"app": "db"}, addresses=["10.0.0.2"], ports=["http:8080"])
FAR = pod("m/far", {"app": "web"}, addresses=["10.0.0.3"])
TO_DB = policy("n/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=[5432])])
TO_HTTP = policy("n/web", {"app": "web"}, egress=[rule(peer(pods={}), ports=["http"])])
GUARD = cluster_policy(
    "guard",
    namespaces={"team": "a"},
    egress=[cluster_rule("Deny", cluster_peer(nodes={}))],
)
FIRST: tuple[ClusterObject, ...] = (
    namespace("n", {"team": "a"}),
    namespace("m"),
    node("n1", "172.18.0.2"),
    *(WEB, DB, FAR, TO_DB, TO_HTTP, GUARD),
)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([], id="nothing"),
        pytest.param([put(OTHER_WEB)], id="a pod of a class that is there"),
        pytest.param([gone(DB.ref)], id="the last pod of a class"),
        pytest.param([gone(DB.ref), put(DB)], id="gone and there again at once"),
        pytest.param([put(replace(DB, addresses=WEB.addresses))], id="NP-60a two with one address"),
        pytest.param(
            [put(replace(DB, addresses=WEB.addresses)), gone(WEB.ref)], id="an address goes on"
        ),
        pytest.param([put(replace(DB, finished=True))], id="NP-60 a pod has finished"),
        pytest.param([put(replace(DB, ports=WEB.ports))], id="NP-36 a port name has moved"),
        pytest.param([put(replace(WEB, labels=()))], id="a pod has other labels"),
        pytest.param([put(namespace("n", {"team": "b"}))], id="a namespace has other labels"),
        pytest.param([gone(ObjectRef("Namespace", "", "n"))], id="a namespace nobody declares"),
        pytest.param([gone(FAR.ref), gone(ObjectRef("Namespace", "", "m"))], id="an empty one"),
        pytest.param([put(node("n1", "172.18.0.9"))], id="CNP-18 a node has another address"),
        pytest.param([gone(TO_DB.ref)], id="a policy is gone"),
        pytest.param(
            [put(policy("n/db", {"app": "db"}, egress=[rule(peer(cidr="10.0.0.0/31"))]))],
            id="NP-24 a new block",
        ),
        pytest.param(
            [put(policy("n/db", {"tier": "x"}))], id="a label that nobody asked for before"
        ),
        pytest.param(
            [put(policy("n/p", selector(None, requirement("app", "NotIn", "db"))))], id="NotIn"
        ),
        pytest.param([put(replace(GUARD, priority=3))], id="a tier is edited"),
        pytest.param([unread(Doubt("NetworkPolicy", "n", "db"))], id="a policy is not readable"),
        pytest.param([unread(Doubt("Pod", "n", "web"))], id="a pod is not readable"),
        pytest.param([unread(Doubt("", addresses=None))], id="an object is not readable at all"),
    ],
)
def test_an_event(events: list[ClusterEvent]) -> None:
    first = [put(thing) for thing in FIRST]
    followed = Followed()
    followed.take(first)
    followed.take(events)
    full = agree(followed, cluster_after([*first, *events]))
    assert answers(followed.live.index) == answers(full)


def test_telling_an_event_again_changes_nothing() -> None:
    live, _ = ClusterIndex.empty().apply([put(WEB), put(TO_DB)])
    again, affected = live.apply([put(WEB), put(TO_DB), gone(DB.ref)])
    assert again is live
    assert not affected


# -- work

FEW, TIMES = 30, 4


def many_namespaces(count: int) -> Iterator[ClusterObject]:
    """Namespaces of a kind, each with pods and policies of its own and a rule for all others."""
    for number in range(count):
        name = f"n{number}"
        yield namespace(name, {"team": f"t{number}"})
        for at, app in enumerate(("web", "db")):
            address = f"10.{number}.0.{at + 1}"
            yield pod(f"{name}/{app}", {"app": app}, addresses=[address], ports=["http:80"])
        to_db = rule(peer(pods={"app": "web"}), ports=[5432])
        yield policy(f"{name}/db", {"app": "db"}, ingress=[to_db])
        team = peer(namespaces={"team": f"t{(number + 1) % count}"})
        yield policy(f"{name}/web", {"app": "web"}, egress=[rule(team, ports=["http"])])


MORE = pod("n3/web-2", {"app": "web"}, addresses=["10.3.0.9"], ports=["http:80"])
NEW = pod("n3/new", {"app": "new"}, addresses=["10.3.0.9"])
OPENED = policy("n3/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}))])


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(put(OPENED), id="a policy is edited"),
        pytest.param(gone(OPENED.ref), id="a policy is gone"),
        pytest.param(put(MORE), id="a pod more of a class"),
        pytest.param(put(NEW), id="a new class"),
        pytest.param(gone(ObjectRef("Pod", "n3", "db")), id="the last pod of a class"),
    ],
)
def test_the_work_for_an_event_does_not_grow_with_the_cluster(event: ClusterEvent) -> None:
    few, many = (work(event, count) for count in (FEW, FEW * TIMES))
    assert many < 1.5 * few, f"{many / few:.1f} times the lines in {TIMES} times the cluster"


@pytest.mark.parametrize("namespaces", [FEW, FEW * TIMES])
def test_a_block_puts_only_pods_that_lie_in_it_in_a_class_again(
    namespaces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is named for the first time, and when it no longer is."""
    asked: list[str] = []

    def counted(pod: Pod, *rest: Any) -> ClassKey:
        asked.append(f"{pod.namespace}/{pod.name}")
        return class_key(pod, *rest)

    live = ClusterIndex.of(Cluster.of(many_namespaces(namespaces)))
    monkeypatch.setattr(clusterstep, "class_key", counted)
    block = policy("n3/web", {"app": "web"}, egress=[rule(peer(cidr="10.5.0.0/24"))])
    cut, _ = live.apply([put(block)])
    assert sorted(asked) == ["n5/db", "n5/web"]
    asked.clear()
    cut.apply([gone(block.ref)])
    assert sorted(asked) == ["n5/db", "n5/web"]


def work(event: ClusterEvent, namespaces: int) -> int:
    """Lines of Python that an event runs. What selectors select is known, as after a while."""
    live = ClusterIndex.of(Cluster.of(many_namespaces(namespaces)))

    def take() -> None:
        live.apply([event])

    return lines_of(take)
