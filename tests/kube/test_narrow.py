"""What a snapshot may hold."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.errors import Source
from podfence.intake.entries import with_services
from podfence.kube.narrow import KEPT, page_decoder, plain
from podfence.model.cluster import Cluster
from podfence.model.entries import Entries
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Namespace, Pod, Service
from podfence.testing.manifest import to_manifest
from tests.support.random_clusters import random_cluster

SECRET = "hush"
SOURCE = Source("")
OTHERS: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n1", "labels": {"zone": "a"}},
        "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00::/64"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "172.20.0.1"}]},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "db", "namespace": "shop"},
        "spec": {
            "type": "LoadBalancer",
            "selector": {"app": "db"},
            "clusterIP": "10.0.0.5",
            "clusterIPs": ["10.0.0.5"],
            "externalIPs": ["198.51.100.4"],
            "ports": [{"name": "pg", "port": 5432, "targetPort": "pg", "protocol": "TCP"}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.5", "ipMode": "Proxy"}]}},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "out", "namespace": "shop"},
        "spec": {"type": "ExternalName", "externalName": "db.example"},
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "db-1",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "db"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.0.9"], "conditions": {"ready": True}}],
        "ports": [{"name": "pg", "port": 5432, "protocol": "TCP"}],
    },
]
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "db",
        "namespace": "shop",
        "labels": {"app": "db"},
        "annotations": {"note": SECRET},
        "managedFields": [{"manager": SECRET}],
        "ownerReferences": [
            {"kind": "ReplicaSet", "name": "db-1", "controller": True, "uid": SECRET}
        ],
    },
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": SECRET,
        "volumes": [{"secret": {"secretName": SECRET}}],
        "containers": [
            {
                "name": "c",
                "image": SECRET,
                "env": [{"name": "PASSWORD", "value": SECRET}],
                "args": [SECRET],
                "ports": [{"containerPort": 5432, "name": "pg"}],
            }
        ],
    },
    "status": {"podIP": "10.0.0.1", "message": SECRET, "containerStatuses": [{"image": SECRET}]},
}


def narrowed(data: dict[str, Any]) -> dict[str, Any]:
    """An object as it comes out of a page of a list."""
    body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": [data]}).encode()
    page = page_decoder(data["kind"]).decode(body)
    assert page.items is not None
    return plain(data["kind"], data["apiVersion"], page.items[0])


def test_a_pod_keeps_what_decides_and_nothing_else() -> None:
    kept = narrowed(POD)
    assert kept["spec"]["containers"] == [
        {"name": "c", "ports": [{"containerPort": 5432, "name": "pg"}]}
    ]
    assert kept["metadata"]["labels"] == {"app": "db"}
    assert kept["metadata"]["ownerReferences"][0]["name"] == "db-1"
    assert kept["status"] == {"podIP": "10.0.0.1"}
    assert SECRET not in json.dumps(kept)


@pytest.mark.parametrize("kind", list(KEPT))
def test_no_kind_keeps_annotations_of_others_or_managed_fields(kind: str) -> None:
    metadata = {"name": "a", "annotations": {"a": SECRET}, "managedFields": [SECRET], "uid": SECRET}
    data = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": {"a": SECRET}}
    assert narrowed(data) == {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}}


def test_a_policy_keeps_its_whole_spec() -> None:
    spec: dict[str, Any] = {"podSelector": {}, "ingress": [{"form": []}]}
    policy = {"apiVersion": "v1", "kind": "NetworkPolicy", "spec": spec, "status": {}}
    assert narrowed(policy)["spec"] == spec


def test_null_stays_null() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": None}, "spec": None}
    assert narrowed(pod) == pod


@pytest.mark.parametrize("seed", range(20))
def test_what_is_kept_has_the_meaning_of_the_whole(seed: int) -> None:
    """The law of ``KEPT``: a decoder finds in it everything that it looks for."""
    rng = Random(seed)
    cluster = random_cluster(rng)
    things: list[Namespace | Pod | NetworkPolicy] = [*cluster.namespaces.values(), *cluster.pods]
    things += cluster.policies
    for thing in things:
        whole: dict[str, Any] = json.loads(json.dumps(to_manifest(thing)))
        assert decode(narrowed(whole), SOURCE) == decode(whole, SOURCE)


@pytest.mark.parametrize("data", OTHERS, ids=lambda data: data["kind"])
def test_the_other_kinds_too(data: dict[str, Any]) -> None:
    assert decode(narrowed(data), SOURCE) == decode(data, SOURCE)
    assert decode(data, SOURCE).objects


POLICIES: list[dict[str, Any]] = [
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "a", "namespace": "shop"},
        "spec": {"podSelector": {}},
    },
    {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "a"},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}},
    },
    {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": "AdminNetworkPolicy",
        "metadata": {"name": "a"},
        "spec": {"priority": 1, "subject": {"namespaces": {}}},
    },
    {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": "BaselineAdminNetworkPolicy",
        "metadata": {"name": "default"},
        "spec": {"subject": {"namespaces": {}}},
    },
]


@pytest.mark.parametrize("mode", ["audit", "enforce", "Audit"])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda data: data["kind"])
def test_a_policy_keeps_its_mode(policy: dict[str, Any], mode: str) -> None:
    """AUD-1: an audited policy of a live cluster enforces nothing."""
    annotations = {"podfence.io/mode": mode, "kubectl.kubernetes.io/last-applied": SECRET}
    data = {**policy, "metadata": {**policy["metadata"], "annotations": annotations}}
    (kept,) = decode(narrowed(data), SOURCE).objects
    assert kept.audited is (mode == "audit")  # type: ignore[union-attr]  # of a policy
    assert narrowed(data)["metadata"]["annotations"] == {"podfence.io/mode": mode}


@pytest.mark.parametrize("kind", list(KEPT))
def test_every_kind_keeps_which_findings_are_meant(kind: str) -> None:
    remark = {"podfence.io/ignore": "PF350 closed by the firewall"}
    metadata = {"name": "a", "annotations": {**remark, "a": SECRET}}
    data = {"apiVersion": "v1", "kind": kind, "metadata": metadata}
    assert narrowed(data)["metadata"] == {"name": "a", "annotations": remark}


FROM_OUTSIDE: list[dict[str, Any]] = [
    {"type": "LoadBalancer", "loadBalancerSourceRanges": ["198.51.100.0/24"]},
    {"type": "LoadBalancer", "externalTrafficPolicy": "Local"},
    {
        "type": "LoadBalancer",
        "loadBalancerSourceRanges": ["198.51.100.0/24"],
        "allocateLoadBalancerNodePorts": False,
    },
    {"type": "NodePort", "externalTrafficPolicy": "Cluster"},
    {"type": "ClusterIP", "externalIPs": ["198.51.100.4"]},
]


@pytest.mark.parametrize("spec", FROM_OUTSIDE, ids=json.dumps)
def test_a_service_keeps_who_may_come_in(spec: dict[str, Any]) -> None:
    """Ways in from outside are read from the object as it was written."""
    ports = [{"port": 443, "targetPort": 8443, "nodePort": 30443}]
    whole = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "front", "namespace": "shop"},
        "spec": {**spec, "selector": {"app": "front"}, "ports": ports, "sessionAffinity": "None"},
    }
    (service,) = decode(whole, SOURCE).objects
    assert isinstance(service, Service)
    cluster = Cluster.of([service])
    of_whole, of_kept = (_entries(cluster, each) for each in (whole, narrowed(whole)))
    assert of_whole.entries
    assert of_whole == of_kept


def _entries(cluster: Cluster, written: dict[str, Any]) -> Entries:
    return with_services(Entries(), cluster, lambda _: written)


def test_a_pod_keeps_whom_it_asks_for_names() -> None:
    """PF333 and others ask it: a pod with dnsPolicy Default needs no rule for the cluster's DNS."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a"},
        "spec": {"dnsPolicy": "None"},
    }
    assert narrowed(pod) == pod
