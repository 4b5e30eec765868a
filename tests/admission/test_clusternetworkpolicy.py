"""Decoding of ClusterNetworkPolicy: what comes out, what is unknown in it, what is warned about."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from podfence.admission.decode_clusternetworkpolicy import decode_clusternetworkpolicy
from podfence.errors import Severity
from podfence.model.clusternetworkpolicy import (
    NamespacedPod,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    Tier,
)
from podfence.model.networkpolicy import Protocol
from podfence.model.selectors import LabelSelector
from podfence.testing.builders import (
    UNKNOWN_FIELD,
    cluster_peer,
    cluster_policy,
    cluster_rule,
    protocol,
    requirement,
    selector,
)
from podfence.testing.manifest import to_manifest
from tests.admission.clusterpolicies import (
    EVERYBODY,
    decoded,
    egress,
    ingress,
    manifest,
    match_of,
    peer_of,
    policy_of,
    rule_of,
)
from tests.admission.policies import SOURCE

WEB = {"matchLabels": {"app": "web"}}
EVERYTHING = LabelSelector()

# ---------------------------------------------------------------------------------- the policy


def test_cnp_2_identity_has_no_namespace() -> None:
    policy = policy_of({}, name="guard", labels={"team": "net"})
    assert (policy.ref.kind, policy.ref.namespace, policy.ref.name) == (
        "ClusterNetworkPolicy",
        "",
        "guard",
    )
    assert (policy.labels, policy.source) == ((("team", "net"),), SOURCE)


def test_name_is_generated_from_its_prefix() -> None:
    name = policy_of({}, name=None, generateName="guard-").ref.name
    assert name.startswith("guard-")
    assert len(name) == len("guard-") + 5


@pytest.mark.parametrize("tier", Tier)
def test_cnp_1_tier(tier: Tier) -> None:
    assert policy_of({"tier": tier.value}).tier is tier


@pytest.mark.parametrize("priority", [0, 1000])
def test_cnp_6_priority(priority: int) -> None:
    assert policy_of({"priority": priority}).priority == priority


@pytest.mark.parametrize("rules", [None, []], ids=["absent", "empty"])
def test_cnp_4_no_rules_leave_a_direction_alone(rules: Any) -> None:
    policy = policy_of({"ingress": rules, "egress": rules})
    assert (policy.ingress, policy.egress) == ((), ())


def test_null_rules_are_absent_ones() -> None:
    data = manifest()
    data["spec"]["ingress"] = None
    assert decode_clusternetworkpolicy(data, SOURCE) == (policy_of({}), ())


SUBJECTS: list[tuple[str, Any, Subject]] = [
    ("namespaces", {"namespaces": WEB}, Subject(selector({"app": "web"}))),
    ("every-namespace", {"namespaces": {}}, Subject(EVERYTHING)),
    (
        "pods",
        {"pods": {"podSelector": WEB, "namespaceSelector": {}}},
        Subject(pods=NamespacedPod(selector({"app": "web"}), EVERYTHING)),
    ),
    ("CNP-15-pods", {"pods": {"podSelector": {}}}, Subject(pods=NamespacedPod(EVERYTHING))),
]


@pytest.mark.parametrize(
    ("subject", "expected"), [case[1:] for case in SUBJECTS], ids=[case[0] for case in SUBJECTS]
)
def test_cnp_5_subject(subject: Any, expected: Subject) -> None:
    assert policy_of({"subject": subject}).subject == expected


def test_cnp_7_rules_keep_their_order() -> None:
    actions = ["Pass", "Accept", "Deny"]
    policy = policy_of({"ingress": [{"action": action, "from": [EVERYBODY]} for action in actions]})
    assert [rule.action.value for rule in policy.ingress] == actions


def test_rule_name_of_100_characters_is_kept() -> None:
    assert rule_of(ingress(name="é" * 100)).name == "é" * 100


@pytest.mark.parametrize("action", RuleAction)
def test_cnp_10_11_12_actions(action: RuleAction) -> None:
    assert rule_of(ingress(action=action.value)).action is action


# --------------------------------------------------------------------------------------- peers

PEERS: list[tuple[str, Any, Peer]] = [
    ("CNP-20-every-pod", {"namespaces": {}}, Peer(namespaces=EVERYTHING)),
    ("CNP-14-namespaces", {"namespaces": WEB}, cluster_peer(namespaces={"app": "web"})),
    (
        "CNP-15-pods-of-all-namespaces",
        {"pods": {"podSelector": WEB}},
        Peer(pods=NamespacedPod(selector({"app": "web"}), None)),
    ),
    (
        "CNP-15-null-is-absent",
        {"pods": {"podSelector": WEB, "namespaceSelector": None}},
        Peer(pods=NamespacedPod(selector({"app": "web"}), None)),
    ),
    (
        "pods-of-namespaces",
        {"pods": {"podSelector": {}, "namespaceSelector": WEB}},
        cluster_peer(pods={}, namespaces={"app": "web"}),
    ),
    ("CNP-18-nodes", {"nodes": WEB}, cluster_peer(nodes={"app": "web"})),
    ("CNP-18-all-nodes", {"nodes": {}}, Peer(nodes=EVERYTHING)),
    (
        "CNP-17-networks",
        {"networks": ["10.0.0.0/8", "FD00::/8"]},
        Peer(networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8"))),
    ),
    (
        "CNP-19-names",
        {"domainNames": ["Example.COM.", "*.Example.com", "example.com"]},
        Peer(domain_names=("example.com", "*.example.com")),
    ),
    (
        "expressions",
        {"namespaces": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}},
        Peer(namespaces=selector(None, requirement("a", "In", "b"))),
    ),
]


@pytest.mark.parametrize(
    ("peer", "expected"), [case[1:] for case in PEERS], ids=[case[0] for case in PEERS]
)
def test_peer(peer: Any, expected: Peer) -> None:
    (rule,) = policy_of(egress(peer)).egress
    assert rule.peers == (expected,)


def test_cnp_8_peers_and_protocols_stand_side_by_side() -> None:
    peers = [EVERYBODY, {"pods": {"podSelector": {}}}]
    items = [{"tcp": {"destinationPort": {"number": 80}}}, {"destinationNamedPort": "dns"}]
    rule = rule_of(ingress(from_=peers, protocols=items))
    assert rule.peers == (cluster_peer(namespaces={}), cluster_peer(pods={}))
    assert rule.protocols == (protocol("80/TCP"), protocol("dns"))


# ----------------------------------------------------------------------------------- protocols


@pytest.mark.parametrize("protocols", [{}, {"protocols": None}], ids=["absent", "null"])
def test_cnp_21_no_protocols_are_all(protocols: dict[str, Any]) -> None:
    spec = ingress()
    spec["ingress"][0].update(protocols)
    assert rule_of(spec).protocols == ()


@pytest.mark.parametrize("name", ["tcp", "udp", "sctp"])
def test_cnp_22_number(name: str) -> None:
    match = match_of({name: {"destinationPort": {"number": 53}}})
    assert match == ProtocolMatch(Protocol(name.upper()), 53)


def test_cnp_22_range() -> None:
    match = match_of({"udp": {"destinationPort": {"range": {"start": 1, "end": 65535}}}})
    assert match == ProtocolMatch(Protocol.UDP, 1, 65535)


def test_cnp_23_named_port_has_no_protocol_of_its_own() -> None:
    assert match_of({"destinationNamedPort": "dns"}) == ProtocolMatch(named_port="dns")


# ------------------------------------------------------------------------ stored, although risky


@pytest.mark.parametrize("action", ["Deny", "Pass"])
def test_cnp_19_names_are_meant_for_accepting(action: str) -> None:
    spec = egress({"domainNames": ["a.example"]}, action=action)
    (problem,) = decoded(spec)[1]
    path = "spec.egress[0].to[0].domainNames"
    assert (problem.code, problem.severity, problem.path) == ("PF210", Severity.WARNING, path)
    assert f"in a {action} rule this peer matches nothing" in problem.message
    assert peer_of(spec) == cluster_peer(domain_names=["a.example"])


def test_label_without_a_value_is_dropped_with_a_warning() -> None:
    spec = {"subject": {"namespaces": {"matchLabels": {"a": None, "b": "c"}}}}
    policy, (problem,) = decoded(spec)
    assert (problem.code, problem.severity) == ("PF204", Severity.WARNING)
    assert problem.path == "spec.subject.namespaces.matchLabels[a]"
    assert policy is not None
    assert policy.subject == Subject(selector({"b": "c"}))


def test_status_is_not_looked_at() -> None:
    data = {**manifest(), "status": {"conditions": "anything"}}
    assert decode_clusternetworkpolicy(data, SOURCE) == (policy_of({}), ())


# ------------------------------------------------------------------------------------ builders


def test_builders_and_manifests_say_the_same() -> None:
    policy = cluster_policy(
        "default",
        pods={"app": "db"},
        namespaces={"team": "a"},
        tier="Baseline",
        priority=7,
        ingress=[
            cluster_rule("Accept", cluster_peer(pods={"app": "web"}), protocols=["80/TCP"]),
            cluster_rule("Deny", name="rest"),
        ],
        egress=[
            cluster_rule("Pass", cluster_peer(networks=["10.0.0.1/8"]), protocols=["1-9/UDP"]),
            cluster_rule("Deny", cluster_peer(), protocols=["dns", ""]),
        ],
    )
    written = to_manifest(policy)
    assert written["spec"] == {
        "subject": {
            "pods": {
                "podSelector": {"matchLabels": {"app": "db"}},
                "namespaceSelector": {"matchLabels": {"team": "a"}},
            }
        },
        "tier": "Baseline",
        "priority": 7,
        "ingress": [
            {
                "action": "Accept",
                "from": [{"pods": {"podSelector": WEB}}],
                "protocols": [{"tcp": {"destinationPort": {"number": 80}}}],
            },
            {"name": "rest", "action": "Deny", "from": [{"namespaces": {}}]},
        ],
        "egress": [
            {
                "action": "Pass",
                "to": [{"networks": ["10.0.0.0/8"]}],
                "protocols": [{"udp": {"destinationPort": {"range": {"start": 1, "end": 9}}}}],
            },
            {
                "action": "Deny",
                "to": [{"future": {}}],
                "protocols": [{"destinationNamedPort": "dns"}, {"future": {}}],
            },
        ],
    }


def test_every_port_of_a_protocol_is_written_as_no_server_stores_it() -> None:
    rule = cluster_rule("Accept", protocols=["/SCTP"])
    written = to_manifest(cluster_policy("default", ingress=[rule]))
    assert written["spec"]["ingress"][0]["protocols"] == [{"sctp": {}}]
    assert decoded(written["spec"])[0] is None


def test_peer_without_anything_is_unknown() -> None:
    assert cluster_peer() == Peer(unknown=UNKNOWN_FIELD)
