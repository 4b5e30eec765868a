"""Elements of ClusterNetworkPolicies that cannot be read or evaluated (CNP-24, CNP-25)."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.errors import Severity
from podfence.model.clusternetworkpolicy import (
    Peer,
    ProtocolMatch,
)
from podfence.testing.builders import (
    cluster_peer,
)
from tests.admission.clusterpolicies import (
    CLOSED,
    EVERYBODY,
    decoded,
    egress,
    ingress,
    peer_of,
    rule_of,
)

# ------------------------------------------------------------------------------- fails closed

UNKNOWN_PEERS: list[tuple[str, Any, str, str]] = [
    ("newer", {"future": {"a": 1}}, "future", "expected namespaces or pods"),
    ("newer-null", {"future": None}, "future", "expected namespaces or pods"),
    ("misspelt", {"namespace": {}}, "namespace", 'did you mean "namespaces"?'),
    ("case", {"Pods": {}}, "Pods", 'did you mean "pods"? Case matters'),
    (
        "CNP-16-networks",
        {"networks": ["10.0.0.0/8"]},
        "networks",
        "only egress rules have this peer (CNP-16)",
    ),
    ("v1", {"podSelector": {}}, "podSelector", '"podSelector" belongs in "pods"'),
]


@pytest.mark.parametrize(
    ("peer", "name", "hint"),
    [case[1:] for case in UNKNOWN_PEERS],
    ids=[case[0] for case in UNKNOWN_PEERS],
)
def test_cnp_25_unknown_peer(peer: Any, name: str, hint: str) -> None:
    policy, (problem,) = decoded(ingress(from_=[EVERYBODY, peer]))
    path = f"spec.ingress[0].from[1].{name}"
    assert (problem.code, problem.severity, problem.path) == ("PF201", Severity.ERROR, path)
    assert problem.refused_only
    assert problem.message == (
        f'strict decoding error: unknown field "{path}"; {hint}; '
        f"a server that has it stores it: {CLOSED}"
    )
    assert policy is not None
    assert policy.ingress[0].peers == (
        cluster_peer(namespaces={}),
        Peer(unknown=f'unknown field "{name}"'),
    )


UNKNOWN_ITEMS: list[tuple[str, Any, str, str]] = [
    ("protocol", {"icmp": {}}, "icmp", "icmp"),
    ("port", {"tcp": {"sourcePort": 1}}, "tcp.sourcePort", "sourcePort"),
    (
        "destination",
        {"udp": {"destinationPort": {"list": [1]}}},
        "udp.destinationPort.list",
        "list",
    ),
    ("v1alpha1", {"portNumber": {"port": 80}}, "portNumber", "portNumber"),
]


@pytest.mark.parametrize(
    ("item", "path", "name"),
    [case[1:] for case in UNKNOWN_ITEMS],
    ids=[case[0] for case in UNKNOWN_ITEMS],
)
def test_cnp_25_unknown_protocol(item: Any, path: str, name: str) -> None:
    spec = ingress(protocols=[item])
    (problem,) = decoded(spec)[1]
    assert (problem.code, problem.severity) == ("PF201", Severity.ERROR)
    assert problem.refused_only
    assert problem.path == f"spec.ingress[0].protocols[0].{path}"
    assert f'strict decoding error: unknown field "{problem.path}"' in problem.message
    assert rule_of(spec).protocols == (ProtocolMatch(unknown=f'unknown field "{name}"'),)


def test_cnp_23_empty_name_of_a_port_is_unknown() -> None:
    spec = ingress(protocols=[{"destinationNamedPort": ""}])
    (problem,) = decoded(spec)[1]
    path = "spec.ingress[0].protocols[0].destinationNamedPort"
    assert (problem.code, problem.path) == ("PF209", path)
    assert problem.message == f'{path}: stored all the same, but "" names no port: {CLOSED}'
    assert rule_of(spec).protocols == (ProtocolMatch(unknown="empty port name"),)


FAULTS: list[tuple[str, Any, str]] = [
    (
        "operator",
        {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]},
        'matchExpressions[0].operator: Invalid value: "Gt": not a valid selector operator',
    ),
    (
        "In-without-values",
        {"matchExpressions": [{"key": "a", "operator": "In"}]},
        (
            "matchExpressions[0].values: Required value: must be specified when `operator` is "
            "'In' or 'NotIn'"
        ),
    ),
    (
        "Exists-with-values",
        {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
        (
            "matchExpressions[0].values: Forbidden: may not be specified when `operator` is "
            "'Exists' or 'DoesNotExist'"
        ),
    ),
    (
        "label-too-long",
        {"matchLabels": {"a": "b" * 64}},
        f'matchLabels: Invalid value: "{"b" * 64}": must be no more than 63 bytes',
    ),
]
FIELDS: list[tuple[str, str]] = [
    ("namespaces", "namespaces"),
    ("nodes", "nodes"),
    ("podSelector", "pods.podSelector"),
    ("namespaceSelector", "pods.namespaceSelector"),
]


def _peer_with(field: str, found: Any) -> Any:
    if field in ("namespaces", "nodes"):
        return {field: found}
    return {"pods": {"podSelector": {}, field: found}}


@pytest.mark.parametrize(("field", "path"), FIELDS, ids=[case[0] for case in FIELDS])
@pytest.mark.parametrize(
    ("found", "fault"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS]
)
def test_cnp_24_selector_that_cannot_be_evaluated(
    field: str, path: str, found: Any, fault: str
) -> None:
    spec = egress(_peer_with(field, found))
    (problem,) = decoded(spec)[1]
    here = f"spec.egress[0].to[0].{path}"
    assert (problem.code, problem.severity, problem.path) == ("PF209", Severity.WARNING, here)
    assert problem.message == (
        f"{here}.{fault}: stored all the same, but cannot be evaluated: {CLOSED}"
    )
    assert peer_of(spec) == Peer(unknown=f"{path}.{fault}")


def test_cnp_24_subject_that_cannot_be_evaluated() -> None:
    broken = {"namespaces": {"matchExpressions": [{"key": "a", "operator": "in"}]}}
    policy, (problem,) = decoded({"subject": broken})
    assert problem.code == "PF209"
    assert problem.message.endswith("cannot be evaluated: the policy selects no pod")
    assert policy is not None
    assert policy.subject.unknown.startswith("namespaces.matchExpressions[0].operator: ")
    assert (policy.subject.namespaces, policy.subject.pods) == (None, None)
