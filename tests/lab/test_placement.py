from __future__ import annotations

from ipaddress import ip_address

import pytest

from podfence.lab.placement import NODE_ADDRESSES, NODE_NAME, place
from podfence.model.cluster import Cluster, ClusterObject
from podfence.testing.builders import node, pod


def placed(*objects: ClusterObject) -> Cluster:
    return place(Cluster.of(objects))


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
    cluster = placed(*objects)
    assert list(cluster.nodes) == [name]
    assert {each.node for each in cluster.pods} == {name}


def test_pods_know_every_address_of_their_node() -> None:
    cluster = placed(pod("a/p", node="n1", host_addresses=["10.9.0.2"]), node("n1", "10.9.0.1"))
    assert texts(cluster)[:2] == ["10.9.0.1", "10.9.0.2"]
    assert [str(a) for a in cluster.pods[0].host_addresses] == texts(cluster)


def test_node_gets_an_address_of_each_family_that_pods_speak() -> None:
    assert texts(placed(pod("a/p", addresses=["10.0.0.1"]))) == [str(NODE_ADDRESSES[4])]


def test_node_address_is_not_that_of_a_pod() -> None:
    cluster = placed(pod("a/p", addresses=[str(NODE_ADDRESSES[4])]))
    assert texts(cluster) == [str(NODE_ADDRESSES[4] + 1)]


def test_unusable_node_addresses_are_left_out() -> None:
    cluster = placed(pod("a/p", addresses=["10.0.0.1"]), node("n1", "127.0.0.1", "10.9.0.1"))
    assert texts(cluster) == ["10.9.0.1"]


def test_np58_a_pod_that_waits_for_its_address_gets_none() -> None:
    cluster = placed(pod("a/waiting", has_status=True), pod("a/manifest"))
    waiting, manifest = cluster.pods
    assert waiting.addresses == ()
    assert {a.version for a in manifest.addresses} == {4, 6}


def test_addresses_of_the_cluster_are_kept() -> None:
    cluster = placed(pod("a/p", addresses=["10.0.0.1"]))
    assert cluster.pods[0].addresses == (ip_address("10.0.0.1"),)
