"""Decoding of namespaces, nodes, pods, services, and the choice of kinds."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from podfence.admission.decode import PROBLEM_CODES, Decoded, decode, is_wanted
from podfence.admission.kinds import WANTED_KINDS
from podfence.errors import Severity
from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.objects import ContainerPort, Namespace, Node, Pod, Service, ServicePort
from tests.admission import clusterpolicies
from tests.admission.decoding import SOURCE, TCP, UDP, data_of, only

# ------------------------------------------------------------------------- which kinds


def test_wanted_kinds() -> None:
    assert {
        "Namespace", "Node", "Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet",
        "ReplicationController", "Job", "CronJob", "Service", "Endpoints", "EndpointSlice",
        "NetworkPolicy",
        "ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy",
    } == WANTED_KINDS  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "api_version"),
    [
        ("Service", "serving.knative.dev/v1"),
        ("Node", "longhorn.io/v1"),
        ("Deployment", "example.com/v1"),
        ("Job", "batch.volcano.sh/v1alpha1"),
        ("ConfigMap", "v1"),
        ("List", "v1"),
    ],
)
def test_a_kind_of_a_foreign_group_is_ignored(kind: str, api_version: str) -> None:
    data = data_of(kind, api_version)
    assert not is_wanted(data)
    assert decode(data, SOURCE) == Decoded()


@pytest.mark.parametrize("data", [{}, {"kind": None}, {"kind": 5}, {"kind": ["Pod"]}], ids=str)
def test_no_kind(data: dict[str, Any]) -> None:
    assert not is_wanted(data)
    assert decode(data, SOURCE) == Decoded()


@pytest.mark.parametrize(
    ("kind", "api_version", "text"),
    [
        (
            "NetworkPolicy",
            "extensions/v1beta1",
            (
                "NetworkPolicy of extensions/v1beta1 is no longer served since Kubernetes 1.16: "
                "use networking.k8s.io/v1"
            ),
        ),
        (
            "NetworkPolicy",
            "crd.projectcalico.org/v1",
            (
                "NetworkPolicy of crd.projectcalico.org/v1 is Calico's own kind, which podfence "
                "does not judge"
            ),
        ),
        (
            "NetworkPolicy",
            "projectcalico.org/v3",
            (
                "NetworkPolicy of projectcalico.org/v3 is Calico's own kind, which podfence "
                "does not judge"
            ),
        ),
        (
            "NetworkPolicy",
            "networking.k8s.io/v2",
            (
                'no matches for kind "NetworkPolicy" in version "networking.k8s.io/v2"; '
                "use networking.k8s.io/v1"
            ),
        ),
        (
            "NetworkPolicy",
            "apps/v1",
            'no matches for kind "NetworkPolicy" in version "apps/v1"; use networking.k8s.io/v1',
        ),
        (
            "ClusterNetworkPolicy",
            "policy.networking.k8s.io/v1",
            (
                "ClusterNetworkPolicy of policy.networking.k8s.io/v1 is not supported: "
                "use policy.networking.k8s.io/v1beta1"
            ),
        ),
        ("Pod", "v2", 'no matches for kind "Pod" in version "v2"; use v1'),
        ("Pod", "apps/v1", 'no matches for kind "Pod" in version "apps/v1"; use v1'),
        (
            "Deployment",
            "extensions/v1beta1",
            (
                "Deployment of extensions/v1beta1 is no longer served since Kubernetes 1.16: "
                "use apps/v1"
            ),
        ),
        (
            "CronJob",
            "batch/v1beta1",
            'no matches for kind "CronJob" in version "batch/v1beta1"; use batch/v1',
        ),
        ("Pod", None, "apiVersion is missing or no string: write apiVersion: v1"),
        ("Pod", 1, "apiVersion is missing or no string: write apiVersion: v1"),
    ],
)
def test_unsupported_version(kind: str, api_version: Any, text: str) -> None:
    decoded = decode({**data_of(kind), "apiVersion": api_version}, SOURCE)
    (problem,) = decoded.problems
    assert decoded.objects == ()
    assert (problem.code, problem.severity, problem.path) == ("PF205", Severity.ERROR, "apiVersion")
    assert problem.message == text


@pytest.mark.parametrize("version", ["v1alpha2", "v1beta1"])
def test_versions_of_clusternetworkpolicy_have_one_schema(version: str) -> None:
    manifest = clusterpolicies.manifest()
    written = {**manifest, "apiVersion": f"policy.networking.k8s.io/{version}"}
    assert decode(written, SOURCE) == decode(manifest, SOURCE)
    assert decode(written, SOURCE).problems == ()


@pytest.mark.parametrize("api_version", [[], {}, ["policy.networking.k8s.io/v1alpha2"], 1.5, True])
def test_version_that_is_no_string(api_version: Any) -> None:
    (problem,) = decode(
        {**data_of("ClusterNetworkPolicy"), "apiVersion": api_version}, SOURCE
    ).problems
    assert problem.message.startswith("apiVersion is missing or no string")


def test_codes_are_explained() -> None:
    numbers = (*range(201, 211), 212)
    assert sorted(PROBLEM_CODES) == [f"PF{number}" for number in numbers]


# ------------------------------------------------------------------- namespaces, nodes


def test_np_21_namespace_label_wins_over_the_manifest() -> None:
    labels = {"team": "a", METADATA_NAME_LABEL: "forged"}
    namespace = only(data_of("Namespace", metadata={"name": "shop", "labels": labels}))
    assert namespace == Namespace(
        "shop", ((METADATA_NAME_LABEL, "shop"), ("team", "a")), source=SOURCE
    )


def test_np_21_namespace_without_labels() -> None:
    assert only(data_of("Namespace")).labels == ((METADATA_NAME_LABEL, "x"),)


def test_node() -> None:
    addresses = [
        {"type": "InternalIP", "address": "172.16.0.1"},
        {"type": "Hostname", "address": "n1"},
        {"type": "ExternalIP", "address": "2001:db8::1"},
        {"type": "ExternalIP", "address": "172.16.0.1"},
    ]
    data = data_of(
        "Node",
        metadata={"name": "n1", "labels": {"zone": "a"}},
        spec={"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64"]},
        status={"addresses": addresses},
    )
    assert only(data) == Node(
        "n1",
        (("zone", "a"),),
        (ip_address("172.16.0.1"), ip_address("2001:db8::1")),
        (ip_network("10.0.0.0/24"), ip_network("fd00::/64")),
        SOURCE,
    )


def test_node_with_the_single_field_only() -> None:
    node = only(data_of("Node", spec={"podCIDR": "10.0.0.0/24"}))
    assert node.pod_cidrs == (ip_network("10.0.0.0/24"),)


# -------------------------------------------------------------------------------- pods


def test_pod_as_the_server_shows_it() -> None:
    data = data_of(
        "Pod",
        metadata={"name": "web-0", "namespace": "shop", "labels": {"b": "2", "a": "1"}},
        spec={
            "nodeName": "n1",
            "containers": [
                {"ports": [{"name": "http", "containerPort": 8080}]},
                {"ports": [{"containerPort": 53, "protocol": "UDP"}]},
            ],
        },
        status={
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "hostIP": "172.16.0.1",
        },
    )
    assert only(data) == Pod(
        "shop",
        "web-0",
        (("a", "1"), ("b", "2")),
        (ip_address("10.0.0.1"), ip_address("fd00::1")),
        (ContainerPort("http", 8080, TCP), ContainerPort("", 53, UDP)),
        "n1",
        (ip_address("172.16.0.1"),),
        has_status=True,
        source=SOURCE,
    )


def test_pod_of_a_manifest() -> None:
    assert only(data_of("Pod")) == Pod("default", "x", source=SOURCE)


@pytest.mark.parametrize(
    ("status", "addresses", "has_status"),
    [
        (None, [], False),
        ({}, [], False),
        ({"phase": "Pending"}, [], True),
        ({"podIP": ""}, [], True),
        ({"podIP": "10.0.0.1"}, ["10.0.0.1"], True),
        ({"podIP": "10.0.0.1", "podIPs": []}, ["10.0.0.1"], True),
        ({"podIPs": [{"ip": "10.0.0.2"}, {"ip": ""}]}, ["10.0.0.2"], True),
    ],
    ids=str,
)
def test_np_58_addresses(status: Any, addresses: list[str], has_status: bool) -> None:
    pod = only(data_of("Pod", status=status))
    assert pod.addresses == tuple(map(ip_address, addresses))
    assert pod.has_status is has_status


@pytest.mark.parametrize(
    ("phase", "finished"),
    [("Succeeded", True), ("Failed", True), ("Running", False), ("Pending", False), (None, False)],
)
def test_np_60_finished(phase: str | None, finished: bool) -> None:
    assert only(data_of("Pod", status={"phase": phase})).finished is finished


def test_np_59_terminating_pod_is_still_there() -> None:
    metadata = {"name": "x", "deletionTimestamp": "2024-01-01T00:00:00Z"}
    assert not only(data_of("Pod", metadata=metadata)).finished


def test_np_34_ports_of_sidecars_but_not_of_plain_init_containers() -> None:
    spec = {
        "containers": [{"ports": [{"containerPort": 1}]}],
        "initContainers": [
            {"ports": [{"containerPort": 2}]},
            {"restartPolicy": "Always", "ports": [{"containerPort": 3, "protocol": None}]},
        ],
    }
    ports = only(data_of("Pod", spec=spec)).ports
    assert ports == (ContainerPort("", 1, TCP), ContainerPort("", 3, TCP))


def test_np_50_host_network() -> None:
    assert only(data_of("Pod", spec={"hostNetwork": True})).host_network


def test_pod_with_generated_name() -> None:
    name = only(data_of("Pod", metadata={"generateName": "run-"})).name
    assert name.startswith("run-")
    assert len(name) == 9


POD_OWNERS: list[tuple[str, dict[str, Any], dict[str, str], ObjectRef | None]] = [
    (
        "deployment-behind-replicaset",
        {"kind": "ReplicaSet", "name": "web-5d4f", "controller": True},
        {"pod-template-hash": "5d4f"},
        ObjectRef("Deployment", "default", "web"),
    ),
    (
        "bare-replicaset",
        {"kind": "ReplicaSet", "name": "web-5d4f", "controller": True},
        {},
        ObjectRef("ReplicaSet", "default", "web-5d4f"),
    ),
    (
        "statefulset",
        {"kind": "StatefulSet", "name": "db", "controller": True},
        {"pod-template-hash": "db"},
        ObjectRef("StatefulSet", "default", "db"),
    ),
    ("static-pod", {"kind": "Node", "name": "n1", "controller": True}, {}, None),
    ("not-the-controller", {"kind": "ReplicaSet", "name": "web"}, {}, None),
]


@pytest.mark.parametrize(
    ("reference", "labels", "owner"),
    [case[1:] for case in POD_OWNERS],
    ids=[case[0] for case in POD_OWNERS],
)
def test_pod_owner(reference: Any, labels: dict[str, str], owner: ObjectRef | None) -> None:
    metadata = {"name": "x", "labels": labels, "ownerReferences": [reference]}
    assert only(data_of("Pod", metadata=metadata)).owner == owner


# ---------------------------------------------------------------------------- services


def test_service() -> None:
    spec = {
        "selector": {"app": "db"},
        "clusterIP": "10.96.0.50",
        "clusterIPs": ["10.96.0.50", "fd00::50"],
        "ports": [
            {"port": 80},
            {"name": "sql", "port": 15432, "targetPort": "pg"},
            {"port": 53, "targetPort": 5353, "protocol": "UDP"},
            {"port": 81, "targetPort": 0},
            {"port": 82, "targetPort": ""},
        ],
    }
    assert only(data_of("Service", spec=spec)) == Service(
        ObjectRef("Service", "default", "x"),
        (("app", "db"),),
        (ip_address("10.96.0.50"), ip_address("fd00::50")),
        (
            ServicePort("", 80, 80, TCP),
            ServicePort("sql", 15432, "pg", TCP),
            ServicePort("", 53, 5353, UDP),
            ServicePort("", 81, 81, TCP),
            ServicePort("", 82, 82, TCP),
        ),
        SOURCE,
    )


@pytest.mark.parametrize("cluster_ip", ["None", "", None])
def test_service_without_cluster_address(cluster_ip: str | None) -> None:
    assert only(data_of("Service", spec={"clusterIP": cluster_ip})).cluster_ips == ()
