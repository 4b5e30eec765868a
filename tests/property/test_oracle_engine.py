"""The engine says what the naive judge says, on random clusters and flows."""

from __future__ import annotations

from functools import cache
from itertools import islice

from hypothesis import strategies as st

from podfence.engine.allpairs import all_pairs
from podfence.engine.connections import connections
from podfence.engine.evaluate import evaluate
from podfence.model.cluster import Cluster
from podfence.model.networkpolicy import PolicyType
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Decision, Flow, Reason, Verdict
from podfence.policy.index import PolicyIndex
from podfence.sets import PortSet
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import NOTHING, OTHER, PROTOCOLS
from tests.support.judging import make
from tests.support.laws import law
from tests.support.oracle import NETWORK_POLICY, OracleVerdict, isolated, judge, rulings
from tests.support.oracle_facts import pod_of
from tests.support.oracle_tiers import touches
from tests.support.random_clusters import (
    TIERS,
    clusters,
    clusters_with_flows,
    interesting_addresses,
    interesting_ports,
)
from tests.support.random_tiers import NAMES

Case = tuple[Cluster, tuple[Flow, ...]]
CLUSTERS = clusters() | clusters(TIERS)
CASES = clusters_with_flows() | clusters_with_flows(TIERS)
CLUSTERS_AND_FAMILIES = st.tuples(CLUSTERS, st.sampled_from((4, 6)))
NUMBERED = 40
ISOLATION = {
    Reason.NOT_ISOLATED: [(False, False)],
    Reason.DEFAULT: [(False, True)],
    Reason.ISOLATED: [(True, False), (True, True)],
}
"""Reason -> (some NetworkPolicy isolates the pod, some ClusterNetworkPolicy has rules for it)."""


@cache
def numbered_cases() -> tuple[Case, ...]:
    """Every other cluster has tiers; half of them are odd."""
    made = (
        make(7, number, tiers=bool(number % 2), odd=number % 4 < 2) for number in range(NUMBERED)
    )
    return tuple((cluster, tuple(islice(flows, 20))) for cluster, flows in made)


def numbered_clusters() -> list[Cluster]:
    return [cluster for cluster, _ in numbered_cases()]


def numbered_clusters_and_families() -> list[tuple[Cluster, int]]:
    return [(cluster, family) for cluster in numbered_clusters()[:10] for family in (4, 6)]


@law(CASES, numbered_cases)
def test_engine_agrees_with_the_oracle_in_each_direction(case: Case) -> None:
    cluster, flows = case
    index = compile_cluster(cluster, NAMES)
    for flow in flows:
        expected = judge(cluster, flow.source, flow.destination, flow.protocol, flow.port, NAMES)
        assert _plain(evaluate(index, flow)) == expected, flow


@law(CASES, numbered_cases)
def test_a_verdict_names_exactly_the_rules_that_decide(case: Case) -> None:
    """NP-7: every rule that permits. CNP-7: the first rule of a tier."""
    cluster, flows = case
    index = compile_cluster(cluster, NAMES)
    for flow in flows:
        verdict = evaluate(index, flow)
        both = rulings(cluster, flow.source, flow.destination, flow.protocol, flow.port, NAMES)
        for decision, expected in zip((verdict.egress, verdict.ingress), both, strict=True):
            named = [(origin.policy, origin.path) for origin in decision.origins]
            if decision.reason is Reason.RULE:
                assert sorted(named) == sorted(expected.rules), flow
            elif decision.reason is Reason.ISOLATED:
                assert (expected.tier, expected.rules) == (NETWORK_POLICY, ()), flow
            else:
                assert expected.tier == "", flow


@law(CASES, numbered_cases)
def test_not_isolated_means_that_no_policy_isolates(case: Case) -> None:
    """NP-2, NP-5, CNP-4."""
    cluster, flows = case
    index = compile_cluster(cluster, NAMES)
    for flow in flows:
        verdict = evaluate(index, flow)
        for direction, decision in _decisions(verdict):
            end = flow.source if direction is PolicyType.EGRESS else flow.destination
            pod = pod_of(cluster, end)
            if pod is not None and decision.reason in ISOLATION:
                isolates = isolated(cluster, pod, direction)
                found = (isolates, touches(cluster, pod, direction))
                assert found in ISOLATION[decision.reason], flow


@law(CLUSTERS, numbered_clusters)
def test_every_pod_is_isolated_as_the_oracle_says_with_or_without_address(
    cluster: Cluster,
) -> None:
    """NP-5, NP-50, NP-58, NP-60; CNP-4, CNP-5."""
    index = compile_cluster(cluster, NAMES)
    for pod in cluster.pods:
        endpoint = index.endpoints.get(f"{pod.namespace}/{pod.name}")
        expected = [
            isolated(cluster, pod, direction) or touches(cluster, pod, direction)
            for direction in PolicyType
        ]
        if endpoint is None:
            assert expected == [False, False]
        else:
            policy = index.policies[endpoint.endpoint_class]
            assert [policy.ingress.isolates, policy.egress.isolates] == expected


@law(CLUSTERS_AND_FAMILIES, numbered_clusters_and_families)
def test_connections_agrees_with_evaluate_on_every_boundary_port(
    case: tuple[Cluster, int],
) -> None:
    cluster, family = case
    index = compile_cluster(cluster, NAMES)
    pods = [a for pod in cluster.pods for a in pod.addresses if a.version == family]
    ends = [*pods, *interesting_addresses(cluster, family)[:6]]
    for source in ends[:5]:
        for destination in ends[:5]:
            if not _is_special(index, source, destination):
                _assert_same_ports(index, cluster, source, destination)


@law(CLUSTERS_AND_FAMILIES, numbered_clusters_and_families)
def test_all_pairs_agrees_with_connections(case: tuple[Cluster, int]) -> None:
    cluster, family = case
    index = compile_cluster(cluster, NAMES)
    speakers = [c.number for c in index.classes if _speaks(index, c.number, family)]
    rows = all_pairs(index, family).rows
    for destination in speakers:
        found = {n: ports for ports, sources in rows[destination].items() for n in sources}
        for source in speakers:
            if index.classes[source].outside and index.classes[destination].outside:
                assert source not in found
            else:
                expected = connections(index, source, destination, family)
                assert found.get(source, NOTHING) == expected


def _plain(verdict: Verdict) -> OracleVerdict:
    return OracleVerdict(verdict.allowed, verdict.egress.allowed, verdict.ingress.allowed)


def _decisions(verdict: Verdict) -> tuple[tuple[PolicyType, Decision], ...]:
    return (PolicyType.EGRESS, verdict.egress), (PolicyType.INGRESS, verdict.ingress)


def _is_special(index: PolicyIndex, source: IPAddress, destination: IPAddress) -> bool:
    """Facts about single addresses, not about classes: self, own node, and an address that several
    pods may have (NP-52, NP-54, NP-60a)."""
    if source in index.contested or destination in index.contested:
        return True
    verdict = evaluate(index, Flow(source, destination, OTHER, 0))
    return bool({verdict.egress.reason, verdict.ingress.reason} & {Reason.SELF, Reason.OWN_NODE})


def _assert_same_ports(
    index: PolicyIndex, cluster: Cluster, source: IPAddress, destination: IPAddress
) -> None:
    ports: PortSet = connections(
        index, index.class_of(source), index.class_of(destination), source.version
    )
    probes = [(name, port) for name in PROTOCOLS for port in interesting_ports(cluster)]
    for protocol, port in (*probes, (OTHER, 0)):
        allowed = evaluate(index, Flow(source, destination, protocol, port)).allowed
        assert ((protocol, port) in ports) is allowed, (source, destination, protocol, port)


def _speaks(index: PolicyIndex, number: int, family: int) -> bool:
    outside = index.classes[number].outside
    if outside is not None:
        return bool(outside.family(family))
    return any(a.version == family for a in index.members[number][0].addresses)
