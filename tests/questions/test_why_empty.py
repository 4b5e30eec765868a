"""Why a peer or a port of a rule holds nothing, as ``why`` says it."""

from __future__ import annotations

import pytest

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import ProtocolMatch, RuleAction, TierRule
from podfence.model.networkpolicy import NetworkPolicyRule
from podfence.policy.compile import compile_cluster
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.why import why
from podfence.render.verdicts import VerdictEncoder, why_text
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    peer,
    pod,
    policy,
    rule,
)

PODS: tuple[ClusterObject, ...] = (
    namespace("d"),
    namespace("n", {"team": "ops"}),
    pod("d/web", {"app": "web"}, addresses=["10.0.0.1"], ports=["http:80", "dns:53/UDP"]),
    pod("d/cli", {"app": "cli"}, addresses=["10.0.0.2"]),
    pod("d/tls", {"app": "tls"}, addresses=["10.0.0.3"], ports=["https:443"]),
    pod("n/agent", {"app": "agent"}, addresses=["192.0.2.7"], host_network=True),
    pod("n/batch", {"app": "batch"}, finished=True),
)
CLI, TLS, AGENT = (peer(pods={"app": name}) for name in ("cli", "tls", "agent"))
OPS = peer(namespaces={"team": "ops"})
ON_NODE = "on the host network, where selectors match no pod; use an ipBlock of the nodes"
BATCH_WOULD = "n/batch would match by its labels, but it is finished"
AGENT_WOULD = f"n/agent would match by its labels, but it is {ON_NODE}"
NAMED = TierRule(
    RuleAction.DENY, (cluster_peer(namespaces={}),), (ProtocolMatch(named_port="https"),)
)


def said(source: str, target: str, port: int, *policies: ClusterObject) -> str:
    """What ``why`` says about the first rule."""
    index = compile_cluster(Cluster.of([*PODS, *policies]))
    answer = why(QueryEvaluator(index), Can(source, target, port))
    assert not answer.can.allowed
    [line, *_] = [x for x in why_text(answer, lambda *_: None).splitlines() if "gress[0]" in x]
    return line.partition(": ")[2]


def to_web(*rules: NetworkPolicyRule) -> ClusterObject:
    return policy("d/p", {"app": "web"}, ingress=rules)


def from_cli(*rules: NetworkPolicyRule) -> ClusterObject:
    return policy("d/p", {"app": "cli"}, types=["Egress"], egress=rules)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param(
            rule(ports=["https"]),
            "near miss: the peer fits (everyone), but it allows no port; the rule's port https is "
            "declared by no container of d/web; it declares dns and http",
            id="a name that nobody declares",
        ),
        pytest.param(
            rule(CLI, ports=["dns"]),
            "near miss: the peer fits (spec.ingress[0].from[0]), but it allows no port; the rule's "
            "port dns means TCP, and d/web declares that name for UDP",
            id="a name of another protocol",
        ),
        pytest.param(
            rule(CLI, ports=["https", 81]),
            "near miss: the peer fits (spec.ingress[0].from[0]), but it allows only TCP/81; the "
            "rule's port https is declared by no container of d/web; it declares dns and http",
            id="a name beside a number",
        ),
        pytest.param(
            rule(TLS, ports=["https"]),
            "neither peer nor port fits (it allows none)",
            id="a name, and another peer",
        ),
        pytest.param(
            rule(peer(cidr="10.0.0.0/31"), peer(cidr="10.0.0.2/31"), ports=["x"]),
            "near miss: the peer fits (spec.ingress[0].from[1]), but it allows no port; the rule's "
            "port x is declared by no container of d/web; it declares dns and http",
            id="the address is in a block",
        ),
        pytest.param(
            rule(peer(pods={"app": "agent"}, namespaces={"team": "ops"})),
            f"near miss: the port fits (all), but no peer does; {AGENT_WOULD}",
            id="a peer whose pods are on the host network",
        ),
        pytest.param(
            rule(OPS, ports=[80]),
            f"near miss: the port fits (TCP/80), but no peer does; {AGENT_WOULD}; {BATCH_WOULD}",
            id="a namespace of such pods",
        ),
        pytest.param(
            rule(peer(namespaces={"team": "dev"})),
            "near miss: the port fits (all), but no peer does; no namespace matches now "
            "(a namespace labelled team=dev)",
            id="a namespace that is not there",
        ),
        pytest.param(
            rule(peer(namespaces={"kubernetes.io/metadata.name": "kube-system"})),
            "near miss: the port fits (all), but no peer does",
            id="a namespace that the cluster brings",
        ),
        pytest.param(
            rule(AGENT),
            "near miss: the port fits (all), but no peer does",
            id="such pods live in another namespace",
        ),
    ],
)
def test_ingress(rules: NetworkPolicyRule, expected: str) -> None:
    assert said("d/cli", "d/web", 80, to_web(rules)) == expected


def test_the_pod_that_was_asked_about_is_named_beside_peers_that_are_found() -> None:
    found = pod("n/other", {"app": "other"}, addresses=["10.0.1.1"])

    assert said("n/agent", "d/web", 80, to_web(rule(OPS)), found).endswith(AGENT_WOULD)


@pytest.mark.parametrize(
    ("target", "rules", "expected"),
    [
        pytest.param(
            "d/web",
            rule(peer(pods={}), ports=["https"]),
            "near miss: the peer fits (spec.egress[0].to[0]), but it allows only TCP/443; the "
            "rule's port https is declared by no container of d/web; it declares dns and http",
            id="another peer declares it",
        ),
        pytest.param(
            "192.0.2.9",
            rule(ports=["https"]),
            "near miss: the peer fits (everyone), but it allows only TCP/443; 192.0.2.9 is not a "
            "pod with an address of its own, so it has no port names",
            id="an address outside",
        ),
        pytest.param(
            "n/agent",
            rule(OPS),
            f"near miss: the port fits (all), but no peer does; {AGENT_WOULD}",
            id="a destination on the host network",
        ),
    ],
)
def test_egress(target: str, rules: NetworkPolicyRule, expected: str) -> None:
    assert said("d/cli", target, 80, from_cli(rules)) == expected


@pytest.mark.parametrize(
    ("cluster_rule_", "expected"),
    [
        pytest.param(
            cluster_rule("Deny", cluster_peer(namespaces={"team": "ops"})),
            f"near miss: the port fits (all), but no peer does; {AGENT_WOULD}; {BATCH_WOULD}",
            id="peers on the host network",
        ),
        pytest.param(
            cluster_rule("Deny", cluster_peer(pods={"app": "agent"})),
            f"near miss: the port fits (all), but no peer does; {AGENT_WOULD}",
            id="pods on the host network",
        ),
        pytest.param(
            cluster_rule("Deny", cluster_peer(pods={"app": "x"}, namespaces={"team": "dev"})),
            "near miss: the port fits (all), but no peer does; no namespace matches now "
            "(a namespace labelled team=dev)",
            id="a namespace that is not there",
        ),
        pytest.param(
            NAMED,
            "the rule's port https is declared by no container of d/web; it declares dns and http",
            id="a name that nobody declares",
        ),
    ],
)
def test_tiers(cluster_rule_: TierRule, expected: str) -> None:
    closed = policy("d/closed", {"app": "web"})
    admin = cluster_policy("a", priority=1, ingress=[cluster_rule_])

    assert said("d/cli", "d/web", 80, admin, closed) == expected


def test_data_has_the_remark_of_rules_that_do_not_fit() -> None:
    index = compile_cluster(Cluster.of([*PODS, to_web(rule(ports=["https"]), rule(CLI))]))
    data = VerdictEncoder(lambda *_: None).why(
        why(QueryEvaluator(index), Can("d/cli", "d/web", 80))
    )
    [looked] = data["looked"]["ingress"]  # type: ignore[index]

    assert [sorted({"remark"} & set(r)) for r in looked["rules"]] == [["remark"], []]
