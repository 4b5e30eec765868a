"""AdminNetworkPolicy and BaselineAdminNetworkPolicy: read into the form of ClusterNetworkPolicy."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.errors import Severity
from podfence.model.clusternetworkpolicy import (
    BASELINE_ADMIN_PRIORITY,
    Peer,
    ProtocolMatch,
    RuleAction,
    Tier,
)
from podfence.model.networkpolicy import Protocol
from podfence.testing.builders import cluster_peer
from tests.admission.clusterpolicies import (
    EVERYBODY,
    HEADS,
    decoded,
    egress,
    errors_of,
    ingress,
    peer_of,
    policy_of,
    rule_of,
)

ADMIN, BASELINE = "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"
ALLOW = {"action": "Allow"}
PORTS = "spec.ingress[0].ports[0]"


def allowed_ports(*ports: Any) -> dict[str, Any]:
    return ingress(**ALLOW, ports=list(ports))


@pytest.mark.parametrize(
    ("kind", "tier", "priority"),
    [(ADMIN, Tier.ADMIN, 10), (BASELINE, Tier.BASELINE, BASELINE_ADMIN_PRIORITY)],
)
def test_kind_is_the_tier_and_is_kept(kind: str, tier: Tier, priority: int) -> None:
    policy = policy_of({}, kind)
    assert (policy.tier, policy.priority) == (tier, priority)
    assert (policy.ref.kind, policy.ref.namespace, policy.ref.name) == (kind, "", "default")


def test_baseline_comes_after_every_cluster_network_policy() -> None:
    assert policy_of({"priority": 1000}).priority < policy_of({}, BASELINE).priority


@pytest.mark.parametrize(
    ("written", "action"),
    [("Allow", RuleAction.ACCEPT), ("Deny", RuleAction.DENY), ("Pass", RuleAction.PASS)],
)
def test_action(written: str, action: RuleAction) -> None:
    assert rule_of(ingress(action=written), ADMIN).action is action


@pytest.mark.parametrize(
    ("kind", "action", "supported"),
    [
        (ADMIN, "Accept", '"Allow", "Deny", "Pass"'),
        (BASELINE, "Pass", '"Allow", "Deny"'),
    ],
)
def test_action_of_another_kind(kind: str, action: str, supported: str) -> None:
    assert errors_of(ingress(action=action), kind) == [
        f'spec.ingress[0].action: Unsupported value: "{action}": supported values: {supported}'
    ]


PORT_ITEMS: list[tuple[str, Any, ProtocolMatch]] = [
    ("number", {"portNumber": {"port": 80}}, ProtocolMatch(Protocol.TCP, 80)),
    (
        "number-and-protocol",
        {"portNumber": {"protocol": "UDP", "port": 53}},
        ProtocolMatch(Protocol.UDP, 53),
    ),
    (
        "protocol-null",
        {"portNumber": {"protocol": None, "port": 80}},
        ProtocolMatch(Protocol.TCP, 80),
    ),
    (
        "range",
        {"portRange": {"protocol": "SCTP", "start": 1, "end": 9}},
        ProtocolMatch(Protocol.SCTP, 1, 9),
    ),
    ("range-of-tcp", {"portRange": {"start": 8, "end": 9}}, ProtocolMatch(Protocol.TCP, 8, 9)),
    ("range-of-one", {"portRange": {"start": 8, "end": 8}}, ProtocolMatch(Protocol.TCP, 8, 8)),
    ("name", {"namedPort": "web"}, ProtocolMatch(named_port="web")),
]


@pytest.mark.parametrize("kind", [ADMIN, BASELINE])
@pytest.mark.parametrize(
    ("item", "expected"), [case[1:] for case in PORT_ITEMS], ids=[case[0] for case in PORT_ITEMS]
)
def test_port(item: Any, expected: ProtocolMatch, kind: str) -> None:
    (rule,) = policy_of(allowed_ports(item), kind).ingress
    assert rule.protocols == (expected,)


UNREAD: list[tuple[str, Any, str, str]] = [
    (
        "protocol",
        {"portNumber": {"protocol": "ICMP", "port": 1}},
        PORTS,
        'unknown protocol "ICMP"',
    ),
    ("range", {"portRange": {"start": 2, "end": 1}}, PORTS, "range 2-1 ends before it starts"),
    ("empty-name", {"namedPort": ""}, f"{PORTS}.namedPort", "empty port name"),
    ("newer", {"future": 1}, f"{PORTS}.future", 'unknown field "future"'),
]


@pytest.mark.parametrize(
    ("item", "path", "reason"), [case[1:] for case in UNREAD], ids=[case[0] for case in UNREAD]
)
def test_cnp_25_port_that_cannot_be_read(item: Any, path: str, reason: str) -> None:
    spec = allowed_ports(item)
    (problem,) = decoded(spec, ADMIN)[1]
    expected = ("PF201", Severity.ERROR) if "future" in item else ("PF209", Severity.WARNING)
    assert (problem.code, problem.severity, problem.path) == (*expected, path)
    assert rule_of(spec, ADMIN).protocols == (ProtocolMatch(unknown=reason),)


@pytest.mark.parametrize("kind", [ADMIN, BASELINE])
@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ({"namespaces": {}}, cluster_peer(namespaces={})),
        (
            {"pods": {"podSelector": {}, "namespaceSelector": {}}},
            cluster_peer(pods={}, namespaces={}),
        ),
        ({"networks": ["::/0"]}, cluster_peer(networks=["::/0"])),
        ({"nodes": {}}, cluster_peer(nodes={})),
    ],
    ids=["namespaces", "pods", "networks", "nodes"],
)
def test_peer(peer: Any, expected: Peer, kind: str) -> None:
    assert peer_of(egress(peer, **ALLOW), kind) == expected


def test_names_are_a_peer_of_the_admin_kind_alone() -> None:
    spec = egress({"domainNames": ["a.example"]}, **ALLOW)
    assert peer_of(spec, ADMIN) == cluster_peer(domain_names=["a.example"])
    assert peer_of(spec, BASELINE) == Peer(unknown='unknown field "domainNames"')


REFUSED: list[tuple[str, str, Any, list[str]]] = [
    (
        "namespaceSelector-required",
        ADMIN,
        ingress(**ALLOW, from_=[{"pods": {"podSelector": {}}}]),
        ["spec.ingress[0].from[0].pods.namespaceSelector: Required value"],
    ),
    (
        "priority-required",
        ADMIN,
        {"priority": None},
        ["spec.priority: Required value"],
    ),
    (
        "baseline-has-no-priority",
        BASELINE,
        {"priority": 1},
        [
            (
                'strict decoding error: unknown field "spec.priority"; '
                "expected subject, ingress or egress"
            )
        ],
    ),
    (
        "no-sameLabels",
        ADMIN,
        ingress(**ALLOW, from_=[{"namespaces": {"sameLabels": ["a"]}}]),
        [
            (
                "strict decoding error: unknown field "
                '"spec.ingress[0].from[0].namespaces.sameLabels"; '
                "the API no longer has it: select namespaces by their own labels"
            )
        ],
    ),
    (
        "rules-101",
        ADMIN,
        {"ingress": ingress(**ALLOW)["ingress"] * 101},
        ["spec.ingress: Too many: 101: must have at most 100 items"],
    ),
    (
        "peers-101",
        BASELINE,
        ingress(**ALLOW, from_=[EVERYBODY] * 101),
        ["spec.ingress[0].from: Too many: 101: must have at most 100 items"],
    ),
    (
        "ports-101",
        ADMIN,
        allowed_ports(*[{"portNumber": {"port": 1}}] * 101),
        ["spec.ingress[0].ports: Too many: 101: must have at most 100 items"],
    ),
    (
        "port-number-required",
        ADMIN,
        allowed_ports({"portNumber": {}}),
        [f"{PORTS}.portNumber.port: Required value"],
    ),
    (
        "named-port-and-nodes",
        BASELINE,
        egress({"nodes": {}}, **ALLOW, ports=[{"namedPort": "web"}]),
        [
            (
                "spec.egress[0]: Invalid value: networks/nodes peer cannot be set with "
                "namedPorts since there are no namedPorts for networks/nodes"
            )
        ],
    ),
]


@pytest.mark.parametrize(
    ("kind", "spec", "expected"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused(kind: str, spec: Any, expected: list[str]) -> None:
    assert errors_of(spec, kind) == expected


@pytest.mark.parametrize("kind", [ADMIN, BASELINE])
def test_a_hundred_rules_are_read(kind: str) -> None:
    spec = {"ingress": ingress(**ALLOW)["ingress"] * 100}
    assert len(policy_of(spec, kind).ingress) == 100


def test_baseline_is_called_default() -> None:
    policy, (problem,) = decoded({}, BASELINE, name="other")
    assert policy is not None, "no server takes the name, and yet the meaning is clear"
    assert problem.refused_only
    assert (problem.code, problem.path) == ("PF203", "metadata.name")
    assert problem.message == (
        "metadata.name: Invalid value: Only one baseline admin network policy with "
        'metadata.name="default" can be created in the cluster'
    )


def test_admin_policies_have_any_name() -> None:
    assert policy_of(HEADS[ADMIN], ADMIN, name="other").ref.name == "other"
