"""The compiled form does not depend on the order of the input."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import permutations
from random import Random

import pytest

from podfence.model.cluster import Cluster
from podfence.policy.compile import addresses_of_nodes, compile_cluster
from podfence.testing.builders import namespace, node, pod
from tests.support.described import described
from tests.support.random_clusters import TIERS, objects_of, random_cluster
from tests.support.random_tiers import NAMES


def shuffled(cluster: Cluster, rng: Random) -> Cluster:
    objects = objects_of(cluster)
    rng.shuffle(objects)
    return Cluster.of(objects)


@pytest.mark.law
def test_the_order_of_the_input_changes_nothing() -> None:
    for seed in range(100):
        rng = Random(seed)
        cluster = random_cluster(rng, TIERS)
        other = compile_cluster(shuffled(cluster, rng), NAMES)
        assert described(other) == described(compile_cluster(cluster, NAMES)), seed


@pytest.mark.parametrize("first", [1, -1])
def test_an_address_that_two_nodes_tell_is_that_of_the_first_by_name(first: int) -> None:
    pods = [
        pod(f"n/{name}", node=name, host_addresses=["172.18.0.2"], addresses=[f"10.0.0.{at}"])
        for at, name in enumerate(("n1", "n2"))
    ]
    nodes = [node("n3", "172.18.0.3"), node("n4", "172.18.0.3")]
    index = compile_cluster(Cluster.of([namespace("n"), *pods[::first], *nodes[::first]]))
    assert list(index.by_node_address.values()) == ["n1", "n3"]


def test_the_addresses_that_pods_tell_of_their_node_have_one_order() -> None:
    told = [(ip_address(text), "n1") for text in ("172.18.0.2", "172.18.0.10", "fd18::2")]
    for order in permutations(told):
        assert list(addresses_of_nodes(order, {})) == [address for address, _ in told]
