"""Domain names that a node learns: elements of sets, and nothing else of the rules."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from random import Random

import pytest
from msgspec.structs import replace

from podfence.engine.permitted import Permitted
from podfence.model.cluster import ClusterObject
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, Peer
from podfence.model.facts import Event, Gone, NameFacts, Put
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.lowering.tightening import Tightening
from podfence.nft.objects import CtDirectionValue, CtStateBit
from podfence.nft.ruleset import Ruleset
from podfence.nft.trace import Packet, trace_packet
from podfence.nft.transaction import AddElements, DeleteElements
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import At, DomainTable
from podfence.sets import PortSet
from podfence.sets.addresses import IPAddress
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    node,
    pod,
)
from podfence.testing.facts import facts_of
from tests.live.test_node import Node
from tests.support.live_worlds import key_of
from tests.support.random_clusters import cluster_of
from tests.support.random_tiers import NAMES, PATTERNS

NODE = "n1"
WEB = pod("shop/web", {"app": "web"}, addresses=["10.0.0.1", "fd00::1"], node=NODE)
X, Y = (4, int(ip_address("203.0.113.1"))), (4, int(ip_address("203.0.113.2")))
API = "api.example.com"
WRITABLE = tuple(name for name in PATTERNS if "." in name.removeprefix("*."))
"""The server takes no single label, alone or after a wildcard."""


def allowing(*names: str, more: int = 0) -> ClusterNetworkPolicy:
    """Egress to these names on 443, and nothing else. ``more``: rules of other names."""
    rules = [
        cluster_rule("Accept", cluster_peer(domain_names=[name]), protocols=["443/TCP"])
        for name in (*names, *(f"n{n}.test" for n in range(more)))
    ]
    return cluster_policy(
        "names", egress=[*rules, cluster_rule("Deny", cluster_peer(networks=["0.0.0.0/0"]))]
    )


def told(name: str, *live: At, kept: tuple[At, ...] = ()) -> Event:
    return Put(NameFacts(name, frozenset(live), frozenset(kept)))


def reader(*names: str, more: int = 0) -> Node:
    found = Node()
    found.put(namespace("shop"), WEB, allowing(*names, more=more))
    return found


def passes(rules: Ruleset, to: At, *, there: bool = False) -> bool:
    """Whether a packet of WEB passes. ``there``: of a connection that is there already."""
    state = CtStateBit.ESTABLISHED if there else CtStateBit.NEW
    packet = Packet(WEB.addresses[0], ip_address(to[1]), 6, 40000, 443, state=state)
    return trace_packet(rules, packet).accepted


def replies_pass(rules: Ruleset, by: At) -> bool:
    packet = Packet(
        ip_address(by[1]),
        WEB.addresses[0],
        6,
        443,
        40000,
        state=CtStateBit.ESTABLISHED,
        direction=CtDirectionValue.REPLY,
    )
    return trace_packet(rules, packet).accepted


@pytest.mark.parametrize("more", [0, 10], ids=["one rule", "many rules"])
def test_a_name_opens_what_it_was_told_and_nothing_else(more: int) -> None:
    found = reader(API, more=more)
    assert not passes(found.applied, X)
    found.take(told(API, X))
    assert passes(found.applied, X)
    assert not passes(found.applied, Y)
    found.take(told("other.example.com", Y))
    assert not passes(found.applied, Y)


@pytest.mark.parametrize("more", [0, 10], ids=["one rule", "many rules"])
def test_what_is_kept_is_open_to_what_is_connected(more: int) -> None:
    found = reader(API, more=more)
    found.take(told(API, X))
    delta = found.take(told(API, kept=(X,)))
    assert not passes(found.applied, X)
    assert passes(found.applied, X, there=True)
    assert replies_pass(found.applied, X)
    assert delta.tightens is Tightening.NO, "nobody who is connected is judged again"
    found.take(told(API))
    assert not passes(found.applied, X, there=True)
    assert not replies_pass(found.applied, X)


def test_an_answer_is_elements_and_nothing_else() -> None:
    found = reader("*.example.com", API, more=10)
    delta = found.take(told(API, X))
    assert all(isinstance(step, AddElements) for step in delta.transaction)
    delta = found.take(Gone("DomainName", "", API))
    assert all(isinstance(step, DeleteElements) for step in delta.transaction)


def test_the_same_again_is_nothing() -> None:
    found = reader(API)
    found.take(told(API, X))
    assert not found.take(told(API, X)).transaction


def test_an_address_of_two_names_stays_until_both_have_lost_it() -> None:
    found = reader("*.example.com")
    found.take(told("a.example.com", X), told("b.example.com", X))
    found.take(Gone("DomainName", "", "a.example.com"))
    assert passes(found.applied, X)
    found.take(Gone("DomainName", "", "b.example.com"))
    assert not passes(found.applied, X)


def test_a_rule_that_comes_later_means_what_is_known() -> None:
    found = Node()
    found.put(namespace("shop"), WEB)
    found.take(told(API, X))
    found.put(allowing(API))
    assert passes(found.applied, X)


def test_a_rule_that_loses_a_name_takes_it_from_what_is_connected_too() -> None:
    found = reader(API, "b.example.com")
    found.take(told(API, X), told("b.example.com", kept=(Y,)))
    delta = found.put(allowing("c.example.com"))
    assert delta.tightens is Tightening.NOW
    assert not passes(found.applied, X, there=True)
    assert not passes(found.applied, Y, there=True)


@pytest.mark.parametrize(("more", "others"), [(0, ()), (10, ()), (10, ("b.test", "c.test"))])
def test_a_name_that_goes_ends_connections_to_what_it_stood_for_long_ago(
    more: int, others: tuple[str, ...]
) -> None:
    """No set has their addresses any more, so the sets of before and after look alike."""
    found = reader(API, *others, more=more)
    found.take(told(API, X))
    found.take(told(API))
    assert found.put(allowing("other.test", *others, more=more)).tightens is Tightening.NOW


def test_the_names_that_rules_ask_for_are_those_of_pods_here() -> None:
    found = reader(API, "*.b.test")
    assert found.index.selections.names.patterns == {API, "*.b.test"}
    found.gone(WEB)
    assert found.index.selections.names.patterns == frozenset()


def test_rules_that_do_not_accept_ask_for_no_names() -> None:
    found = Node()
    denying = cluster_policy(
        "names", egress=[cluster_rule("Deny", cluster_peer(domain_names=[API]))]
    )
    found.put(namespace("shop"), WEB, denying)
    assert found.index.selections.names.patterns == frozenset()


def test_drops_know_what_a_name_stands_for() -> None:
    found = reader(API)
    found.take(told(API, X))
    rules = next(iter(found.index.policies.of.values())).egress.tiers[0].rules
    peers = rules[0].matches[0].peers
    assert found.index.holds(peers, X)
    assert not found.index.holds(peers, Y)


def random_policies(rng: Random) -> Iterator[ClusterNetworkPolicy]:
    def peer() -> Peer:
        kind = rng.choice(("names", "names", "names", "nodes", "networks", "pods"))
        if kind == "names":
            return cluster_peer(domain_names=rng.sample(WRITABLE, rng.randint(1, 2)))
        if kind == "nodes":
            return cluster_peer(nodes={})
        if kind == "networks":
            return cluster_peer(networks=["10.0.0.0/29"])
        return cluster_peer(pods={"app": "web"})

    for number in range(rng.randint(1, 3)):
        yield cluster_policy(
            f"p{number}",
            tier=rng.choice(("Admin", "Baseline")),
            priority=number,
            egress=[
                cluster_rule(
                    rng.choice(("Accept", "Accept", "Deny", "Pass")),
                    *(peer() for _ in range(rng.randint(1, 3))),
                    protocols=rng.choice(((), ("443/TCP",), ("443/TCP", "53/UDP"))),
                )
                for _ in range(rng.randint(1, 8))
            ],
        )


CLOSED = cluster_policy(
    "closed",
    tier="Baseline",
    egress=[cluster_rule("Deny", cluster_peer(networks=["0.0.0.0/0", "::/0"]))],
)
EVERYWHERE = sorted({address for found in NAMES.values() for address in found}, key=str)


def losing(rng: Random, steps: int) -> int:
    """Policies with names come and go, some audited, while names get and lose addresses. Who could
    have connected, whatever names had at any time, and could not any more, is judged again; and all
    rules are those that a compile from nothing makes. How many losses."""
    things: list[ClusterObject] = [namespace("shop"), WEB, node(NODE, "172.18.0.3"), CLOSED]
    found, lost = Node(), 0
    found.put(*things)
    now: dict[str, frozenset[IPAddress]] = {}
    policies: dict[str, ClusterNetworkPolicy] = {}
    local = LocalNode(NODE, frozenset({"shop/web"}), addresses=frozenset())
    for _ in range(steps):
        before = [*things, *policies.values()]
        events = [*_learning(rng, now)] if rng.random() < 0.4 else []
        if rng.random() < 0.6:
            events += _changing(rng, policies)
        after = [*things, *policies.values()]
        level = found.take(*events).tightens
        assert found.applied == lower(compile_cluster(cluster_of(after), now), local)
        pairs = zip(_open(before), _open(after), strict=True)
        taken = any(old - new for old, new in pairs)
        lost += taken
        assert not taken or level is Tightening.NOW
    return lost


def _open(things: list[ClusterObject]) -> Iterator[PortSet]:
    """What is open to each address that a name could have; enforced, and as audits ask."""
    cluster = cluster_of(things)
    for each in (cluster, cluster.with_audited()):
        permitted = Permitted(compile_cluster(each, NAMES))
        for address in EVERYWHERE:
            source = next(a for a in WEB.addresses if a.version == address.version)
            yield permitted.ports(source, address)


def _learning(rng: Random, now: dict[str, frozenset[IPAddress]]) -> Iterator[Event]:
    name = rng.choice([*NAMES])
    now[name] = frozenset(each for each in sorted(NAMES[name], key=str) if rng.random() < 0.3)
    yield Put(NameFacts(name, frozenset((each.version, int(each)) for each in now[name])))


def _changing(rng: Random, policies: dict[str, ClusterNetworkPolicy]) -> Iterator[Event]:
    """One comes, is audited or no more, has other names in its rules, or goes."""
    new = rng.choice([*random_policies(rng)])
    known = policies.get(new.ref.name)
    changed: ClusterNetworkPolicy | None = replace(new, audited=rng.random() < 0.3)
    if known is not None:
        moved = replace(known, audited=not known.audited)
        others = [_renamed(rng, known) for _ in range(4)]
        changed = rng.choice((changed, moved, *others, None))
    if changed is None:
        policies.pop(new.ref.name, None)
        yield Gone(*key_of(new))
    else:
        policies[new.ref.name] = changed
        yield Put(facts_of(changed))


def _renamed(rng: Random, policy: ClusterNetworkPolicy) -> ClusterNetworkPolicy:
    def other(peer: Peer) -> Peer:
        if not peer.domain_names or rng.random() < 0.5:
            return peer
        return cluster_peer(domain_names=rng.sample(WRITABLE, rng.randint(1, 2)))

    rules = (replace(rule, peers=tuple(map(other, rule.peers))) for rule in policy.egress)
    return replace(policy, egress=tuple(rules))


@pytest.mark.parametrize("seed", range(3))
def test_names_and_audits_meet_and_no_loss_is_missed(seed: int) -> None:
    assert sum(losing(Random(f"names {seed} {number}"), 12) for number in range(4))


@pytest.mark.parametrize("seed", range(60))
def test_what_was_learnt_in_any_order_is_what_a_table_of_names_says(seed: int) -> None:
    """The last states of all names, given to a compile from nothing, lead to the same rules."""
    rng = Random(seed)
    things: list[ClusterObject] = [namespace("shop"), WEB, node(NODE, "172.18.0.3")]
    found = Node()
    found.put(*things)
    now: dict[str, DomainTable] = {}
    policies: list[ClusterNetworkPolicy] = []
    for _ in range(12):
        if rng.random() < 0.3:
            for gone in policies:
                found.gone(gone)
            policies = [*random_policies(rng)]
            found.put(*policies)
        name = rng.choice([*NAMES])
        addresses = frozenset(a for a in NAMES[name] if rng.random() < 0.7)
        now[name] = {name: addresses}
        live = frozenset((a.version, int(a)) for a in addresses)
        found.take(Put(NameFacts(name, live)))
        names = {name: each for known in now.values() for name, each in known.items()}
        whole = compile_cluster(cluster_of([*things, *policies]), names)
        local = LocalNode(NODE, frozenset({"shop/web"}), addresses=frozenset())
        assert found.applied == lower(whole, local)
