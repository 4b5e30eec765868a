"""The objects that the API's own tests of its CRD create: which of them a server takes."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.errors import Severity
from tests.admission.policies import SOURCE

VERSIONS = ("policy.networking.k8s.io/v1alpha2", "policy.networking.k8s.io/v1beta1")
SUBJECT = {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "sensitive-ns"}}}
OTHER = {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "other-ns"}}}
ALL_PODS: dict[str, Any] = {
    "pods": {"namespaceSelector": {"matchLabels": {}}, "podSelector": {"matchLabels": {}}},
}


def _denying(**rule: Any) -> dict[str, Any]:
    written = {"action": "Deny", "name": "select-all-deny-all", "from": [ALL_PODS], **rule}
    return {"priority": 0, "ingress": [written]}


def _accepting(peer: Any, **rule: Any) -> dict[str, Any]:
    return {"priority": 10, "egress": [{"action": "Accept", "to": [peer], **rule}]}


def _range(start: int, end: int) -> list[Any]:
    return [{"tcp": {"destinationPort": {"range": {"start": start, "end": end}}}}]


VALID = {
    "cidr-valid": _accepting({"networks": ["10.0.0.0/24", "2001:db8::/32"]}),
    "cluster-wide-deny": _denying(),
    "deny-with-named-ports": _denying(
        protocols=[{"destinationNamedPort": "http"}, {"destinationNamedPort": "monitoring"}]
    ),
    "deny-with-ports": _denying(
        protocols=[
            {"tcp": {"destinationPort": {"number": 8080}}},
            *_range(8080, 9090),
            {"udp": {"destinationPort": {"number": 8080}}},
            {"udp": {"destinationPort": {"number": 9090}}},
        ]
    ),
    "port-range-valid": _accepting(OTHER, protocols=_range(80, 90)),
}
_NETWORK = "spec.egress[0].to[0].networks[0]"
_RANGE = "spec.egress[0].protocols[0].tcp.destinationPort.range: Invalid value: "
INVALID = {
    "cidr-invalid": (
        _accepting({"networks": ["10.0.0.300/24"]}),
        f'{_NETWORK}: Invalid value: "10.0.0.300/24": Invalid CIDR format provided',
    ),
    "cidr-not-canonical": (
        _accepting({"networks": ["10.1.2.3/8"]}),
        f'{_NETWORK}: Invalid value: "10.1.2.3/8": Invalid CIDR format provided',
    ),
    "egress-peer-namedport-conflict": (
        _accepting({"networks": ["10.0.0.0/24"]}, protocols=[{"destinationNamedPort": "http"}]),
        (
            "spec.egress[0]: Invalid value: networks/nodes/domainNames peer cannot be "
            "set with namedPorts since there are no namedPorts for networks/nodes/domainNames"
        ),
    ),
    "invalid-ingress-action": (
        _denying(action="Invalid"),
        (
            'spec.ingress[0].action: Unsupported value: "Invalid": '
            'supported values: "Accept", "Deny", "Pass"'
        ),
    ),
    "port-range-invalid-equal": (
        _accepting(OTHER, protocols=_range(80, 80)),
        f"{_RANGE}Start port must be less than End port",
    ),
    "port-range-invalid-greater": (
        _accepting(OTHER, protocols=_range(90, 80)),
        f"{_RANGE}Start port must be less than End port",
    ),
}


def _errors(name: str, spec: dict[str, Any], api_version: str) -> list[str]:
    manifest = {
        "apiVersion": api_version,
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": name},
        "spec": {"tier": "Admin", "subject": SUBJECT, **spec},
    }
    problems = decode(manifest, SOURCE).problems
    return [problem.message for problem in problems if problem.severity is Severity.ERROR]


@pytest.mark.parametrize("api_version", VERSIONS)
@pytest.mark.parametrize("name", VALID)
def test_valid(name: str, api_version: str) -> None:
    assert _errors(name, VALID[name], api_version) == []


@pytest.mark.parametrize("api_version", VERSIONS)
@pytest.mark.parametrize("name", INVALID)
def test_invalid(name: str, api_version: str) -> None:
    spec, text = INVALID[name]
    (message,) = _errors(name, spec, api_version)
    assert message.partition("; ")[0] == text
