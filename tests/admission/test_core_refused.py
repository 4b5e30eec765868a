"""Fields of objects other than policies that cannot be used, and what is read all the same."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.admission.decode_fields import parse_address
from podfence.model.objects import ContainerPort, EndpointSlice, Pod
from tests.admission.decoding import SOURCE, TCP, data_of, only, refused

# ----------------------------------------------------------------------- wrong fields

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("no-name", data_of("Pod", metadata=None), "metadata.name", "required: name or generateName"),
    ("metadata", data_of("Pod", metadata=[]), "metadata", "expected an object, got array"),
    (
        "name-number",
        data_of("Pod", metadata={"name": 5}),
        "metadata.name",
        "expected a string, got number 5",
    ),
    (
        "label",
        data_of("Pod", metadata={"name": "x", "labels": {"version": 1.10}}),
        "metadata.labels[version]",
        "expected a string, got number 1.1; unquoted, became number 1.1: quote it",
    ),
    (
        "label-key",
        data_of("Pod", metadata={"name": "x", "labels": {True: "x"}}),
        "metadata.labels",
        "expected string keys (quote them), got bool true",
    ),
    (
        "address",
        data_of("Pod", status={"podIP": "10.0.0.256"}),
        "status.podIP",
        'not an IP address: "10.0.0.256"',
    ),
    (
        "address-zone",
        data_of("Pod", status={"podIPs": [{"ip": "fe80::1%eth0"}]}),
        "status.podIPs[0].ip",
        'not an IP address: "fe80::1%eth0"',
    ),
    (
        "addresses-of-one-family",
        data_of("Pod", status={"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}),
        "status.podIPs[1].ip",
        "second IPv4 address: at most one a family",
    ),
    (
        "containers",
        data_of("Pod", spec={"containers": {}}),
        "spec.containers",
        "expected a list, got object",
    ),
    (
        "container",
        data_of("Pod", spec={"containers": ["web"]}),
        "spec.containers[0]",
        'expected an object, got string "web"',
    ),
    (
        "port-missing",
        data_of("Pod", spec={"containers": [{"ports": [{}]}]}),
        "spec.containers[0].ports[0].containerPort",
        "required: a port from 1 to 65535",
    ),
    (
        "port-boolean",
        data_of("Pod", spec={"containers": [{"ports": [{"containerPort": True}]}]}),
        "spec.containers[0].ports[0].containerPort",
        "expected a port from 1 to 65535, got bool true",
    ),
    (
        "protocol",
        data_of("Pod", spec={"containers": [{"ports": [{"containerPort": 1, "protocol": "tcp"}]}]}),
        "spec.containers[0].ports[0].protocol",
        'expected TCP, UDP or SCTP, got "tcp"',
    ),
    (
        "host-network",
        data_of("Pod", spec={"hostNetwork": "yes"}),
        "spec.hostNetwork",
        'expected true or false, got string "yes"',
    ),
    (
        "pod-cidr",
        data_of("Node", spec={"podCIDRs": ["10.0.0.0"]}),
        "spec.podCIDRs[0]",
        'not a CIDR: "10.0.0.0"',
    ),
    (
        "pod-cidr-number",
        data_of("Node", spec={"podCIDRs": [10]}),
        "spec.podCIDRs[0]",
        "expected a string, got number 10",
    ),
    (
        "target-port",
        data_of("Service", spec={"ports": [{"port": 1, "targetPort": False}]}),
        "spec.ports[0].targetPort",
        "expected a port from 1 to 65535, got bool false",
    ),
    (
        "replicas",
        data_of("Deployment", "apps/v1", spec={"template": {}, "replicas": -1}),
        "spec.replicas",
        "expected an integer of 0 or more, got number -1",
    ),
    (
        "template",
        data_of("StatefulSet", "apps/v1"),
        "spec.template",
        "required: the template of the pods",
    ),
    (
        "template-label",
        data_of(
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
    assert (path, f"{path}: {text}") in refused(data)


def test_all_unusable_fields_at_once() -> None:
    data = data_of("Pod", spec={"nodeName": 1, "hostNetwork": 1}, status={"podIP": "x"})
    assert [path for path, _ in refused(data)] == [
        "status.podIP",
        "spec.nodeName",
        "spec.hostNetwork",
    ]


def test_unknown_fields_of_other_objects_are_passed_over() -> None:
    assert only(data_of("Pod", spec={"future": 1}, more=[])) == Pod("default", "x", source=SOURCE)


def test_problem_names_object_and_source() -> None:
    data = data_of("Pod", metadata={"name": "web", "namespace": "shop"}, status={"podIP": "x"})
    (problem,) = decode(data, SOURCE).problems
    assert (problem.object, problem.source) == ("Pod shop/web", SOURCE)


def test_a_pod_says_when_it_was_made_and_whether_it_is_being_deleted() -> None:
    times: dict[str, Any] = {"name": "x", "creationTimestamp": "2026-11-29T08:00:00Z"}
    found = only({**data_of("Pod"), "metadata": {**times, "deletionTimestamp": None}})
    assert (found.created, found.deleting) == ("2026-11-29T08:00:00Z", False)
    gone = {**times, "deletionTimestamp": "2026-11-29T09:00:00Z"}
    assert only({**data_of("Pod"), "metadata": gone}).deleting


def test_a_workload_says_what_the_labels_of_its_pods_depend_on() -> None:
    template: dict[str, Any] = {"template": {"spec": {"containers": []}}}
    ordinals = {**template, "ordinals": {"start": 3}}
    assert only(data_of("StatefulSet", "apps/v1", spec=ordinals)).first == 3
    indexed = {**template, "completionMode": "Indexed", "manualSelector": True}
    job = only(data_of("Job", "batch/v1", spec=indexed))
    assert (job.indexed, job.manual_selector) == (True, True)
    cronjob = {"jobTemplate": {"spec": {**template, "completionMode": "Indexed"}}}
    assert only(data_of("CronJob", "batch/v1", spec=cronjob)).indexed


# ------------------------------------------------------------------------- repeated spellings


def test_containers_that_are_repeated_are_refused_each_time() -> None:
    broken = data_of("Pod", spec={"containers": [{"ports": [{"containerPort": "80"}]}]})
    first, second = refused(broken), refused(broken)
    assert first == second
    assert [path for path, _ in first] == ["spec.containers[0].ports[0].containerPort"]


@pytest.mark.parametrize("other", [81, None], ids=["another number", "no port"])
def test_containers_that_differ_are_told_apart(other: int | None) -> None:
    def pod(port: int | None) -> dict[str, Any]:
        ports = [] if port is None else [{"containerPort": port}]
        return data_of("Pod", spec={"containers": [{"ports": ports}]})

    assert only(pod(80)).ports == (ContainerPort("", 80, TCP),)
    assert only(pod(other)).ports == (() if other is None else (ContainerPort("", other, TCP),))


def test_values_that_json_does_not_have_are_read_too() -> None:
    container = {"ports": [{"containerPort": 80}], ("a", "key"): object()}
    assert only(data_of("Pod", spec={"containers": [container]})).ports[0].port == 80


SLICES = "discovery.k8s.io/v1"


def test_null_items_are_empty_ones() -> None:
    slice_ = data_of("EndpointSlice", SLICES, addressType="IPv4", endpoints=[None], ports=[None])
    assert decode(slice_, SOURCE).problems == ()
    containers = [{"ports": None}, None]
    assert decode(data_of("Pod", spec={"containers": containers}), SOURCE).problems == ()


def test_a_port_of_a_slice_that_can_be_none_is_nobodys() -> None:
    """The server takes every number there."""
    ports = [{"port": 80}, {"port": 0}, {"port": -1}, {"port": 65536}]
    value = only(data_of("EndpointSlice", SLICES, addressType="IPv4", ports=ports))
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
        known = None if "%" in text else ip_address(text.removeprefix("::ffff:"))
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
    assert [path for path, _ in refused(data_of("Pod", status=status))] == paths


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
    assert only(data_of("Pod", status=status)).addresses == (ip_address(address),)
