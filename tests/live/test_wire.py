"""Bytes of the API as facts: the same that decoding the whole object says of it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from podfence.live import wire
from podfence.live.policystore import read_policy
from podfence.live.unread import Fallback
from podfence.model.facts import (
    NO_ADDRESS,
    Gone,
    NamespaceFacts,
    NodeFacts,
    PodFacts,
    PolicyFacts,
    Put,
)
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Namespace, Pod
from podfence.testing.facts import facts_of
from podfence.testing.manifest import to_manifest
from tests.support.random_clusters import TIERS, objects_of, random_cluster


def written(thing: Any) -> bytes:
    return json.dumps(to_manifest(thing)).encode()


@pytest.mark.parametrize("seed", range(10))
def test_facts_say_what_the_objects_say(seed: int) -> None:
    for thing in objects_of(random_cluster(Random(seed), TIERS)):
        if isinstance(thing, Pod | Namespace):
            assert wire.facts(type(thing).__name__, written(thing)) == facts_of(thing)
        elif isinstance(thing, NetworkPolicy):
            found = wire.facts("NetworkPolicy", written(thing))
            assert isinstance(found, PolicyFacts)
            whole = PolicyFacts(found.kind, found.namespace, found.name, written(thing))
            assert read_policy(found) == read_policy(whole)
            assert (found.namespace, found.name) == (thing.ref.namespace, thing.ref.name)


def test_of_a_policy_nothing_is_kept_that_nobody_reads() -> None:
    """And what a list does not say of its objects is said."""
    metadata = {"name": "a", "namespace": "n", "managedFields": [1], "resourceVersion": "5"}
    text = json.dumps({"metadata": metadata, "spec": {"podSelector": {}}, "status": 1}).encode()
    found = wire.read("NetworkPolicy", text, "networking.k8s.io/v1")
    assert found.version == "5"
    assert isinstance(found.facts, PolicyFacts)
    assert json.loads(found.facts.document) == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "a", "namespace": "n"},
        "spec": {"podSelector": {}},
    }


def pod_of(**fields: Any) -> PodFacts | None:
    manifest = {"metadata": {"name": "a", "namespace": "n"}, **fields}
    found = wire.facts("Pod", json.dumps(manifest).encode())
    assert found is None or isinstance(found, PodFacts)
    return found


@pytest.mark.parametrize(
    ("fields", "v4", "v6"),
    [
        pytest.param({}, NO_ADDRESS, NO_ADDRESS, id="none"),
        pytest.param({"podIP": "10.0.0.1"}, 0x0A000001, NO_ADDRESS, id="the older field"),
        pytest.param({"podIPs": [{"ip": "::1"}, {"ip": "10.0.0.1"}]}, 0x0A000001, 1, id="both"),
        pytest.param({"podIP": "::ffff:10.0.0.1"}, 0x0A000001, NO_ADDRESS, id="IPv4 as IPv6"),
        pytest.param({"podIPs": None, "podIP": ""}, NO_ADDRESS, NO_ADDRESS, id="empty"),
        pytest.param({"podIP": "no address"}, NO_ADDRESS, NO_ADDRESS, id="not readable"),
        pytest.param({"podIP": 7}, NO_ADDRESS, NO_ADDRESS, id="of a wrong type"),
    ],
)
def test_addresses(fields: dict[str, Any], v4: int, v6: int) -> None:
    found = pod_of(status=fields)
    assert found is not None
    assert (found.v4, found.v6) == (v4, v6)


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        pytest.param({"status": {"phase": "Running"}}, True, id="running"),
        pytest.param({"status": {"phase": "Succeeded"}}, False, id="NP-60 succeeded"),
        pytest.param({"status": {"phase": "Failed"}}, False, id="NP-60 failed"),
        pytest.param({"spec": {"hostNetwork": True}}, False, id="NP-50 host network"),
        pytest.param({"spec": {"hostNetwork": None}}, True, id="null"),
    ],
)
def test_whom_policies_see(fields: dict[str, Any], seen: bool) -> None:
    found = pod_of(**fields)
    assert found is not None
    assert found.seen is seen


def test_ports_of_init_containers_that_restart_always_count() -> None:
    """NP-34."""
    containers = [{"ports": [{"name": "b", "containerPort": 2}, {"containerPort": 3}]}]
    sidecar = {"restartPolicy": "Always", "ports": [{"name": "a", "containerPort": 1}]}
    once = {"ports": [{"name": "c", "containerPort": 4}]}
    found = pod_of(spec={"containers": containers, "initContainers": [sidecar, once]})
    assert found is not None
    assert [(port.name, port.port) for port in found.ports] == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("kind", ["Pod", "Namespace", "Node", "NetworkPolicy"])
@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"{}", b'{"metadata": {}}', b"\xff"])
def test_without_a_name_there_is_nothing(kind: str, document: bytes) -> None:
    assert wire.facts(kind, document) is None


def test_what_cannot_be_read_is_there_by_its_name() -> None:
    metadata = {"name": "a", "namespace": "n", "labels": {"app": 7}}
    document = json.dumps({"metadata": metadata, "spec": 1, "status": 2}).encode()
    assert wire.facts("Pod", document) == PodFacts("n", "a")
    labels = (("kubernetes.io/metadata.name", "a"),)
    assert wire.facts("Namespace", document) == NamespaceFacts("a", labels)
    assert wire.facts("Node", document) == NodeFacts("a")


def test_a_node_has_its_ranges() -> None:
    document = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"zone": "a"}},
        "spec": {"podCIDRs": ["10.0.0.0/24"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.9.0.1"}]},
    }
    found = wire.facts("Node", json.dumps(document).encode())
    assert isinstance(found, NodeFacts)
    assert [*map(str, found.pod_cidrs), *map(str, found.addresses)] == ["10.0.0.0/24", "10.9.0.1"]
    assert found.labels == (("zone", "a"),)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        pytest.param({"type": "BOOKMARK", "object": {}}, None, id="a bookmark"),
        pytest.param({"type": "ERROR", "object": {"code": 410}}, None, id="an error"),
        pytest.param({}, None, id="nothing"),
        pytest.param(
            {"type": "DELETED", "object": {"metadata": {"name": "a", "namespace": "n"}}},
            Gone("Pod", "n", "a"),
            id="gone",
        ),
        pytest.param(
            {"type": "ADDED", "object": {"metadata": {"name": "a", "namespace": "n"}}},
            Put(PodFacts("n", "a")),
            id="there",
        ),
    ],
)
def test_lines_of_a_watch(line: dict[str, Any], event: object) -> None:
    assert wire.event("Pod", json.dumps(line).encode()) == event


@pytest.mark.parametrize("kind", ["NetworkPolicy", "ClusterNetworkPolicy"])
@pytest.mark.parametrize("mode", [None, "audit", "enforce", "future"])
def test_of_annotations_the_mode_alone_goes_with_it(kind: str, mode: str | None) -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{}"}
    known = {} if mode is None else {"podfence.io/mode": mode}
    metadata = {"name": "a", "namespace": "s", "annotations": {**annotations, **known}}
    found = wire.read(kind, json.dumps({"metadata": metadata, "spec": {}}).encode())
    assert isinstance(found.facts, PolicyFacts)
    assert json.loads(found.facts.document)["metadata"].get("annotations", {}) == known


def test_an_audited_policy_that_cannot_be_read_closes_nobody() -> None:
    spec = {"podSelector": {}, "ingress": "all"}
    audited = {"podfence.io/mode": "audit"}
    for mode, instead in ((audited, Fallback.NOTHING), ({}, Fallback.CLOSED)):
        metadata = {"name": "a", "namespace": "s", "annotations": mode}
        data = {"apiVersion": "networking.k8s.io/v1", "metadata": metadata, "spec": spec}
        found = wire.facts("NetworkPolicy", json.dumps(data).encode())
        assert isinstance(found, PolicyFacts)
        policy, refusal = read_policy(found)
        assert refusal is not None
        assert refusal.instead is instead
        assert (policy is None) is (instead is Fallback.NOTHING)


def test_the_revision_of_a_policy_goes_with_it() -> None:
    metadata = {"name": "a", "namespace": "s", "uid": "u-1", "generation": 4, "labels": {"x": "y"}}
    found = wire.read("NetworkPolicy", json.dumps({"metadata": metadata, "spec": {}}).encode())
    assert isinstance(found.facts, PolicyFacts)
    kept = json.loads(found.facts.document)["metadata"]
    assert kept == {"name": "a", "namespace": "s", "uid": "u-1", "generation": 4}
