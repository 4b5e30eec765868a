"""The engine says what the naive judge says, on random clusters and flows."""

from __future__ import annotations

from hypothesis import given

from podfence.engine.evaluate import evaluate
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from tests.oracle import judge
from tests.random_clusters import clusters_with_flows


@given(clusters_with_flows())
def test_engine_agrees_with_the_oracle_in_each_direction(
    case: tuple[Cluster, tuple[Flow, ...]],
) -> None:
    cluster, flows = case
    index = compile_cluster(cluster)
    for flow in flows:
        expected = judge(cluster, flow.source, flow.destination, flow.protocol, flow.port)
        verdict = evaluate(index, flow)
        found = (verdict.allowed, verdict.egress.allowed, verdict.ingress.allowed)
        assert found == (expected.allowed, expected.egress_allowed, expected.ingress_allowed), flow
