"""Fields that only the experimental channel has are named, once a field."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.admission.channel import experimental_fields
from podfence.errors import Severity
from tests.admission.clusterpolicies import EVERYBODY, decoded, egress, ingress
from tests.admission.policies import SOURCE

NODES: dict[str, Any] = {"nodes": {}}
NAMES = {"domainNames": ["a.example"]}
NETWORKS = {"networks": ["10.0.0.0/8"]}
NEWER, OLDER = "ClusterNetworkPolicy", "AdminNetworkPolicy"
WEB = {"destinationNamedPort": "web"}


def paths(spec: Any, kind: str = NEWER) -> list[str]:
    policy, _ = decoded(spec, kind)
    assert policy is not None
    return [problem.path for problem in experimental_fields(policy)]


@pytest.mark.parametrize(
    ("spec", "kind", "expected"),
    [
        pytest.param(egress(EVERYBODY, NETWORKS), NEWER, [], id="standard"),
        pytest.param(egress(NETWORKS, NODES), NEWER, ["spec.egress[0].to[1].nodes"], id="nodes"),
        pytest.param(egress(NAMES), NEWER, ["spec.egress[0].to[0].domainNames"], id="names"),
        pytest.param(
            ingress(protocols=[{"tcp": {"destinationPort": {"number": 1}}}, WEB]),
            NEWER,
            ["spec.ingress[0].protocols[1].destinationNamedPort"],
            id="named-port",
        ),
        pytest.param(
            egress(NODES, NAMES, NODES, NAMES),
            NEWER,
            ["spec.egress[0].to[0].nodes", "spec.egress[0].to[1].domainNames"],
            id="each-field-once",
        ),
        pytest.param(
            {
                "ingress": [
                    {"action": "Allow", "from": [EVERYBODY], "ports": [{"namedPort": "web"}]}
                ]
            },
            OLDER,
            ["spec.ingress[0].ports[0].namedPort"],
            id="older-named-port",
        ),
        pytest.param(
            egress(NODES, action="Deny"),
            "BaselineAdminNetworkPolicy",
            ["spec.egress[0].to[0].nodes"],
            id="older-nodes",
        ),
    ],
)
def test_fields_of_the_experimental_channel(spec: Any, kind: str, expected: list[str]) -> None:
    assert paths(spec, kind) == expected


def test_the_text_is_that_of_a_server_with_the_standard_channel() -> None:
    policy, _ = decoded(egress(NODES))
    assert policy is not None
    (problem,) = experimental_fields(policy)
    assert (problem.code, problem.severity, problem.source) == ("PF212", Severity.WARNING, SOURCE)
    assert problem.object == "ClusterNetworkPolicy default"
    assert problem.message.endswith(
        'strict decoding error: unknown field "spec.egress[0].to[0].nodes"'
    )
