"""Builders spell what manifests decode to."""

from __future__ import annotations

from io import BytesIO

import pytest
from msgspec.structs import replace

from podfence.manifests.load import load
from podfence.model.cluster import Cluster
from podfence.model.networkpolicy import NetworkPolicy
from podfence.testing.builders import (
    namespace,
    node,
    peer,
    pod,
    policy,
    port,
    requirement,
    rule,
    selector,
)

HEAD = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: x, name: p}
spec: """


def read(text: str) -> Cluster:
    loaded = load(["-"], stdin=BytesIO(text.encode()))
    assert loaded.errors == ()
    return loaded.cluster


POLICIES: list[tuple[str, NetworkPolicy]] = [
    ("{}", policy("x/p")),
    ("{egress: []}", policy("x/p", egress=[])),
    ("{egress: [{}]}", policy("x/p", egress=[rule()])),
    ("{policyTypes: [Egress]}", policy("x/p", types=["Egress"])),
    ("{podSelector: {matchLabels: {app: web}}}", policy("x/p", {"app": "web"})),
    (
        "{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [a, b]}]}}",
        policy("x/p", selector(None, requirement("app", "NotIn", "a", "b"))),
    ),
    (
        "{ingress: [{from: [{podSelector: {}, namespaceSelector: {matchLabels: {a: b}}}]}]}",
        policy("x/p", ingress=[rule(peer(pods={}, namespaces={"a": "b"}))]),
    ),
    (
        "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}",
        policy("x/p", ingress=[rule(peer(cidr="10.0.0.0/8", except_=["10.1.0.0/16"]))]),
    ),
    (
        "{ingress: [{ports: [{port: 80}, {port: dns, protocol: UDP}, {protocol: SCTP}]}]}",
        policy("x/p", ingress=[rule(ports=[80, "dns/UDP", "/SCTP"])]),
    ),
    (
        "{ingress: [{ports: [{port: 1, endPort: 9}]}]}",
        policy("x/p", ingress=[rule(ports=["1-9"])]),
    ),
]


@pytest.mark.parametrize(("spec", "built"), POLICIES, ids=[spec for spec, _ in POLICIES])
def test_a_policy_equals_its_manifest(spec: str, built: NetworkPolicy) -> None:
    (decoded,) = read(HEAD + spec).policies
    assert replace(decoded, source=None) == built


def test_a_namespace_equals_its_manifest() -> None:
    cluster = read("{apiVersion: v1, kind: Namespace, metadata: {name: x, labels: {team: red}}}")
    decoded = replace(cluster.namespaces["x"], source=None)
    assert decoded == namespace("x", {"team": "red", "kubernetes.io/metadata.name": "forged"})


def test_a_node_equals_its_manifest() -> None:
    cluster = read(
        "{apiVersion: v1, kind: Node, metadata: {name: n1},"
        " status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}}"
    )
    assert replace(cluster.nodes["n1"], source=None) == node("n1", "192.0.2.1")


def test_a_pod_equals_its_manifest() -> None:
    cluster = read(
        "{apiVersion: v1, kind: Pod, metadata: {namespace: x, name: a, labels: {app: web}},"
        " spec: {nodeName: n1, containers: [{name: c, ports: [{name: http, containerPort: 80},"
        " {containerPort: 53, protocol: UDP}]}]},"
        " status: {phase: Running, hostIP: 192.0.2.1, podIPs: [{ip: 10.0.0.1}]}}"
    )
    built = pod(
        "x/a",
        {"app": "web"},
        addresses=["10.0.0.1"],
        ports=["http:80", ":53/UDP"],
        node="n1",
        host_addresses=["192.0.2.1"],
    )
    assert replace(cluster.pods[0], source=None) == built


@pytest.mark.parametrize("name", ["a", ""])
def test_a_name_without_namespace_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="namespace/name"):
        pod(name)


@pytest.mark.parametrize("text", ["http", "8080"])
def test_a_container_port_without_colon_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="name:number"):
        pod("x/a", ports=[text])


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="ICMP"):
        port("80/ICMP")
