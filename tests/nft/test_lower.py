"""What the ruleset of a node is made of, and what does not change when pods do."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

import pytest
from msgspec.structs import replace

from podfence.model.cluster import ClusterObject
from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    Tier,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import Pod
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.objects import RETURN, VerdictKind
from podfence.nft.ruleset import Ruleset
from podfence.policy.compile import compile_cluster
from podfence.testing.builders import peer, pod, policy, rule, selector
from tests.nft.cases import DB, DB_ALLOW, DENY_ALL, NODE, PODS, WEB, WEB_OUT, Case, index_of
from tests.support.random_clusters import TIERS, Size, cluster_of, random_cluster

GUARD = ClusterNetworkPolicy(
    ObjectRef("ClusterNetworkPolicy", "", "guard"), Tier.ADMIN, 1, Subject(selector())
)


def ruleset_of(*objects: ClusterObject, node: LocalNode = NODE) -> Ruleset:
    return lower(compile_cluster(cluster_of(objects)), node)


def moved(original: Pod, *addresses: str) -> Pod:
    return replace(original, addresses=tuple(ip_address(text) for text in addresses))


def test_a_pod_that_moves_changes_elements_only() -> None:
    before = ruleset_of(*PODS, DB_ALLOW, WEB_OUT)
    others = [item for item in PODS if item is not WEB]
    after = ruleset_of(*others, moved(WEB, "10.1.0.9", "fd00:1::9"), DB_ALLOW, WEB_OUT)
    assert after.chains == before.chains
    assert after.sets.keys() == before.sets.keys()
    assert after.sets != before.sets


def test_the_same_cluster_gives_the_same_ruleset() -> None:
    assert ruleset_of(*PODS, DB_ALLOW) == ruleset_of(*reversed(PODS), DB_ALLOW)


def test_a_selector_that_matches_nobody_keeps_its_sets() -> None:
    empty = [s for s in ruleset_of(*PODS, WEB_OUT).sets.values() if "nobody" in s.comment]
    assert [(s.name[:3], len(s.elements)) for s in empty] == [("p4_", 0), ("p6_", 0)]


def test_a_node_of_one_family_has_no_peer_sets_of_the_other() -> None:
    """NP-25."""
    here = LocalNode("n1", pods=frozenset({"shop/job"}))
    in_v6 = policy("shop/v6", {}, ingress=[rule(peer(cidr="::/0"), peer(pods={"app": "web"}))])
    names = ruleset_of(*PODS, in_v6, node=here).sets
    assert [name[:3] for name in names if name[:3] in ("p4_", "p6_", "b6_")] == ["p4_"]


def test_pods_with_equal_policies_share_their_chains() -> None:
    one = ruleset_of(*PODS, DENY_ALL).chains
    two = ruleset_of(*PODS, pod("shop/more", {"app": "x"}, addresses=["10.1.0.5"]), DENY_ALL)
    assert two.chains == one


def test_policies_of_other_nodes_pods_are_not_written() -> None:
    here = LocalNode("n1", pods=frozenset({"shop/web"}))
    names = ruleset_of(*PODS, DB_ALLOW, node=here).chains
    assert not [name for name in names if name.startswith(("in_", "eg_"))]


def test_every_local_pod_is_in_every_map_of_its_families() -> None:
    maps = Case("", index_of(DB_ALLOW)).ruleset.maps
    assert {len(m.elements) for name, m in maps.items() if "4" in name} == {3}
    assert {len(m.elements) for name, m in maps.items() if "6" in name} == {2}


def test_a_pod_without_address_is_nowhere() -> None:
    """NP-58."""
    waiting = pod("shop/wait", {"app": "web"}, has_status=True)
    assert ruleset_of(*PODS, waiting, DB_ALLOW) == ruleset_of(*PODS, DB_ALLOW)


def test_the_chains_of_a_pod_are_there_before_its_address() -> None:
    others = [item for item in PODS if item is not DB]
    before = ruleset_of(*others, moved(DB), DB_ALLOW)
    after = ruleset_of(*PODS, DB_ALLOW)
    assert before.chains == after.chains
    assert before.sets.keys() == after.sets.keys()
    assert before.maps["in4"] != after.maps["in4"]


@pytest.mark.law
@pytest.mark.parametrize("size", [Size(pods=10), TIERS], ids=["policies", "tiers"])
def test_the_order_of_objects_makes_no_difference(size: Size) -> None:
    """Neither who has an address that several claim, nor which number of a port name is first."""
    for seed in range(60):
        rng = Random(seed)
        cluster = random_cluster(rng, size)
        pods = list(cluster.pods)
        rng.shuffle(pods)
        objects: list[ClusterObject] = [*cluster.namespaces.values(), *cluster.nodes.values()]
        objects += pods
        objects += [*cluster.policies, *cluster.admin_policies]
        assert ruleset_of(*objects) == lower(compile_cluster(cluster), NODE)


def test_a_chain_keeps_its_comment_as_long_as_its_name() -> None:
    """Rules of a tier that come and go: else the whole table would have to be written anew."""
    for action in (RuleAction.DENY, RuleAction.PASS):
        tier_rule = TierRule(action, (Peer(namespaces=selector()),), (ProtocolMatch(Protocol.UDP),))
        guard = replace(GUARD, ingress=(tier_rule,))
        found = ruleset_of(*PODS, DENY_ALL, guard)
        comments = {name: chain.comment for name, chain in found.chains.items()}
        if action is RuleAction.DENY:
            before = comments
    shared = before.keys() & comments.keys()
    assert {name: before[name] for name in shared} == {name: comments[name] for name in shared}
    assert before != comments


def test_not_isolated_pods_return_at_once() -> None:
    """NP-2."""
    maps = Case("", index_of(DB_ALLOW)).ruleset.maps
    db = int(DB.addresses[0])
    by_kind = {key: verdict for key, verdict in maps["in4"].elements.items() if key != (db,)}
    assert set(by_kind.values()) == {RETURN}
    assert maps["in4"].elements[db,].kind is VerdictKind.GOTO
    assert set(maps["eg4"].elements.values()) == {RETURN}


def test_one_set_for_one_selector_whoever_uses_it() -> None:
    def allow_web(name: str, app: str) -> ClusterObject:
        return policy(name, {"app": app}, ingress=[rule(peer(pods={"app": "web"}))])

    both = ruleset_of(*PODS, allow_web("shop/a", "db"), allow_web("shop/b", "job"))
    assert len([name for name in both.sets if name.startswith("p4_")]) == 1


@pytest.mark.parametrize(
    ("mask", "epoch", "value"),
    [
        (0xFFFF0000, 1, 0x10000),
        (0xFFFF0000, 0xFFFF, 0xFFFF0000),
        (0x0FF0, 3, 0x30),
        (0xFFFFFFFF, 9, 9),
        (0xFF, 0xFF, 0xFF),
    ],
)
def test_epoch_lies_within_the_mask(mask: int, epoch: int, value: int) -> None:
    assert LocalNode("n", epoch=epoch, mark_mask=mask).mark_value == value


@pytest.mark.parametrize(
    ("mask", "epoch"),
    [
        (0, 1),
        (-1, 1),
        (0x101, 1),
        (0x7F, 1),
        (0xFF << 25, 1),
        (0xFF00, 0),
        (0xFF00, 256),
        (0xFF00, -1),
    ],
)
def test_masks_with_gaps_and_epoch_that_do_not_fit_are_refused(mask: int, epoch: int) -> None:
    with pytest.raises(ValueError, match=r"mark mask|epoch"):
        LocalNode("n", epoch=epoch, mark_mask=mask)


LEAVING = replace(
    pod("shop/leaving", {"app": "x"}, addresses=["10.1.0.7"], node="n1"), deleting=True
)
HEIR = pod("shop/heir", {"app": "free"}, addresses=["10.1.0.7"], node="n2")
FENCED = policy("shop/fenced", {"app": "x"}, ingress=[])
"""It selects the one that leaves, and not its heir."""


@pytest.mark.parametrize(
    ("others", "judged"),
    [
        pytest.param([], True, id="nobody else has it"),
        pytest.param([HEIR], True, id="a pod of another node has it"),
        pytest.param([HEIR, replace(HEIR, name="two")], True, id="two of others may have it"),
        pytest.param([replace(HEIR, node="n1")], False, id="a pod of its own node has it"),
    ],
)
def test_a_pod_that_is_being_deleted_keeps_its_policies(others: list[Pod], judged: bool) -> None:
    """NP-59, NP-60a: what is said of pods of other nodes takes no protection away."""
    here = frozenset(f"{p.namespace}/{p.name}" for p in (LEAVING, *others) if p.node == "n1")
    maps = ruleset_of(LEAVING, *others, FENCED, node=LocalNode("n1", pods=here)).maps
    address = (int(ip_address("10.1.0.7")),)
    expected = VerdictKind.GOTO if judged else VerdictKind.RETURN
    assert [maps[name].elements[address].kind for name in ("in4", "in4_r")] == [expected] * 2
