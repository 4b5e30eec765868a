"""What passes between two addresses: the policies, and the two facts about single pods."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.engine.evaluate import evaluate
from podfence.engine.permitted import Permitted, permitted
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.testing.builders import namespace, node, peer, pod, policy, rule
from tests.support.random_clusters import TIERS, FlowSource, random_cluster
from tests.support.random_tiers import NAMES

CLUSTER = Cluster.of(
    [
        namespace("n"),
        node("n1", "172.18.0.1"),
        pod("n/web", {"app": "web"}, addresses=["10.0.0.1"]),
        pod("n/db", {"app": "db"}, addresses=["10.0.0.2"], node="n1"),
        pod("n/here", addresses=["10.0.0.3"], host_addresses=["172.18.0.9"]),
        policy("n/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=[5432])]),
        policy("n/all", types=["Ingress"]),
    ]
)


@pytest.fixture(scope="module")
def index() -> PolicyIndex:
    return compile_cluster(CLUSTER)


@pytest.mark.parametrize(
    ("source", "destination", "ports"),
    [
        pytest.param("10.0.0.1", "10.0.0.2", "TCP/5432", id="NP-14 a peer that a rule names"),
        pytest.param("10.0.0.3", "10.0.0.2", "none", id="NP-7 one that no rule names"),
        pytest.param("10.0.0.2", "8.8.8.8", "all", id="NP-1 nobody judges the outside"),
        pytest.param("10.0.0.2", "10.0.0.2", "all", id="NP-54 a pod reaches itself"),
        pytest.param("172.18.0.1", "10.0.0.2", "all", id="NP-52 its own node, by a Node object"),
        pytest.param("172.18.0.9", "10.0.0.3", "all", id="NP-52 its own node, by its hostIP"),
        pytest.param("172.18.0.1", "10.0.0.1", "none", id="NP-52 the node of another pod"),
        pytest.param("172.18.0.9", "10.0.0.2", "none", id="NP-52 the host of another pod"),
        pytest.param("10.0.0.2", "172.18.0.1", "all", id="NP-1 nobody judges a node"),
    ],
)
def test_what_may_pass(index: PolicyIndex, source: str, destination: str, ports: str) -> None:
    assert str(permitted(index, ip_address(source), ip_address(destination))) == ports


@given(st.randoms(use_true_random=False))
def test_it_agrees_with_evaluate(rng: Random) -> None:
    cluster = random_cluster(rng, TIERS)
    index = compile_cluster(cluster, NAMES)
    flows, answers = FlowSource(cluster), Permitted(index)
    for _ in range(20):
        flow = flows.draw(rng)
        allowed = (flow.protocol, flow.port) in answers.ports(flow.source, flow.destination)
        assert allowed is evaluate(index, flow).allowed
