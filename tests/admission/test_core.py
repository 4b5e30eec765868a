"""Decoding of namespaces, nodes, pods, services, and the choice of kinds."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from podfence.admission.decode import PROBLEM_CODES, Decoded, decode, is_wanted
from podfence.admission.decode_fields import parse_address
from podfence.admission.kinds import WANTED_KINDS
from podfence.errors import Severity, Source
from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import (
    ContainerPort,
    EndpointSlice,
    Namespace,
    Node,
    Pod,
    Service,
    ServicePort,
)
from tests.admission import clusterpolicies

SOURCE = Source("cluster.yaml")
TCP, UDP = Protocol.TCP, Protocol.UDP


def _data(kind: str, api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **fields}


def _only(data: dict[str, Any]) -> Any:
    decoded = decode(data, SOURCE)
    assert decoded.problems == ()
    (value,) = decoded.objects
    return value


def _refused(data: dict[str, Any]) -> list[tuple[str, str]]:
    decoded = decode(data, SOURCE)
    assert decoded.objects == ()
    assert {problem.code for problem in decoded.problems} == {"PF207"}
    return [(problem.path, problem.message) for problem in decoded.problems]


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
def test_not_ours(kind: str, api_version: str) -> None:
    data = _data(kind, api_version)
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
    decoded = decode({**_data(kind), "apiVersion": api_version}, SOURCE)
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
        {**_data("ClusterNetworkPolicy"), "apiVersion": api_version}, SOURCE
    ).problems
    assert problem.message.startswith("apiVersion is missing or no string")


def test_codes_are_explained() -> None:
    numbers = (*range(201, 211), 212)
    assert sorted(PROBLEM_CODES) == [f"PF{number}" for number in numbers]


# ------------------------------------------------------------------- namespaces, nodes


def test_np_21_namespace_label_wins_over_the_manifest() -> None:
    labels = {"team": "a", METADATA_NAME_LABEL: "forged"}
    namespace = _only(_data("Namespace", metadata={"name": "shop", "labels": labels}))
    assert namespace == Namespace(
        "shop", ((METADATA_NAME_LABEL, "shop"), ("team", "a")), source=SOURCE
    )


def test_np_21_namespace_without_labels() -> None:
    assert _only(_data("Namespace")).labels == ((METADATA_NAME_LABEL, "x"),)


def test_node() -> None:
    addresses = [
        {"type": "InternalIP", "address": "172.16.0.1"},
        {"type": "Hostname", "address": "n1"},
        {"type": "ExternalIP", "address": "2001:db8::1"},
        {"type": "ExternalIP", "address": "172.16.0.1"},
    ]
    data = _data(
        "Node",
        metadata={"name": "n1", "labels": {"zone": "a"}},
        spec={"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24", "fd00::/64"]},
        status={"addresses": addresses},
    )
    assert _only(data) == Node(
        "n1",
        (("zone", "a"),),
        (ip_address("172.16.0.1"), ip_address("2001:db8::1")),
        (ip_network("10.0.0.0/24"), ip_network("fd00::/64")),
        SOURCE,
    )


def test_node_with_the_single_field_only() -> None:
    node = _only(_data("Node", spec={"podCIDR": "10.0.0.0/24"}))
    assert node.pod_cidrs == (ip_network("10.0.0.0/24"),)


# -------------------------------------------------------------------------------- pods


def test_pod_as_the_server_shows_it() -> None:
    data = _data(
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
    assert _only(data) == Pod(
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
    assert _only(_data("Pod")) == Pod("default", "x", source=SOURCE)


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
    pod = _only(_data("Pod", status=status))
    assert pod.addresses == tuple(map(ip_address, addresses))
    assert pod.has_status is has_status


@pytest.mark.parametrize(
    ("phase", "finished"),
    [("Succeeded", True), ("Failed", True), ("Running", False), ("Pending", False), (None, False)],
)
def test_np_60_finished(phase: str | None, finished: bool) -> None:
    assert _only(_data("Pod", status={"phase": phase})).finished is finished


def test_np_59_terminating_pod_is_still_there() -> None:
    metadata = {"name": "x", "deletionTimestamp": "2024-01-01T00:00:00Z"}
    assert not _only(_data("Pod", metadata=metadata)).finished


def test_np_34_ports_of_sidecars_but_not_of_plain_init_containers() -> None:
    spec = {
        "containers": [{"ports": [{"containerPort": 1}]}],
        "initContainers": [
            {"ports": [{"containerPort": 2}]},
            {"restartPolicy": "Always", "ports": [{"containerPort": 3, "protocol": None}]},
        ],
    }
    ports = _only(_data("Pod", spec=spec)).ports
    assert ports == (ContainerPort("", 1, TCP), ContainerPort("", 3, TCP))


def test_np_50_host_network() -> None:
    assert _only(_data("Pod", spec={"hostNetwork": True})).host_network


def test_pod_with_generated_name() -> None:
    name = _only(_data("Pod", metadata={"generateName": "run-"})).name
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
    assert _only(_data("Pod", metadata=metadata)).owner == owner


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
    assert _only(_data("Service", spec=spec)) == Service(
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
    assert _only(_data("Service", spec={"clusterIP": cluster_ip})).cluster_ips == ()


# ----------------------------------------------------------------------- wrong fields

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("no-name", _data("Pod", metadata=None), "metadata.name", "required: name or generateName"),
    ("metadata", _data("Pod", metadata=[]), "metadata", "expected an object, got array"),
    (
        "name-number",
        _data("Pod", metadata={"name": 5}),
        "metadata.name",
        "expected a string, got number 5",
    ),
    (
        "label",
        _data("Pod", metadata={"name": "x", "labels": {"version": 1.10}}),
        "metadata.labels[version]",
        "expected a string, got number 1.1; unquoted, became number 1.1: quote it",
    ),
    (
        "label-key",
        _data("Pod", metadata={"name": "x", "labels": {True: "x"}}),
        "metadata.labels",
        "expected string keys (quote them), got bool true",
    ),
    (
        "address",
        _data("Pod", status={"podIP": "10.0.0.256"}),
        "status.podIP",
        'not an IP address: "10.0.0.256"',
    ),
    (
        "address-zone",
        _data("Pod", status={"podIPs": [{"ip": "fe80::1%eth0"}]}),
        "status.podIPs[0].ip",
        'not an IP address: "fe80::1%eth0"',
    ),
    (
        "addresses-of-one-family",
        _data("Pod", status={"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}),
        "status.podIPs[1].ip",
        "second IPv4 address: at most one a family",
    ),
    (
        "containers",
        _data("Pod", spec={"containers": {}}),
        "spec.containers",
        "expected a list, got object",
    ),
    (
        "container",
        _data("Pod", spec={"containers": ["web"]}),
        "spec.containers[0]",
        'expected an object, got string "web"',
    ),
    (
        "port-missing",
        _data("Pod", spec={"containers": [{"ports": [{}]}]}),
        "spec.containers[0].ports[0].containerPort",
        "required: a port from 1 to 65535",
    ),
    (
        "port-boolean",
        _data("Pod", spec={"containers": [{"ports": [{"containerPort": True}]}]}),
        "spec.containers[0].ports[0].containerPort",
        "expected a port from 1 to 65535, got bool true",
    ),
    (
        "protocol",
        _data("Pod", spec={"containers": [{"ports": [{"containerPort": 1, "protocol": "tcp"}]}]}),
        "spec.containers[0].ports[0].protocol",
        'expected TCP, UDP or SCTP, got "tcp"',
    ),
    (
        "host-network",
        _data("Pod", spec={"hostNetwork": "yes"}),
        "spec.hostNetwork",
        'expected true or false, got string "yes"',
    ),
    (
        "pod-cidr",
        _data("Node", spec={"podCIDRs": ["10.0.0.0"]}),
        "spec.podCIDRs[0]",
        'not a CIDR: "10.0.0.0"',
    ),
    (
        "pod-cidr-number",
        _data("Node", spec={"podCIDRs": [10]}),
        "spec.podCIDRs[0]",
        "expected a string, got number 10",
    ),
    (
        "target-port",
        _data("Service", spec={"ports": [{"port": 1, "targetPort": False}]}),
        "spec.ports[0].targetPort",
        "expected a port from 1 to 65535, got bool false",
    ),
    (
        "replicas",
        _data("Deployment", "apps/v1", spec={"template": {}, "replicas": -1}),
        "spec.replicas",
        "expected an integer of 0 or more, got number -1",
    ),
    (
        "template",
        _data("StatefulSet", "apps/v1"),
        "spec.template",
        "required: the template of the pods",
    ),
    (
        "template-label",
        _data(
            "CronJob",
            "batch/v1",
            spec={"jobTemplate": {"spec": {"template": {"metadata": {"labels": {"a": 1}}}}}},
        ),
        "spec.jobTemplate.spec.template.metadata.labels[a]",
        "expected a string, got number 1; unquoted, became number 1: quote it",
    ),
]


@pytest.mark.parametrize(
    ("data", "path", "text"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_unusable_field(data: dict[str, Any], path: str, text: str) -> None:
    assert (path, f"{path}: {text}") in _refused(data)


def test_all_unusable_fields_at_once() -> None:
    data = _data("Pod", spec={"nodeName": 1, "hostNetwork": 1}, status={"podIP": "x"})
    assert [path for path, _ in _refused(data)] == [
        "status.podIP",
        "spec.nodeName",
        "spec.hostNetwork",
    ]


def test_unknown_fields_of_other_objects_are_passed_over() -> None:
    assert _only(_data("Pod", spec={"future": 1}, more=[])) == Pod("default", "x", source=SOURCE)


def test_problem_names_object_and_source() -> None:
    data = _data("Pod", metadata={"name": "web", "namespace": "shop"}, status={"podIP": "x"})
    (problem,) = decode(data, SOURCE).problems
    assert (problem.object, problem.source) == ("Pod shop/web", SOURCE)


def test_a_pod_says_when_it_was_made_and_whether_it_is_being_deleted() -> None:
    times: dict[str, Any] = {"name": "x", "creationTimestamp": "2026-11-29T08:00:00Z"}
    found = _only({**_data("Pod"), "metadata": {**times, "deletionTimestamp": None}})
    assert (found.created, found.deleting) == ("2026-11-29T08:00:00Z", False)
    gone = {**times, "deletionTimestamp": "2026-11-29T09:00:00Z"}
    assert _only({**_data("Pod"), "metadata": gone}).deleting


def test_a_workload_says_what_the_labels_of_its_pods_depend_on() -> None:
    template: dict[str, Any] = {"template": {"spec": {"containers": []}}}
    ordinals = {**template, "ordinals": {"start": 3}}
    assert _only(_data("StatefulSet", "apps/v1", spec=ordinals)).first == 3
    indexed = {**template, "completionMode": "Indexed", "manualSelector": True}
    job = _only(_data("Job", "batch/v1", spec=indexed))
    assert (job.indexed, job.manual_selector) == (True, True)
    cronjob = {"jobTemplate": {"spec": {**template, "completionMode": "Indexed"}}}
    assert _only(_data("CronJob", "batch/v1", spec=cronjob)).indexed


# ------------------------------------------------------------------------- repeated spellings


def test_containers_that_are_repeated_are_refused_each_time() -> None:
    broken = _data("Pod", spec={"containers": [{"ports": [{"containerPort": "80"}]}]})
    first, second = _refused(broken), _refused(broken)
    assert first == second
    assert [path for path, _ in first] == ["spec.containers[0].ports[0].containerPort"]


@pytest.mark.parametrize("other", [81, None], ids=["another number", "no port"])
def test_containers_that_differ_are_told_apart(other: int | None) -> None:
    def pod(port: int | None) -> dict[str, Any]:
        ports = [] if port is None else [{"containerPort": port}]
        return _data("Pod", spec={"containers": [{"ports": ports}]})

    assert _only(pod(80)).ports == (ContainerPort("", 80, TCP),)
    assert _only(pod(other)).ports == (() if other is None else (ContainerPort("", other, TCP),))


def test_values_that_json_does_not_have_are_read_too() -> None:
    container = {"ports": [{"containerPort": 80}], ("a", "key"): object()}
    assert _only(_data("Pod", spec={"containers": [container]})).ports[0].port == 80


SLICES = "discovery.k8s.io/v1"


def test_null_items_are_empty_ones() -> None:
    slice_ = _data("EndpointSlice", SLICES, addressType="IPv4", endpoints=[None], ports=[None])
    assert decode(slice_, SOURCE).problems == ()
    containers = [{"ports": None}, None]
    assert decode(_data("Pod", spec={"containers": containers}), SOURCE).problems == ()


def test_a_port_of_a_slice_that_can_be_none_is_nobodys() -> None:
    """The server takes every number there."""
    ports = [{"port": 80}, {"port": 0}, {"port": -1}, {"port": 65536}]
    value = _only(_data("EndpointSlice", SLICES, addressType="IPv4", ports=ports))
    assert isinstance(value, EndpointSlice)
    assert [number for subset in value.subsets for _, _, number in subset.ports] == [80]


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "255.255.255.255", "10.0.0.1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4"),
        *("1.2.3.-4", "+1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "1.2.3.4%eth0", "\u0661.2.3.4", "..."),
        *("::1", "::ffff:1.2.3.4", "::1.2.3", "", "1e1.2.3.4", "1_0.2.3.4", "0x1.2.3.4"),
    ],
)
def test_an_address_is_what_the_library_reads_in_it(text: str) -> None:
    try:
        known = None if "%" in text else ip_address(text)
    except ValueError:
        known = None
    assert parse_address(text) == known


@pytest.mark.parametrize(
    ("status", "paths"),
    [
        ({"podIP": "10.0.0.01"}, ["status.podIP"]),
        ({"podIP": 7}, ["status.podIP"]),
        ({"podIP": ["10.0.0.1"]}, ["status.podIP"]),
        ({"podIPs": [{"ip": "10.0.0.1%eth0"}]}, ["status.podIPs[0].ip"]),
        ({"podIPs": [{"ip": True}]}, ["status.podIPs[0].ip"]),
        ({"podIPs": ["10.0.0.1"]}, ["status.podIPs[0]"]),
        ({"podIPs": "10.0.0.1"}, ["status.podIPs"]),
        ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}, ["status.podIPs[1].ip"]),
        ({"hostIP": "nowhere"}, ["status.hostIP"]),
    ],
)
def test_an_address_that_is_none_is_refused_where_it_stands(
    status: dict[str, Any], paths: list[str]
) -> None:
    assert [path for path, _ in _refused(_data("Pod", status=status))] == paths


@pytest.mark.parametrize(
    ("status", "address"),
    [
        ({"podIPs": [{"ip": "10.0.0.1"}], "podIP": "10.0.0.2"}, "10.0.0.1"),
        ({"podIPs": [{"ip": ""}], "podIP": "10.0.0.2"}, "10.0.0.2"),
        ({"podIPs": [None], "podIP": "10.0.0.2"}, "10.0.0.2"),
        ({"podIPs": [], "podIP": "10.0.0.2"}, "10.0.0.2"),
        ({"podIPs": None, "podIP": "fd00::2"}, "fd00::2"),
    ],
)
def test_the_list_of_addresses_goes_before_the_single_one(
    status: dict[str, Any], address: str
) -> None:
    assert _only(_data("Pod", status=status)).addresses == (ip_address(address),)
