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
CLOSED = "its rule fails closed: Accept matches nothing, Deny and Pass deny everything"

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
PLACES: list[tuple[str, str]] = [
    ("namespaces", "namespaces"),
    ("nodes", "nodes"),
    ("podSelector", "pods.podSelector"),
    ("namespaceSelector", "pods.namespaceSelector"),
]


def _peer_with(place: str, found: Any) -> Any:
    if place in ("namespaces", "nodes"):
        return {place: found}
    return {"pods": {"podSelector": {}, place: found}}


@pytest.mark.parametrize(("place", "path"), PLACES, ids=[case[0] for case in PLACES])
@pytest.mark.parametrize(
    ("found", "fault"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS]
)
def test_cnp_24_selector_that_cannot_be_evaluated(
    place: str, path: str, found: Any, fault: str
) -> None:
    spec = egress(_peer_with(place, found))
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
