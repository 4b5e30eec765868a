"""What is judged although a server would refuse it, and what is known of what cannot be judged."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.errors import Problem, Severity, Source
from podfence.intake.build import Intake, Reading, build_cluster
from podfence.intake.documents import Document, Unreadable
from podfence.intake.doubts import can_matter
from podfence.model.doubt import BOTH_TYPES, Doubt
from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.networkpolicy import PolicyType
from podfence.model.selectors import LabelSelector
from podfence.testing.builders import selector

INGRESS, EGRESS = frozenset({PolicyType.INGRESS}), frozenset({PolicyType.EGRESS})
TYPO: dict[str, Any] = {"form": []}
"""A rule with a field that no server knows: without it the rule would allow everybody."""


def taken(*objects: dict[str, Any], **options: Any) -> Intake:
    documents = tuple(Document(Source("in.yaml", n), data) for n, data in enumerate(objects))
    return build_cluster(Reading(documents), **options)


def thing(kind: str, version: str, metadata: Any = None, **fields: Any) -> dict[str, Any]:
    named = {"name": "it", **(metadata or {})}
    return {"apiVersion": version, "kind": kind, "metadata": named, **fields}


def policy(metadata: Any = None, **spec: Any) -> dict[str, Any]:
    return thing(
        "NetworkPolicy", "networking.k8s.io/v1", metadata, spec={"podSelector": {}, **spec}
    )


def egress_to(cidr: str, *except_: str) -> dict[str, Any]:
    block = {"cidr": cidr, **({"except": list(except_)} if except_ else {})}
    return policy(policyTypes=["Egress"], egress=[{"to": [{"ipBlock": block}]}])


def the_doubt(*objects: dict[str, Any]) -> Doubt:
    (doubt,) = taken(*objects).cluster.doubts
    return doubt


# --- refused, and yet clear ------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(policy({"name": "use_common_labels"}), id="name"),
        pytest.param(policy({"name": None}), id="no name"),
        pytest.param(policy({"labels": {"a": "not a value"}}), id="label"),
        pytest.param(policy({"labels": {"a": 1}}), id="label of another type"),
        pytest.param(policy({"labels": "x"}), id="labels of another type"),
        pytest.param(policy({"annotations": {"-": "x"}}), id="annotation"),
        pytest.param(policy({"annotations": {"a": True}}), id="annotation of another type"),
        pytest.param(policy({"finalizers": ["x"]}), id="finalizer"),
        pytest.param(policy({"colour": "red"}), id="unknown field of metadata"),
        pytest.param({**policy(), "status": {}}, id="status"),
        pytest.param({**policy(), "status": "x"}, id="status of another type"),
        pytest.param(egress_to("10.1.2.3/8"), id="host bits"),
        pytest.param(egress_to("2001:db8::1/32"), id="host bits of IPv6"),
        pytest.param(egress_to("10.0.0.0/8", "10.1.2.3/16"), id="host bits of except"),
        pytest.param(egress_to("010.0.0.0/8"), id="leading zeros"),
        pytest.param(egress_to("::ffff:10.0.0.0/104"), id="mapped"),
    ],
)
def test_a_policy_whose_meaning_is_clear_is_judged(data: dict[str, Any]) -> None:
    intake = taken(data)
    assert intake.cluster.doubts == ()
    assert len(intake.cluster.policies) == 1
    assert [p.severity for p in intake.problems if p.refused_only] == [Severity.ERROR]
    assert all(p.refused_only for p in intake.problems)


def test_host_bits_are_masked() -> None:
    (stored,) = taken(egress_to("192.168.242.213/24")).cluster.policies
    block = stored.egress[0].peers[0].ip_block
    assert block is not None
    assert str(block.cidr) == "192.168.242.0/24"


def test_an_older_server_only_warns_of_host_bits() -> None:
    (problem,) = taken(egress_to("10.1.2.3/8"), strict_cidrs=False).problems
    assert (problem.code, problem.severity) == ("PF206", Severity.WARNING)
    assert problem.message == (
        'spec.egress[0].to[0].ipBlock.cidr: CIDR value "10.1.2.3/8" is ambiguous in this context '
        '(should be "10.0.0.0/8" or "10.1.2.3/32"?)'
    )


@pytest.mark.parametrize(
    ("text", "right"), [("010.0.0.0/8", "10.0.0.0/8"), ("10.0.0.0/08", "10.0.0.0/8")]
)
def test_an_older_server_only_warns_of_leading_zeros(text: str, right: str) -> None:
    (problem,) = taken(egress_to(text), strict_cidrs=False).problems
    assert f'non-standard CIDR value "{text}" will be considered invalid' in problem.message
    assert problem.message.endswith(f'use "{right}"')


def test_two_policies_without_a_name_are_two() -> None:
    assert len(taken(policy({"name": ""}), policy({"name": ""})).cluster.policies) == 2


# --- not clear -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(policy(ingress=[TYPO]), id="unknown field of a rule"),
        pytest.param({**policy(), "sepc": {}}, id="unknown field beside spec"),
        pytest.param(policy(podSelector={"matchLabels": {"a": 1}}), id="selector"),
        pytest.param(policy(ingress=[{"ports": [{"port": 0}]}]), id="port"),
        pytest.param(policy(policyTypes=["egress"]), id="type"),
        pytest.param(egress_to("10.0.0.0"), id="no CIDR"),
        pytest.param(egress_to("10.0.0.0/8", "192.168.0.0/16"), id="except outside its block"),
        pytest.param(policy({"namespace": 5}), id="namespace of another type"),
        pytest.param(policy({"name": 5}), id="name of another type"),
        pytest.param({**policy(), "metadata": "x"}, id="metadata"),
        pytest.param({**policy(), "apiVersion": "networking.k8s.io/v2"}, id="version"),
    ],
)
def test_a_policy_whose_meaning_is_not_clear_is_a_doubt(data: dict[str, Any]) -> None:
    intake = taken(data)
    assert intake.cluster.policies == ()
    assert len(intake.cluster.doubts) == 1


def test_a_doubt_knows_the_field_and_the_object() -> None:
    doubt = the_doubt(policy({"name": "db", "namespace": "shop"}, ingress=[{}, TYPO]))
    assert str(doubt) == "NetworkPolicy shop/db"
    assert doubt.path == "spec.ingress[1].form"


def test_the_pods_of_a_doubtful_policy_are_those_of_its_selector() -> None:
    chosen = policy(podSelector={"matchLabels": {"app": "db"}}, ingress=[TYPO])
    assert the_doubt(chosen).selector == selector({"app": "db"})


@pytest.mark.parametrize("pods", [{"matchLabels": {"a": 1}}, "x", {"matchLabel": {"a": "b"}}])
def test_a_selector_that_cannot_be_read_means_every_pod(pods: Any) -> None:
    assert the_doubt(policy(podSelector=pods)).selector == LabelSelector()


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({"ingress": [TYPO]}, INGRESS),
        ({"ingress": [TYPO], "policyTypes": ["Egress"]}, EGRESS),
        ({"ingress": [TYPO], "egress": [{}]}, BOTH_TYPES),
        ({"ingress": [TYPO], "policyTypes": ["egress"]}, BOTH_TYPES),
        ({"ingress": [TYPO], "policyTypes": "Egress"}, BOTH_TYPES),
        ({"ingress": [], "egres": []}, BOTH_TYPES),
    ],
)
def test_directions_are_known_as_far_as_they_are_certain(spec: Any, types: object) -> None:
    assert the_doubt(policy(**spec)).types == types


def test_an_object_that_may_replace_another_is_about_every_pod() -> None:
    first = policy(podSelector={"matchLabels": {"app": "a"}})
    second = policy(podSelector={"matchLabels": {"app": "b"}}, ingress=[TYPO])
    assert the_doubt(first, second).selector == LabelSelector()


def test_the_labels_of_a_namespace_that_can_be_read_are_no_doubt() -> None:
    found = the_doubt(thing("Namespace", "v1", {"labels": {"env": 1, "team": "a", "a.b/c": True}}))
    assert (found.name, found.keys) == ("it", frozenset({"env", "a.b/c"}))


@pytest.mark.parametrize("unread", ["env", "a.b/c", METADATA_NAME_LABEL])
def test_a_namespace_keeps_the_labels_that_can_be_read(unread: str) -> None:
    metadata = {"name": "shop", "labels": {unread: 1, "team": "a", "empty": None}}
    namespace = taken(thing("Namespace", "v1", metadata)).cluster.namespaces["shop"]
    assert dict(namespace.labels) == {METADATA_NAME_LABEL: "shop", "team": "a", "empty": ""}


def test_of_a_namespace_without_a_name_no_label_is_known() -> None:
    doubt = the_doubt(thing("Namespace", "v1", {"name": True, "labels": {"env": "1"}}))
    assert (doubt.name, doubt.keys) == ("", None)


def test_the_addresses_of_a_pod_that_cannot_be_read_are_known() -> None:
    status = {"podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::7"}]}
    doubt = the_doubt(thing("Pod", "v1", {"labels": {"a": 1}}, spec={}, status=status))
    assert sorted({str(a) for a in doubt.addresses or ()}) == ["10.0.0.7", "fd00::7"]


@pytest.mark.parametrize(
    "status",
    [
        {"podIP": "10.0.0.300"},
        {"podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "fd00::77777"}]},
        {"podIP": 10},
        {"podIPs": "10.0.0.7"},
        {"podIPs": ["10.0.0.7"]},
        [{"podIP": "10.0.0.7"}],
    ],
)
def test_a_pod_whose_address_cannot_be_read_may_have_any(status: Any) -> None:
    assert the_doubt(thing("Pod", "v1", {}, spec={}, status=status)).addresses is None


def test_a_pod_without_an_address_has_none_whatever_else_cannot_be_read() -> None:
    status = {"phase": 5, "podIP": ""}
    assert the_doubt(thing("Pod", "v1", {}, spec={}, status=status)).addresses == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"spec": {"clusterIP": "10.96.0"}},
        {"spec": {"externalIPs": ["203.0.113.5", "203.0.113"]}},
        {"spec": {}, "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113"}]}}},
    ],
)
def test_a_service_whose_address_cannot_be_read_may_have_any(fields: dict[str, Any]) -> None:
    assert the_doubt({**thing("Service", "v1", {}), **fields}).addresses is None


def test_every_address_that_leads_to_a_service_that_cannot_be_read_is_known() -> None:
    spec = {"clusterIP": "10.96.0.1", "externalIPs": ["203.0.113.5"], "selector": 5}
    status = {"loadBalancer": {"ingress": [{"ip": "203.0.113.6"}, {"hostname": "lb.example"}]}}
    doubt = the_doubt(thing("Service", "v1", {}, spec=spec, status=status))
    assert {str(a) for a in doubt.addresses or ()} == {"10.96.0.1", "203.0.113.5", "203.0.113.6"}


@pytest.mark.parametrize(
    ("metadata", "namespace"),
    [
        ({"namespace": "shop"}, "shop"),
        ({"namespace": None}, "default"),
        ({"namespace": 5}, ""),
        ({"namespcae": "shop"}, ""),
        ({"Namespace": "shop"}, ""),
        ({"name-space": "shop", "namespace": "default"}, ""),
    ],
)
def test_a_namespace_that_may_be_misspelt_is_unknown(metadata: Any, namespace: str) -> None:
    assert the_doubt(policy(metadata, ingress=[TYPO])).namespace == namespace


def test_a_policy_whose_namespace_is_misspelt_is_not_judged_elsewhere() -> None:
    assert the_doubt(policy({"namespcae": "shop"})).path == "metadata.namespcae"


@pytest.mark.parametrize(
    "spoilt",
    [
        thing("Pod", "v1", {"namespace": "shop", "labels": 5}, spec={}),
        thing("Pod", "v1", {"namespace": "shop", "name": 5}, spec={}),
        thing("Pod", "v1", {"namespace": "shop"}, spec=5),
        {**policy({"namespace": "shop"}), "spec": 5},
        {**policy({"namespace": "shop"}), "spce": {}},
    ],
)
def test_other_faults_leave_the_namespace_known(spoilt: dict[str, Any]) -> None:
    assert the_doubt(spoilt).namespace == "shop"


def test_misspelt_metadata_leave_the_namespace_unknown() -> None:
    spoilt = policy({"namespace": "shop"})
    spoilt["metadatas"] = spoilt.pop("metadata")
    assert the_doubt(spoilt).namespace == ""


def test_a_pod_tells_its_workload_and_its_node() -> None:
    owners = [{"kind": "ReplicaSet", "name": "web-5d4f", "controller": True}]
    metadata = {
        "namespace": "shop",
        "labels": {"app": 1, "pod-template-hash": "5d4f"},
        "ownerReferences": owners,
    }
    status = {"podIP": "10.0.0.7", "hostIP": "192.0.2.1", "hostIPs": [{"ip": "2001:db8::1"}]}
    doubt = the_doubt(thing("Pod", "v1", metadata, spec={"nodeName": "n"}, status=status))
    assert doubt.owner == ObjectRef("Deployment", "shop", "web")
    assert {str(a) for a in doubt.node_addresses} == {"192.0.2.1", "2001:db8::1", "10.0.0.7"}


@pytest.mark.parametrize("kind", ["", "List", "Pod", "PodList", "Service", "Node"])
def test_the_addresses_in_broken_text_may_be_those_of_the_object(kind: str) -> None:
    texts = ("10.0.0.7", "999.0.0.1", "fd00::7", "12:30:00")
    unreadable = Unreadable(Source("in.yaml"), kind, "", texts)
    (doubt,) = build_cluster(Reading((), (unreadable,))).cluster.doubts
    assert [str(a) for a in doubt.addresses or ()] == ["10.0.0.7", "fd00::7"]


def test_a_file_that_cannot_be_read_may_hold_any_address() -> None:
    unreadable = Unreadable(Source("in.yaml"), "", "", None)
    (doubt,) = build_cluster(Reading((), (unreadable,))).cluster.doubts
    assert doubt.addresses is None


@pytest.mark.parametrize(
    ("kind", "doubts"),
    [("", [""]), ("List", [""]), ("NetworkPolicyList", ["NetworkPolicy"]), ("ConfigMap", [])],
)
def test_a_text_that_is_no_object_may_be_any_of_its_kind(kind: str, doubts: list[str]) -> None:
    unreadable = Unreadable(Source("in.yaml"), kind, "shop")
    found = build_cluster(Reading((), (unreadable,))).cluster.doubts
    assert [doubt.kind for doubt in found] == doubts


@pytest.mark.parametrize(
    ("kind", "path", "matters"),
    [
        ("Pod", "metadata.annotations[a]", False),
        ("Pod", "metadata.labels[a]", True),
        ("Pod", "metadata.labelsX", True),
        ("Pod", "spec.containers[0].env[1].value", False),
        ("Pod", "spec.containers[0].ports[0].name", True),
        ("Pod", "spec.initContainers[0].restartPolicy", True),
        ("Deployment", "spec.template.spec.containers[0].image", False),
        ("Pod", "status.podIP", True),
        ("NetworkPolicy", "status.conditions", False),
        ("NetworkPolicy", "metadata.labels[a]", False),
        ("Namespace", "status.phase", False),
        ("NetworkPolicy", "spec.ingress", True),
        ("NetworkPolicy", "", True),
    ],
)
def test_only_what_verdicts_depend_on_can_matter(kind: str, path: str, matters: bool) -> None:
    assert can_matter(kind, path) is matters


def test_a_fault_of_the_text_counts_where_a_verdict_depends_on_it() -> None:
    """A key that stands twice."""
    pod = thing("Pod", "v1", spec={"containers": []})
    source = Source("in.yaml", 0)
    for path, doubts in (("metadata.labels.app", 1), ("metadata.annotations.note", 0)):
        twice = Problem("PF102", Severity.ERROR, "twice", source, path)
        reading = Reading((Document(source, pod),), problems=(twice,))
        assert len(build_cluster(reading).cluster.doubts) == doubts
