"""Which node a pod is on, and which addresses pods and nodes get."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from msgspec.structs import replace

from podfence.lab.testbed.scheduling import NODE_ADDRESSES, NODE_NAME, NODES_OF_INPUT, schedule
from podfence.model.cluster import Cluster, ClusterObject
from podfence.testing.builders import node, pod


def scheduled(*objects: ClusterObject) -> Cluster:
    return schedule(Cluster.of(objects))


def texts(cluster: Cluster) -> list[str]:
    (only,) = cluster.nodes.values()
    return [str(address) for address in only.addresses]


@pytest.mark.parametrize(
    ("objects", "name"),
    [
        pytest.param([pod("a/p")], NODE_NAME, id="none-named"),
        pytest.param([pod("a/p"), node("n1", "10.9.0.1")], "n1", id="the-only-node"),
        pytest.param([pod("a/p", node="n2")], "n2", id="the-only-name"),
        pytest.param([pod("a/p", node="n1"), pod("a/q", node="n2")], NODE_NAME, id="several"),
    ],
)
def test_name_of_the_node(objects: list[ClusterObject], name: str) -> None:
    cluster = scheduled(*objects)
    assert list(cluster.nodes) == [name]
    assert {each.node for each in cluster.pods} == {name}


def test_pods_know_every_address_of_their_node() -> None:
    cluster = scheduled(pod("a/p", node="n1", host_addresses=["10.9.0.2"]), node("n1", "10.9.0.1"))
    assert texts(cluster)[:2] == ["10.9.0.1", "10.9.0.2"]
    assert [str(a) for a in cluster.pods[0].host_addresses] == texts(cluster)


def test_node_gets_an_address_of_each_family_that_pods_speak() -> None:
    assert texts(scheduled(pod("a/p", addresses=["10.0.0.1"]))) == [str(NODE_ADDRESSES[4])]


def test_node_address_is_not_that_of_a_pod() -> None:
    cluster = scheduled(pod("a/p", addresses=[str(NODE_ADDRESSES[4])]))
    assert texts(cluster) == [str(NODE_ADDRESSES[4] + 1)]


def test_unusable_node_addresses_are_left_out() -> None:
    cluster = scheduled(pod("a/p", addresses=["10.0.0.1"]), node("n1", "127.0.0.1", "10.9.0.1"))
    assert texts(cluster) == ["10.9.0.1"]


def test_np58_a_pod_that_waits_for_its_address_gets_none() -> None:
    cluster = scheduled(pod("a/waiting", has_status=True), pod("a/manifest"))
    waiting, manifest = cluster.pods
    assert waiting.addresses == ()
    assert {a.version for a in manifest.addresses} == {4, 6}


def test_addresses_of_the_cluster_are_kept() -> None:
    cluster = scheduled(pod("a/p", addresses=["10.0.0.1"]))
    assert cluster.pods[0].addresses == (ip_address("10.0.0.1"),)


# -- several nodes

THREE = [pod(f"a/p{n}") for n in range(5)]


def on(cluster: Cluster) -> dict[str, str]:
    return {each.name: each.node for each in cluster.pods}


@pytest.mark.parametrize(
    ("objects", "count", "names"),
    [
        pytest.param([], 1, ["lab-node"], id="one"),
        pytest.param([], 3, ["lab-node", "lab-node-2", "lab-node-3"], id="numbered"),
        pytest.param([node("n1", "10.9.0.1")], 2, ["n1", "lab-node"], id="known-first"),
        pytest.param([pod("a/q", node="n7")], 2, ["n7", "lab-node"], id="named-by-a-pod"),
        pytest.param([node("n1"), node("n2")], 0, ["n1", "n2"], id="every-node-object"),
        pytest.param([node("n1"), node("n2")], 1, ["lab-node"], id="one-of-several-is-none"),
        pytest.param([node("lab-node-2")], 2, ["lab-node-2", "lab-node"], id="name-taken"),
        pytest.param(
            [node(f"n{n}") for n in range(9)],
            0,
            [f"n{n}" for n in range(NODES_OF_INPUT)],
            id="not-more-than-a-few",
        ),
    ],
)
def test_names_of_nodes(objects: list[ClusterObject], count: int, names: list[str]) -> None:
    assert list(schedule(Cluster.of([*THREE, *objects]), count).nodes) == names


def test_pods_stay_on_their_node_and_the_others_are_spread() -> None:
    objects: list[ClusterObject] = [*THREE, pod("a/q", node="n2"), node("n1"), node("n2")]
    assert on(scheduled(*objects)) == {
        "p0": "n1",
        "p1": "n1",
        "p2": "n2",
        "p3": "n1",
        "p4": "n2",
        "q": "n2",
    }


def test_nodes_share_the_assumed_ranges_and_pods_are_in_that_of_their_node() -> None:
    cluster = schedule(Cluster.of(THREE), 3)
    assert [str(r) for each in cluster.nodes.values() for r in each.pod_cidrs] == [
        "10.244.0.0/18",
        "fd00:10:244::/50",
        "10.244.64.0/18",
        "fd00:10:244:4000::/50",
        "10.244.128.0/18",
        "fd00:10:244:8000::/50",
    ]
    for each in cluster.pods:
        ranges = cluster.nodes[each.node].pod_cidrs
        assert len(each.addresses) == 2
        assert all(any(a in r for r in ranges if a.version == r.version) for a in each.addresses)


def test_a_node_has_its_own_range_where_it_says_one() -> None:
    known = replace(node("n1", "10.9.0.1"), pod_cidrs=(ip_network("10.7.0.0/24"),))
    cluster = scheduled(pod("a/p", addresses=["10.7.0.5"], node="n1"), pod("a/q"), known)
    assert [str(a) for a in cluster.pods[1].addresses] == ["10.7.0.1"]
    assert cluster.nodes["n1"].pod_cidrs == known.pod_cidrs


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(pod("a/q", addresses=["10.7.0.9"], node="n2"), id="pod-of-another-node"),
        pytest.param(node("n3", "10.7.0.1"), id="a-node"),
    ],
)
def test_a_range_with_an_address_of_another_node_is_dropped(other: ClusterObject) -> None:
    known = replace(node("n1", "10.9.0.1"), pod_cidrs=(ip_network("10.7.0.0/24"),))
    one = pod("a/p", addresses=["10.7.0.5"], node="n1")
    assert scheduled(one, known, node("n2", "10.9.0.2"), other).nodes["n1"].pod_cidrs == ()


def test_no_two_nodes_have_an_address_in_common() -> None:
    cluster = scheduled(*THREE, node("n1", "10.9.0.1"), node("n2", "10.9.0.1"))
    first, second = (set(each.addresses) for each in cluster.nodes.values())
    assert not first & second
    assert {a.version for a in first} == {a.version for a in second} == {4, 6}


# -- changes


def test_what_stays_keeps_node_and_address() -> None:
    before = schedule(Cluster.of(THREE), 2)
    after = schedule(Cluster.of([pod("a/new"), *THREE[2:]]), before=before)
    was = {each.name: (each.node, each.addresses) for each in before.pods}
    now = {each.name: (each.node, each.addresses) for each in after.pods}
    assert after.nodes == before.nodes
    assert {name: now[name] for name in ("p2", "p3", "p4")} == {
        name: was[name] for name in ("p2", "p3", "p4")
    }
    assert now["new"][1] not in [addresses for _, addresses in list(was.values())[2:]]


def test_a_pod_that_names_another_node_moves_and_gets_an_address_there() -> None:
    before = schedule(Cluster.of(THREE), 2)
    after = schedule(Cluster.of([replace(THREE[0], node="lab-node-2")]), before=before)
    (moved,) = after.pods
    assert moved.node == "lab-node-2"
    assert moved.addresses[0] in after.nodes["lab-node-2"].pod_cidrs[0]


def test_an_address_that_a_cluster_gives_to_another_pod_is_taken_from_a_manifest() -> None:
    before = schedule(Cluster.of([pod("a/p")]))
    real = pod("a/real", addresses=["10.244.0.1"])
    after = schedule(Cluster.of([pod("a/p"), real]), before=before)
    assert [str(a) for a in after.pods[0].addresses] == ["10.244.0.2"]


@pytest.mark.parametrize("name", ["", "n1"])
def test_np50_the_address_of_a_host_network_pod_is_its_node_s(name: str) -> None:
    """Policies may name it in an ipBlock, so the node has to have this very address."""
    address = ip_address("192.0.2.10")
    agent = pod("a/agent", host_network=True, addresses=[str(address)], node=name)
    web = pod("a/web", addresses=["10.0.0.1"], node=name)
    cluster = scheduled(agent, web)
    (only,) = cluster.nodes.values()
    assert only.addresses[0] == address
    assert [pod.addresses for pod in cluster.pods if pod.host_network] == [()]
    assert schedule(cluster, before=cluster) == cluster


def test_np60a_an_address_that_several_pods_have_goes_to_the_one_that_stays_then_the_youngest() -> (
    None
):
    old = replace(pod("a/old", addresses=["10.0.0.5"]), created="2026-11-29T08:00:00Z")
    new = replace(pod("a/new", addresses=["10.0.0.5"]), created="2026-11-29T09:00:00Z")
    for pods, heir in (
        ((old, new), "new"),
        ((new, old), "new"),
        ((old, replace(new, deleting=True)), "old"),
    ):
        having = [pod.name for pod in scheduled(*pods).pods if pod.addresses]
        assert having == [heir]
