"""Defaulting of NetworkPolicy: what absent, null and empty become."""

from __future__ import annotations

from enum import Enum
from ipaddress import ip_network
from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.errors import Severity, Source
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
    Protocol,
)
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from tests.admission.policies import SOURCE, manifest, policy_of, problems_of

INGRESS, EGRESS = PolicyType.INGRESS, PolicyType.EGRESS


class Absent(Enum):
    """Says in a table that a key is not there at all."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT
RULE: dict[str, Any] = {"ports": [{"port": 80}]}


def _spec(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ABSENT}


@pytest.mark.parametrize("none", [ABSENT, None, []], ids=["absent", "null", "empty"])
@pytest.mark.parametrize(
    ("declared", "ingress", "egress", "effective"),
    [
        (..., ..., ..., {INGRESS}),
        (..., [], ..., {INGRESS}),
        (..., ..., [], {INGRESS}),
        (..., [], [], {INGRESS}),
        (..., [RULE], ..., {INGRESS}),
        (..., [RULE], [], {INGRESS}),
        (..., ..., [RULE], {INGRESS, EGRESS}),
        (..., ..., [{}], {INGRESS, EGRESS}),
        (..., [RULE], [RULE], {INGRESS, EGRESS}),
        (["Egress"], ..., ..., {EGRESS}),
        (["Egress"], ..., [], {EGRESS}),
        (["Egress"], [RULE], ..., {EGRESS}),
        (["Ingress"], ..., [RULE], {INGRESS}),
        (["Ingress", "Egress"], ..., ..., {INGRESS, EGRESS}),
    ],
    ids=lambda value: None if isinstance(value, set) else "none" if value is ... else str(value),
)
def test_np_8_policy_types(
    none: Any, declared: Any, ingress: Any, egress: Any, effective: set[PolicyType]
) -> None:
    given = {"policyTypes": declared, "ingress": ingress, "egress": egress}
    spec = _spec(**{name: none if value is ... else value for name, value in given.items()})
    policy = policy_of(spec)
    assert policy.policy_types == effective
    assert policy.declared_types is (declared is not ...)
    assert len(policy.ingress) == (ingress == [RULE])
    assert len(policy.egress) == (egress in ([RULE], [{}]))


@pytest.mark.parametrize("spec", [ABSENT, None, {}], ids=["absent", "null", "empty"])
def test_np_3_empty_spec_selects_every_pod_and_denies_ingress(spec: Any) -> None:
    data = manifest()
    if spec is not ABSENT:
        data["spec"] = spec
    (policy,) = decode(data, SOURCE).objects
    assert policy == NetworkPolicy(
        ObjectRef("NetworkPolicy", "default", "p"), declared_types=False, source=SOURCE
    )


@pytest.mark.parametrize(
    "selector",
    [
        ABSENT,
        None,
        {},
        {"matchLabels": None},
        {"matchLabels": {}},
        {"matchExpressions": None},
        {"matchExpressions": []},
    ],
    ids=str,
)
def test_np_3_subject_selector_of_everything(selector: Any) -> None:
    assert policy_of(_spec(podSelector=selector)).pod_selector == LabelSelector()


@pytest.mark.parametrize("field", ["ingress", "egress"])
@pytest.mark.parametrize("none", [ABSENT, None, []], ids=["absent", "null", "empty"])
def test_np_9_no_rules(field: str, none: Any) -> None:
    assert getattr(policy_of(_spec(**{field: none})), field) == ()


@pytest.mark.parametrize("none", [ABSENT, None, []], ids=["absent", "null", "empty"])
def test_np_12_np_13_rule_without_restriction(none: Any) -> None:
    spec = {
        "ingress": [_spec(ports=none, **{"from": none})],
        "egress": [_spec(ports=none, to=none)],
    }
    policy = policy_of(spec)
    assert policy.ingress == policy.egress == (NetworkPolicyRule(),)


def test_peer_selectors_null_is_absent_and_empty_is_everything() -> None:
    peers: list[dict[str, Any]] = [
        {"podSelector": {}, "namespaceSelector": None, "ipBlock": None},
        {"podSelector": None, "namespaceSelector": {}},
    ]
    (rule,) = policy_of({"ingress": [{"from": peers}]}).ingress
    assert rule.peers == (
        NetworkPolicyPeer(pod_selector=LabelSelector()),
        NetworkPolicyPeer(namespace_selector=LabelSelector()),
    )


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ({}, NetworkPolicyPort()),
        ({"protocol": None, "port": None, "endPort": None}, NetworkPolicyPort()),
        ({"protocol": "UDP"}, NetworkPolicyPort(Protocol.UDP)),
        ({"port": 80}, NetworkPolicyPort(Protocol.TCP, 80)),
        ({"port": "http"}, NetworkPolicyPort(Protocol.TCP, "http")),
        (
            {"protocol": "SCTP", "port": 80, "endPort": 90},
            NetworkPolicyPort(Protocol.SCTP, 80, 90),
        ),
    ],
    ids=str,
)
def test_np_30_ports(port: dict[str, Any], expected: NetworkPolicyPort) -> None:
    (rule,) = policy_of({"egress": [{"ports": [port]}]}).egress
    assert rule.ports == (expected,)


def test_every_field_arrives() -> None:
    spec = {
        "podSelector": {
            "matchLabels": {"b": "2", "a": "1"},
            "matchExpressions": [
                {"key": "k", "operator": "In", "values": ["y", "x"]},
                {"key": "l", "operator": "DoesNotExist"},
            ],
        },
        "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
    }
    source = Source("a.yaml", 2, 3, 40)
    data = manifest(spec, namespace="shop", labels={"z": "1", "y": ""})
    (policy,) = decode(data, source).objects
    assert policy == NetworkPolicy(
        ObjectRef("NetworkPolicy", "shop", "p"),
        LabelSelector(
            (("a", "1"), ("b", "2")),
            (
                LabelSelectorRequirement("k", Operator.IN, ("y", "x")),
                LabelSelectorRequirement("l", Operator.DOES_NOT_EXIST),
            ),
        ),
        frozenset({INGRESS}),
        ingress=(
            NetworkPolicyRule(
                (
                    NetworkPolicyPeer(
                        ip_block=IPBlock(ip_network("10.0.0.0/8"), (ip_network("10.1.0.0/16"),))
                    ),
                )
            ),
        ),
        labels=(("y", ""), ("z", "1")),
        declared_types=False,
        source=source,
    )


@pytest.mark.parametrize("none", [ABSENT, None, ""], ids=["absent", "null", "empty"])
def test_namespace_default(none: Any) -> None:
    assert policy_of({}, **_spec(namespace=none)).ref.namespace == "default"


def test_generated_name_is_stable_and_differs_by_position() -> None:
    data = manifest({}, name=None, generateName="deny-")
    names = [
        policy.ref.name
        for source in (Source("a.yaml"), Source("a.yaml"), Source("a.yaml", 1), Source("b.yaml"))
        for policy in decode(data, source).objects
        if isinstance(policy, NetworkPolicy)
    ]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert all(name.startswith("deny-") and len(name) == 10 for name in names)


# --------------------------------------------------------------------------- NP-15a

NULLS: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "ingress",
        {"ingress": [None]},
        "spec.ingress[0]",
        "null rule is read as {}: it allows every source and every port",
    ),
    (
        "egress",
        {"egress": [None]},
        "spec.egress[0]",
        "null rule is read as {}: it allows every destination and every port",
    ),
    (
        "ports",
        {"ingress": [{"ports": [{"port": 1}, None]}]},
        "spec.ingress[0].ports[1]",
        "null port is read as {}: every TCP port",
    ),
    (
        "values",
        {
            "podSelector": {
                "matchExpressions": [{"key": "a", "operator": "In", "values": ["b", None]}]
            }
        },
        "spec.podSelector.matchExpressions[0].values[1]",
        'null item is read as ""',
    ),
    (
        "label",
        {"podSelector": {"matchLabels": {"app": None}}},
        "spec.podSelector.matchLabels[app]",
        'null value is read as ""',
    ),
]


@pytest.mark.parametrize(
    ("spec", "path", "text"), [case[1:] for case in NULLS], ids=[f"NP-15a-{c[0]}" for c in NULLS]
)
def test_np_15a_null_item_is_a_loud_zero_value(spec: dict[str, Any], path: str, text: str) -> None:
    (problem,) = problems_of(spec)
    assert (problem.code, problem.severity) == ("PF204", Severity.WARNING)
    assert problem.path == path
    assert problem.message.startswith(f"{text}; ")


def test_np_15a_values() -> None:
    assert policy_of({"ingress": [None]}).ingress == (NetworkPolicyRule(),)
    ports = policy_of({"egress": [{"ports": [None]}]}).egress[0].ports
    assert ports == (NetworkPolicyPort(),)
    labels = policy_of({"podSelector": {"matchLabels": {"app": None}}}).pod_selector.match_labels
    assert labels == (("app", ""),)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"ingress": [{"from": [None]}]}, "spec.ingress[0].from[0]: Required value"),
        ({"policyTypes": [None]}, 'spec.policyTypes[0]: Unsupported value: ""'),
        (
            {"egress": [{"to": [{"ipBlock": {"cidr": "::/0", "except": [None]}}]}]},
            'spec.egress[0].to[0].ipBlock.except[0]: Invalid value: ""',
        ),
        (
            {"podSelector": {"matchExpressions": [None]}},
            'spec.podSelector.matchExpressions[0].operator: Invalid value: ""',
        ),
    ],
    ids=["from", "policyTypes", "except", "matchExpressions"],
)
def test_np_15a_null_item_that_is_invalid(spec: dict[str, Any], expected: str) -> None:
    warning, error, *_ = problems_of(spec)
    assert warning.code == "PF204"
    assert error.code == "PF203"
    assert error.message.startswith(expected)
