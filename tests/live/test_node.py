"""One node's live reader against a compile of the whole cluster from nothing."""

from __future__ import annotations

import json
from random import Random

import pytest
from msgspec.structs import replace

from podfence.live.node import LiveIndex
from podfence.model.cluster import ClusterObject
from podfence.model.facts import Event, Gone, PolicyFacts, Put
from podfence.nft.contents import Contents
from podfence.nft.lowering.assembly import Assembly
from podfence.nft.lowering.delta import Delta
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.lowering.sizes import sizes
from podfence.nft.lowering.tightening import Tightening, tightening
from podfence.nft.objects import MemberSet
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import AddChain, AddElements, DeleteElements, FlushChain
from podfence.policy.compile import compile_cluster
from podfence.testing.builders import namespace, peer, pod, policy, rule
from podfence.testing.facts import facts_of
from tests.support.live_worlds import World, key_of
from tests.support.odd_clusters import moved_alike
from tests.support.random_clusters import TIERS, Size

SIZES = {"policies": Size(pods=8, policies=6), "tiers": TIERS}
NODE = "n1"


class Node:
    """The reader of one node, and the ruleset that its deltas have led to. ``watchful``: all that a
    delta says is compared with the whole rulesets, which costs most of the time."""

    def __init__(self, name: str = NODE, *, watchful: bool = True) -> None:
        self.watchful = watchful
        self.index = LiveIndex(name)
        self.assembly = Assembly(LocalNode(name), self.index.selections)
        self._table = Contents(self.assembly.ruleset())

    @property
    def applied(self) -> Ruleset:
        """What the deltas have made of the table."""
        found = self._table.ruleset()
        assert found is not None
        return found

    def take(self, *events: Event) -> Delta:
        """Every delta does to the table what it says."""
        before = self.applied if self.watchful else None
        delta = self.assembly.apply(self.index.apply(events))
        for operation in delta.transaction:
            self._table.do(delta.transaction.table, operation)
        if before is not None:
            after = self.applied
            assert after == self.assembly.ruleset()
            assert delta.tightens is tightening(before, after, delta.released)
        return delta

    def put(self, *things: ClusterObject) -> Delta:
        return self.take(*(Put(facts_of(thing)) for thing in things))

    def gone(self, thing: ClusterObject) -> Delta:
        return self.take(Gone(*key_of(thing)))


def wanted(world: World) -> Ruleset:
    return lower(compile_cluster(world.cluster()), world.local_node())


def follow(world: World, steps: int) -> None:
    """Several events at once now and then."""
    reader = Node(world.node)
    reader.take(*world.start())
    assert reader.applied == wanted(world)
    for _ in range(steps):
        events = [event for _ in range(world.rng.choice((1, 1, 1, 4))) for event in world.step()]
        reader.take(*events)
        assert reader.applied == wanted(world)
        *_, counted = reader.assembly.sizing()
        assert counted == sizes(reader.applied.objects())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(20))
def test_what_follows_events_is_what_a_compile_from_nothing_is(seed: int, size: str) -> None:
    follow(World(Random(seed), SIZES[size]), 30)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(12))
def test_policies_come_and_go_as_audited_ones(seed: int, size: str) -> None:
    follow(World(Random(seed), SIZES[size], audited=(0.3, 0.7)[seed % 2]), 30)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(12))
def test_the_same_at_the_ends_of_the_address_space(seed: int, size: str) -> None:
    """And with nodes that have an address of another, and one name in several namespaces."""
    follow(World(Random(seed), SIZES[size], make=moved_alike(Random(seed))), 30)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("block", range(8))
def test_the_same_for_many_sequences(block: int, size: str) -> None:
    for seed in range(100 + block * 4, 104 + block * 4):
        follow(World(Random(seed), SIZES[size]), 50)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(5))
def test_neither_order_nor_history_is_left(seed: int, size: str) -> None:
    """A reader that saw all the changes, one that is told of what is left, and one that is told of
    it one by one in another order, hold the same; and of what goes nothing stays."""
    world = World(Random(seed), SIZES[size])
    old, new, slow = Node(), Node(), Node()
    for _ in range(40):
        old.take(*world.step())
    left = [Put(facts) for facts in world.told.values()]
    new.take(*left)
    world.rng.shuffle(left)
    for event in left:
        slow.take(event)
    assert old.applied == new.applied == slow.applied
    world.rng.shuffle(left)
    for key in list(world.told):
        slow.take(Gone(*key))
    assert slow.applied == Node().applied
    assert len(slow.index.selections) == 0
    assert len(slow.assembly) == 0


# -- work is proportional to what changed

WEB = pod("shop/web", {"app": "web"}, addresses=["10.0.0.1"], node=NODE)
DB = pod("shop/db", {"app": "db"}, addresses=["10.0.1.1"], node="n2")
MORE = pod("shop/db-2", {"app": "db"}, addresses=["10.0.1.9"], node="n2")
FAR = pod("far/api", {"app": "api"}, addresses=["10.0.1.2"], node="n2")
WEB_FROM_DB = policy("shop/web-from-db", {"app": "web"}, ingress=[rule(peer(pods={"app": "db"}))])
WEB_FROM_ALL = policy("shop/web-from-all", {"app": "web"}, ingress=[rule(peer(namespaces={}))])
FAR_CLOSED = policy("far/closed", {"app": "api"}, ingress=[rule(peer(pods={"app": "x"}))])


@pytest.fixture
def reader() -> Node:
    found = Node()
    things = (namespace("shop"), namespace("far"), WEB, DB, FAR, WEB_FROM_DB, WEB_FROM_ALL)
    found.put(*things, FAR_CLOSED)
    return found


def touched(delta: Delta) -> set[str]:
    """The sets of addresses that get or lose some."""
    steps = [step for step in delta.transaction if isinstance(step, AddElements | DeleteElements)]
    return {step.part.name for step in steps if isinstance(step.part, MemberSet)}


def chains(delta: Delta) -> set[str]:
    steps = (step for step in delta.transaction if isinstance(step, AddChain | FlushChain))
    return {step.name for step in steps}


def test_another_pod_of_a_known_profile_is_an_element_of_its_sets(reader: Node) -> None:
    compared = reader.index.selections.compared
    delta = reader.put(MORE)
    assert len(delta.transaction) == len(touched(delta)) == 2
    assert not chains(delta)
    assert reader.index.selections.compared == compared
    assert len(reader.gone(MORE).transaction) == 2


def test_a_pod_that_says_nothing_new_and_a_pod_without_address_change_nothing(
    reader: Node,
) -> None:
    assert not reader.put(WEB, DB).transaction
    assert not reader.put(replace(DB, name="db-2", addresses=(), has_status=True)).transaction


def test_a_pod_of_this_node_gets_its_address_by_elements_alone(reader: Node) -> None:
    more = pod("shop/web-2", {"app": "web"}, addresses=["10.0.0.2"], node=NODE)
    assert not reader.put(replace(more, addresses=(), has_status=True)).transaction
    delta = reader.put(more)
    assert not chains(delta)
    assert len(delta.transaction) == 5 + 1 + 1  # maps, itself, one set of all pods


def test_a_policy_without_pods_here_is_not_even_read(reader: Node) -> None:
    bad = PolicyFacts("NetworkPolicy", "far", "bad", b"no JSON")
    assert not reader.take(Put(bad)).transaction
    assert not reader.index.apply(()).refused
    here = pod("far/here", {"app": "api"}, addresses=["10.0.0.9"], node=NODE)
    change = reader.index.apply([Put(facts_of(here))])
    assert [refusal.ref.name for refusal in change.refused] == ["bad"]


def test_a_policy_that_selects_no_pod_here_is_read_no_further_than_that(reader: Node) -> None:
    bad = unreadable({"podSelector": {"matchLabels": {"app": "none"}}, "ingress": 1})
    assert not reader.take(bad).transaction
    assert not reader.index.apply(()).refused
    here = pod("shop/none", {"app": "none"}, addresses=["10.0.0.9"], node=NODE)
    change = reader.index.apply([Put(facts_of(here))])
    assert [refusal.ref.name for refusal in change.refused] == ["bad"]
    reader.assembly.apply(change)
    assert not reader.index.apply([Gone(*key_of(here))]).refused


def test_what_nobody_here_is_selected_by_is_put_away(reader: Node) -> None:
    """And read again, with all that it says, when somebody is."""
    policies = reader.index.policies
    before = len(policies), reader.applied
    reader.gone(WEB)
    assert len(policies) == 0
    reader.put(WEB)
    assert (len(policies), reader.applied) == before


def test_a_new_range_of_an_ip_block_cuts_nothing(reader: Node) -> None:
    blocks = policy("far/blocks", {"app": "api"}, egress=[rule(peer(cidr="10.0.1.0/31"))])
    assert not reader.put(blocks).transaction
    near = policy("shop/blocks", {"app": "web"}, egress=[rule(peer(cidr="10.0.1.0/31"))])
    assert not touched(reader.put(near))


def test_a_relabelled_namespace_moves_what_its_selectors_say(reader: Node) -> None:
    compared = reader.index.selections.compared
    assert not reader.put(namespace("far", {"team": "blue"})).transaction
    assert reader.index.selections.compared == compared
    team = policy("shop/team", {"app": "web"}, ingress=[rule(peer(namespaces={"team": "blue"}))])
    (made,) = touched(reader.put(team))
    assert touched(reader.put(namespace("far", {"team": "red"}))) == {made}


# -- what a change takes away


@pytest.mark.parametrize(
    ("change", "level"),
    [
        pytest.param(Put(facts_of(MORE)), Tightening.NO, id="a pod more"),
        pytest.param(Gone(*key_of(DB)), Tightening.OWED, id="a pod less"),
        pytest.param(Put(facts_of(replace(DB, labels=()))), Tightening.NOW, id="other labels"),
        pytest.param(Put(facts_of(replace(DB, deleting=True))), Tightening.NO, id="is deleted"),
        pytest.param(Gone(*key_of(WEB_FROM_ALL)), Tightening.NOW, id="a policy less"),
    ],
)
def test_a_delta_says_what_it_takes_away(reader: Node, change: Event, level: Tightening) -> None:
    assert reader.take(change).tightens is level


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [
        pytest.param({"app": "db"}, {}, Tightening.NO, id="more pods"),
        pytest.param({}, {"app": "db"}, Tightening.NOW, id="fewer pods"),
        pytest.param({"app": "db"}, {"app": "x"}, Tightening.NOW, id="other pods"),
        pytest.param({"app": "x"}, {"app": "db"}, Tightening.NO, id="nobody before"),
    ],
)
def test_other_peers_take_away_what_the_new_set_lacks(
    reader: Node, before: dict[str, str], after: dict[str, str], level: Tightening
) -> None:
    reader.gone(WEB_FROM_ALL)
    reader.put(policy("shop/web-from-db", {"app": "web"}, ingress=[rule(peer(pods=before))]))
    changed = policy("shop/web-from-db", {"app": "web"}, ingress=[rule(peer(pods=after))])
    assert reader.put(changed).tightens is level


def test_who_gets_an_address_and_who_leaves_one(reader: Node) -> None:
    gone = reader.gone(FAR)
    assert {family: set(found) for family, found in gone.released.items()} == {4: {0x0A000102}}
    assert not gone.given
    again = reader.put(replace(FAR, name="other"))
    assert {family: set(found) for family, found in again.given.items()} == {4: {0x0A000102}}
    moved = reader.take(Gone(*key_of(replace(FAR, name="other"))), Put(facts_of(FAR)))
    assert not moved.released
    assert not moved.given


# -- what cannot be read


def unreadable(spec: object, name: str = "bad") -> Put:
    manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": "shop", "name": name},
        "spec": spec,
    }
    return Put(PolicyFacts("NetworkPolicy", "shop", name, json.dumps(manifest).encode()))


@pytest.mark.parametrize(
    ("event", "closed"),
    [
        pytest.param(
            unreadable({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": 1}),
            {"shop/db"},
            id="the pods that it selects",
        ),
        pytest.param(
            unreadable({"podSelector": [], "ingress": []}),
            {"shop/db", "shop/web"},
            id="all of its namespace, where that is not known",
        ),
        pytest.param(
            Put(PolicyFacts("NetworkPolicy", "shop", "bad", b"{")),
            {"shop/db", "shop/web"},
            id="no JSON",
        ),
    ],
)
def test_a_policy_that_cannot_be_read_closes_pods(event: Put, closed: set[str]) -> None:
    here = [replace(each, node=NODE) for each in (WEB, DB, FAR)]
    reader, other = Node(), Node()
    reader.put(*here)
    reader.take(event)
    assert isinstance(event.facts, PolicyFacts)
    for each in here:
        name = f"{each.namespace}/{each.name}"
        key = (int(each.addresses[0]),)
        verdicts = {reader.applied.maps[map_].elements[key] for map_ in ("in4", "eg4")}
        assert all(verdict.chain for verdict in verdicts) is (name in closed)
    reader.take(Gone("NetworkPolicy", "shop", "bad"))
    assert not reader.index.apply(()).refused
    other.put(*here)
    assert reader.applied == other.applied
