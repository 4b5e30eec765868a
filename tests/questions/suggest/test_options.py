"""What suggestions are asked for besides: groups by a label, wider blocks, what was seen seldom."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from random import Random

import pytest

from podfence.model.networkpolicy import IPBlock, NetworkPolicy
from podfence.model.objects import Pod
from podfence.policy.flow import Direction
from podfence.questions.suggest.blocks import FEW, Widening, blocks_of
from podfence.questions.suggest.rules import OutsidePeers, SuggestOptions
from podfence.questions.suggest.suggest import suggest
from podfence.sets import AddressSet
from podfence.sets.addresses import IPNetwork
from podfence.testing.builders import peer, policy, rule
from tests.questions.suggest.worlds import closed, cluster, flow, running

BACK = [
    running("api-0", "api", {"app": "api", "tier": "back"}, "10.244.4.1", kind="StatefulSet"),
    running("jobs-0", "jobs", {"app": "jobs", "tier": "back"}, "10.244.4.2", kind="StatefulSet"),
]
ADDRESSES = SuggestOptions(frozenset({Direction.INGRESS}), OutsidePeers.ADDRESSES)


def labels(each: NetworkPolicy) -> dict[str, str]:
    return dict(each.pod_selector.match_labels)


# -- groups


def test_workloads_that_share_a_label_have_one_policy_and_are_one_peer() -> None:
    flows = [flow("shop/web", "shop/api", 80), flow("shop/jobs", "shop/db")]
    found = suggest(cluster(*BACK), flows, SuggestOptions(group="tier"))

    by_labels = {str(labels(p.policy)): p.policy for p in found.policies}
    back = by_labels["{'tier': 'back'}"]
    assert back.ref.name == "back-from-flows"
    assert {t.value for t in back.policy_types} == {"Ingress", "Egress"}
    (peer_of_db,) = by_labels["{'app': 'db'}"].ingress[0].peers
    assert peer_of_db.pod_selector is not None
    assert dict(peer_of_db.pod_selector.match_labels) == {"tier": "back"}
    assert found.replay.refused == ()
    beyond = {(c.source.name, c.destination.name) for c in found.beyond}
    assert beyond == {("shop/web", "shop/jobs"), ("shop/api", "shop/db")}


def test_who_lacks_the_label_is_told_by_others() -> None:
    found = suggest(cluster(*BACK), [flow("shop/web", "shop/db")], SuggestOptions(group="tier"))
    assert [labels(each.policy) for each in found.policies] == [{"app": "db"}, {"app": "web"}]


def test_a_label_that_some_pods_of_a_workload_lack_makes_no_group() -> None:
    odd: list[Pod] = [*BACK, running("jobs-1", "jobs", {"app": "jobs"}, "10.244.4.3")]
    odd[-1] = running("jobs-1", "jobs", {"app": "jobs"}, "10.244.4.3", kind="StatefulSet")
    found = suggest(cluster(*odd), [flow("shop/web", "shop/api", 80)], SuggestOptions(group="tier"))
    assert {"app": "api"} in [labels(each.policy) for each in found.policies]
    assert found.beyond == ()


# -- blocks


def nets(*texts: str) -> list[IPNetwork]:
    return [ip_network(text) for text in texts]


def wider(width: int, *held: str) -> Widening:
    return Widening({4: width, 6: 64}, AddressSet.of(nets(*held)))


def cidrs(blocks: Iterable[IPBlock]) -> list[IPNetwork]:
    """Of blocks that leave nothing out."""
    every = list(blocks)
    assert not any(each.except_ for each in every)
    return [each.cidr for each in every]


ODD = nets(*(f"198.51.100.{n}/32" for n in range(1, 2 * FEW + 3, 2)))


def test_few_addresses_stay_what_they_are() -> None:
    assert cidrs(blocks_of(ODD[:FEW], wider(24))) == ODD[:FEW]


def test_more_are_joined_to_the_smallest_block_that_holds_them() -> None:
    assert cidrs(blocks_of(ODD, wider(24))) == nets("198.51.100.0/27")
    assert cidrs(blocks_of(ODD)) == ODD


def test_no_block_is_wider_than_was_asked_for() -> None:
    found = cidrs(blocks_of(ODD, wider(30)))
    assert all(each.prefixlen >= 30 for each in found)
    assert all(any(one.subnet_of(each) for each in found) for one in ODD)  # type: ignore[arg-type]


def test_no_wider_block_holds_the_address_of_a_pod_a_node_or_a_service() -> None:
    assert cidrs(blocks_of(ODD, wider(24, "198.51.100.2/32"))) == ODD


def test_blocks_less_others_are_written_where_that_is_shorter() -> None:
    seen = nets("10.0.0.0/9", "10.128.0.0/10", "10.192.0.0/11", "10.224.0.0/12")
    [whole, hole] = nets("10.0.0.0/8", "10.240.0.0/12")
    assert blocks_of(seen) == (IPBlock(whole, (hole,)),)
    assert cidrs(blocks_of(seen[:2])) == seen[:2]


@pytest.mark.parametrize("seed", range(30))
def test_blocks_of_a_rule_hold_exactly_what_was_seen(seed: int) -> None:
    rng = Random(seed)
    parts = [f"10.{rng.randrange(4)}.{rng.randrange(0, 256, 16)}.0/{rng.randrange(8, 25)}"]
    parts += [f"10.{rng.randrange(4)}.{rng.randrange(256)}.0/24" for _ in range(rng.randrange(40))]
    less = [f"10.{rng.randrange(4)}.{rng.randrange(256)}.0/26" for _ in range(rng.randrange(9))]
    wanted = held(parts) - held(less)
    found = blocks_of(wanted.networks())
    assert AddressSet.union(held([b.cidr]) - held(b.except_) for b in found) == wanted
    assert sum(1 + len(each.except_) for each in found) <= len(list(wanted.networks()))


def held(texts: Iterable[object]) -> AddressSet:
    return AddressSet.of(ip_network(str(text), strict=False) for text in texts)


@pytest.mark.parametrize("seed", range(20))
def test_blocks_hold_what_was_seen_and_nothing_that_is_held(seed: int) -> None:
    rng = Random(seed)
    seen = nets(*{f"192.0.2.{rng.randrange(256)}/32" for _ in range(40)})
    free = AddressSet.of(nets("192.0.2.0/24")) - AddressSet.of(seen)
    held = AddressSet.of(rng.sample(list(free.networks()), 3))
    wide = Widening({4: rng.randrange(24, 33), 6: 64}, held)
    found = AddressSet.of(cidrs(blocks_of(seen, wide)))
    assert AddressSet.of(seen) <= found
    assert not found & held


def test_blocks_that_hold_more_than_was_seen_are_told() -> None:
    flows = [flow(str(each.network_address), "shop/web", 443) for each in ODD]
    found = suggest(cluster(), flows, SuggestOptions(ADDRESSES.directions, ADDRESSES.outside,
                                                     widths={4: 24, 6: 64}))  # fmt: skip
    (made,) = found.policies
    ((direction, block, seen, _),) = made.wider
    assert (direction, str(block), seen) == (Direction.INGRESS, "198.51.100.0/27", len(ODD))
    assert found.replay.refused == ()


# -- what was seen seldom, and rules that exist


def test_what_was_seen_too_seldom_has_no_rule_and_is_told() -> None:
    flows = [flow("shop/web", "shop/db", count=5), flow("monitoring/prometheus", "shop/db", 9103)]
    found = suggest(cluster(), flows, SuggestOptions(least=2))
    (rare,) = found.rare
    assert (rare.connection.port, rare.allowed) == (9103, False)
    assert [each.port for each in found.needed] == [5432]
    assert found.replay.refused == ()


def test_a_rule_that_no_record_used_is_told() -> None:
    exist = policy(
        "shop/db",
        {"app": "db"},
        ingress=[rule(peer(pods={"app": "web"}), ports=["5432"]), rule(peer(pods={"app": "old"}))],
    )
    wish = SuggestOptions(frozenset({Direction.INGRESS}), against=True)
    found = suggest(cluster(exist), [flow("shop/web", "shop/db")], wish)
    assert found.against is not None
    assert found.against.rules == 2
    assert [origin.path for origin in found.against.unused] == ["spec.ingress[1]"]


def test_without_records_every_rule_is_unused() -> None:
    exist = policy("shop/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}))])
    found = suggest(cluster(exist), [], SuggestOptions(against=True))
    assert found.against is not None
    assert len(found.against.unused) == found.against.rules == 1


# -- pods to come


def test_where_the_next_pod_is_open_is_told() -> None:
    found = suggest(cluster(), [flow("shop/web", "shop/db")], ADDRESSES)
    assert [(each.name, each.open) for each in found.coming] == [("shop/+", (Direction.INGRESS,))]


def test_a_default_deny_closes_it() -> None:
    found = suggest(cluster(closed()), [flow("shop/web", "shop/db")], ADDRESSES)
    assert found.policies
    assert found.coming == ()
