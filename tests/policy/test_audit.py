"""Audited policies: which they are, that they enforce nothing, what they would do."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import pytest
from msgspec.structs import replace

from podfence.admission.decode import decode
from podfence.engine.evaluate import Evaluator
from podfence.errors import Source
from podfence.live.clusterevents import ClusterEvent
from podfence.live.clusterindex import ClusterIndex
from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.compile import audit_of, compile_cluster
from tests.support.audits import audited_cluster, enforced, flows_of, with_audited
from tests.support.described import described
from tests.support.random_clusters import TIERS, Size, objects_of
from tests.support.random_tiers import NAMES

Policy = NetworkPolicy | ClusterNetworkPolicy
SIZES = (Size(pods=8, policies=6), TIERS)
RULE = {"name": "deny", "action": "Deny", "from": [{"namespaces": {}}]}
SUBJECT: dict[str, object] = {"namespaces": {}}
OBJECTS: Mapping[str, dict[str, object]] = {
    "NetworkPolicy": {
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"podSelector": {}},
    },
    "ClusterNetworkPolicy": {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "metadata": {"name": "p"},
        "spec": {"tier": "Admin", "priority": 1, "subject": SUBJECT, "ingress": [RULE]},
    },
    "AdminNetworkPolicy": {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "metadata": {"name": "p"},
        "spec": {"priority": 1, "subject": SUBJECT, "ingress": [RULE]},
    },
    "BaselineAdminNetworkPolicy": {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "metadata": {"name": "default"},
        "spec": {"subject": SUBJECT, "ingress": [RULE]},
    },
}


def read(kind: str, annotations: object) -> NetworkPolicy | ClusterNetworkPolicy:
    data = OBJECTS[kind]
    metadata = data["metadata"]
    assert isinstance(metadata, dict)
    written = {**data, "kind": kind, "metadata": {**metadata, "annotations": annotations}}
    (found,) = decode(written, Source("p.yaml")).objects
    assert isinstance(found, NetworkPolicy | ClusterNetworkPolicy)
    return found


@pytest.mark.parametrize("kind", OBJECTS)
def test_every_kind_of_policy_can_be_audited(kind: str) -> None:
    assert read(kind, {"podfence.io/mode": "audit", "other": "x"}).audited


@pytest.mark.parametrize("kind", OBJECTS)
@pytest.mark.parametrize(
    "annotations",
    [
        None,
        {},
        {"podfence.io/mode": "enforce"},
        {"podfence.io/mode": "Audit"},
        {"podfence.io/mode": "audit "},
        {"podfence.io/mode": ""},
        {"podfence.io/mod": "audit"},
        {"mode": "audit"},
    ],
)
def test_whatever_else_is_enforced(kind: str, annotations: object) -> None:
    assert not read(kind, annotations).audited


def test_audited_policies_stand_apart_and_come_back_in_their_places() -> None:
    for seed in range(40):
        cluster = audited_cluster(Random(seed), SIZES[seed % 2])
        policies: list[Policy] = [*cluster.policies, *cluster.admin_policies]
        assert not any(policy.audited for policy in policies)
        assert all(policy.audited for policy in cluster.audited)
        whole = cluster.with_audited()
        assert whole == Cluster.of(objects_of(whole))
        assert len(policies) + len(cluster.audited) == len((*whole.policies, *whole.admin_policies))


@pytest.mark.law
def test_they_enforce_nothing_and_would_do_what_the_rule_says() -> None:
    turned = {True: 0, False: 0}
    for seed in range(60):
        rng = Random(seed)
        cluster = audited_cluster(rng, SIZES[seed % 2])
        index = compile_cluster(cluster, NAMES)
        audit = audit_of(index) or index
        now, would = Evaluator(index), Evaluator(audit)
        for flow in flows_of(rng, cluster, 40):
            held, asked = now.verdict(flow).allowed, would.verdict(flow).allowed
            assert held is enforced(cluster, flow).allowed, (seed, flow)
            assert asked is with_audited(cluster, flow).allowed, (seed, flow)
            if held is not asked:
                turned[asked] += 1
    assert min(turned.values()) > 5  # they would deny, and they would allow


def test_a_cluster_without_them_is_compiled_once() -> None:
    assert audit_of(compile_cluster(Cluster.of(()))) is None


@pytest.mark.parametrize("seed", range(12))
def test_a_cluster_that_is_followed_is_the_same(seed: int) -> None:
    """Policies become audited and are enforced again, one event after the other."""
    rng = Random(seed)
    states = [audited_cluster(Random(seed), SIZES[seed % 2])]
    whole = states[0].with_audited()
    every: list[Policy] = [*whole.policies, *whole.admin_policies]
    state = ClusterIndex.of(states[0], NAMES)
    for _ in range(6):
        rest = [each for each in objects_of(whole) if each not in every]
        every = [replace(policy, audited=rng.random() < 0.5) for policy in every]
        cluster = Cluster.of([*rest, *every])
        state, _ = state.apply([ClusterEvent(policy.ref, policy) for policy in every])
        found = state.index.cluster
        assert (found.policies, found.admin_policies) == (cluster.policies, cluster.admin_policies)
        assert found.audited == cluster.audited
        assert described(state.index) == described(compile_cluster(cluster, NAMES))
