"""describe: the sentences are exact, and the pods behind them are the ones that policy
compilation finds."""

from __future__ import annotations

import pytest

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort
from podfence.model.selectors import LabelSelector
from podfence.policy.compile import compile_cluster
from podfence.questions.describe import PolicyDescription, describe
from podfence.questions.phrases import words
from podfence.testing.builders import (
    namespace,
    peer,
    pod,
    policy,
    port,
    requirement,
    rule,
    selector,
)

WEB = pod("shop/web", {"app": "web"}, addresses=["10.1.0.1"], ports=["http:8080"])
DB = pod("shop/db", {"app": "db"}, addresses=["10.1.0.2"], ports=["sql:5432"])
PROM = pod("mon/prom", {"app": "prom"}, addresses=["10.1.0.3"])
CLUSTER: tuple[ClusterObject, ...] = (
    namespace("shop"),
    namespace("mon", {"team": "ops"}),
    WEB,
    DB,
    PROM,
)


def described(*policies: NetworkPolicy) -> PolicyDescription:
    """The description of the first policy in the shop."""
    index = compile_cluster(Cluster.of([*CLUSTER, *policies]))
    return describe(index, policies[0])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(selector(), "every pod", id="NP-3 everything"),
        pytest.param(selector({"app": "web"}), "pods labelled app=web", id="NP-4 one label"),
        pytest.param(
            selector({"app": "web", "tier": ""}),
            'pods labelled app=web and tier=""',
            id="NP-4 all labels, empty value",
        ),
        pytest.param(
            selector(None, requirement("env", "In", "dev", "test")),
            "pods whose label env is dev or test",
            id="NP-4 In",
        ),
        pytest.param(
            selector(None, requirement("env", "NotIn", "prod")),
            "pods whose label env is missing or other than prod",
            id="NP-4 NotIn holds for a missing key",
        ),
        pytest.param(
            selector({"a": "b"}, requirement("x", "Exists"), requirement("y", "DoesNotExist")),
            "pods labelled a=b, with a label x and without a label y",
            id="NP-4 labels and expressions",
        ),
    ],
)
def test_selector_in_words(value: LabelSelector, text: str) -> None:
    assert words.pods(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(
            peer(pods={"app": "web"}),
            "pods labelled app=web in this namespace (shop) only",
            id="NP-17",
        ),
        pytest.param(peer(pods={}), "every pod in this namespace (shop) only", id="NP-17 all"),
        pytest.param(
            peer(namespaces={"team": "ops"}),
            "every pod in a namespace labelled team=ops",
            id="NP-18",
        ),
        pytest.param(
            peer(namespaces={}),
            "every pod in any namespace, but nothing outside the cluster",
            id="NP-18 all",
        ),
        pytest.param(
            peer(namespaces={"kubernetes.io/metadata.name": "mon"}),
            "every pod in namespace mon",
            id="NP-21",
        ),
        pytest.param(
            peer(pods={"app": "prom"}, namespaces={"team": "ops"}),
            "pods that meet both conditions: labelled app=prom, and in a namespace labelled "
            "team=ops",
            id="NP-19",
        ),
        pytest.param(
            peer(pods={}, namespaces={}),
            "every pod in any namespace, but nothing outside the cluster",
            id="NP-23",
        ),
        pytest.param(
            peer(cidr="10.0.0.0/8", except_=["10.1.0.0/16", "10.2.0.0/16"]),
            "addresses in 10.0.0.0/8 except those in 10.1.0.0/16 and 10.2.0.0/16",
            id="NP-24",
        ),
        pytest.param(peer(cidr="0.0.0.0/0"), "every IPv4 address (no IPv6)", id="NP-25"),
        pytest.param(peer(cidr="192.0.2.1/32"), "the address 192.0.2.1", id="NP-24 single"),
    ],
)
def test_peer_in_words(value: NetworkPolicyPeer, text: str) -> None:
    assert words.peer(value, "shop") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(port(80), "TCP port 80", id="NP-30"),
        pytest.param(port("/UDP"), "every UDP port", id="NP-31"),
        pytest.param(port("8000-8100"), "TCP ports 8000 to 8100", id="NP-37"),
        pytest.param(port("80-80"), "TCP port 80", id="NP-37 range of one"),
        pytest.param(port("http"), "the TCP port named http", id="NP-32"),
    ],
)
def test_port_in_words(value: NetworkPolicyPort, text: str) -> None:
    assert words.port(value) == text


@pytest.mark.parametrize(
    ("value", "ingress", "egress", "types"),
    [
        pytest.param(
            policy("shop/p"),
            True,
            False,
            "No policyTypes is written: the server makes it Ingress only, because there is no "
            "egress rule.",
            id="NP-8 nothing written",
        ),
        pytest.param(
            policy("shop/p", egress=[rule()]),
            True,
            True,
            "No policyTypes is written: the server makes it Ingress and Egress, because there is "
            "at least one egress rule.",
            id="NP-8 egress rule",
        ),
        pytest.param(
            policy("shop/p", types=["Egress"]),
            False,
            True,
            "policyTypes says Egress only.",
            id="NP-8 written",
        ),
    ],
)
def test_directions(value: NetworkPolicy, ingress: bool, egress: bool, types: str) -> None:
    found = described(value)

    assert (found.ingress.isolates, found.egress.isolates, found.types) == (ingress, egress, types)


def test_subjects_are_named_and_counted() -> None:
    found = described(policy("shop/p", {"app": "web"}))

    assert found.selects == "Selects pods labelled app=web in namespace shop: 1 pod now."
    assert [str(group) for group in found.pods] == ["shop/web"]


def test_policy_without_subjects_says_so() -> None:
    found = described(policy("shop/p", {"app": "nobody"}))

    assert found.selects == "Selects pods labelled app=nobody in namespace shop: no pod now."
    assert found.ingress.others == found.egress.others == ""


@pytest.mark.parametrize(
    ("item", "pods"),
    [
        pytest.param(peer(pods={"app": "prom"}), [], id="NP-17 own namespace only"),
        pytest.param(peer(namespaces={"team": "ops"}), ["mon/prom"], id="NP-18"),
        pytest.param(
            peer(pods={"app": "web"}, namespaces={"team": "ops"}), [], id="NP-19 both must hold"
        ),
        pytest.param(peer(cidr="10.1.0.2/31"), ["mon/prom", "shop/db"], id="NP-27 pods in a block"),
    ],
)
def test_peers_matched_now(item: NetworkPolicyPeer, pods: list[str]) -> None:
    [described_rule] = described(policy("shop/p", ingress=[rule(item)])).ingress.rules
    [described_peer] = described_rule.peers

    assert [str(group) for group in described_peer.pods] == pods


def test_np_58_pod_without_address_is_a_subject_and_no_peer() -> None:
    waiting = pod("shop/new", {"app": "new"}, has_status=True)
    value = policy("shop/p", {"app": "new"}, ingress=[rule(peer(pods={"app": "new"}))])
    found = describe(compile_cluster(Cluster.of([*CLUSTER, waiting, value])), value)

    assert [str(group) for group in found.pods] == ["shop/new"]
    assert found.ingress.rules[0].peers[0].pods == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(
            policy("shop/p", {"app": "web"}, ingress=[rule(ports=["http"])]),
            "on the TCP port named http (8080 on shop/web)",
            id="NP-32 ingress: on the subject",
        ),
        pytest.param(
            policy("shop/p", ingress=[rule(ports=["http", "9/UDP"])]),
            "on the TCP port named http (8080 on shop/web; not declared by shop/db) or UDP port 9",
            id="NP-35 not on every pod",
        ),
        pytest.param(
            policy("shop/p", ingress=[rule(ports=["http/UDP"])]),
            "on the UDP port named http (declared by none of them now, so this allows nothing)",
            id="NP-33 protocol must fit",
        ),
        pytest.param(
            policy("shop/p", ingress=[rule()]), "on every port of every protocol", id="NP-13"
        ),
    ],
)
def test_ports_of_ingress_rules(value: NetworkPolicy, text: str) -> None:
    assert described(value).ingress.rules[0].ports == text


def test_np_32_egress_name_is_resolved_on_the_peer() -> None:
    value = policy("shop/p", {"app": "web"}, egress=[rule(peer(pods={"app": "db"}), ports=["sql"])])

    assert described(value).egress.rules[0].ports == ("on the TCP port named sql (5432 on shop/db)")


def test_np_12_rule_without_peers_is_for_everyone() -> None:
    [described_rule] = described(policy("shop/p", ingress=[rule(ports=[80])])).ingress.rules
    [everyone] = described_rule.peers

    assert everyone.text == "everyone: every pod, every node and every address outside the cluster"
    assert everyone.outside
    assert everyone.path == described_rule.path == "spec.ingress[0]"


def test_np_15_dead_rules_are_not_described_but_mentioned() -> None:
    found = described(policy("shop/p", types=["Ingress"], egress=[rule()])).egress

    assert found.rules == ()
    assert "1 egress rule has no effect" in found.text


def test_np_9_isolation_without_rules() -> None:
    found = described(policy("shop/p", types=["Ingress", "Egress"]))

    assert "accept no connection unless another policy allows it" in found.ingress.text
    assert "open no connection, DNS included, unless another policy" in found.egress.text


@pytest.mark.parametrize(
    ("others", "text"),
    [
        pytest.param(
            [], "No policy isolates them: every connection from these pods is allowed.", id="NP-2"
        ),
        pytest.param(
            [policy("shop/all", types=["Egress"])], "shop/all isolates them.", id="NP-7 all of them"
        ),
        pytest.param(
            [policy("shop/some", {"app": "db"}, types=["Egress"])],
            "shop/some isolates some of them.",
            id="NP-7 some of them",
        ),
        pytest.param(
            [policy("mon/all", types=["Egress"])],
            "No policy isolates them: every connection from these pods is allowed.",
            id="NP-1 another namespace",
        ),
    ],
)
def test_what_other_policies_make_of_an_untouched_direction(
    others: list[NetworkPolicy], text: str
) -> None:
    assert described(policy("shop/p", types=["Ingress"]), *others).egress.others == text


def test_np_7_an_allow_all_makes_the_policy_pointless() -> None:
    open_wide = policy("shop/open", ingress=[rule()])
    found = described(policy("shop/p", {"app": "web"}), open_wide)

    assert found.ingress.others == (
        "All of this is pointless while shop/open allows every connection to these pods."
    )
    assert [(str(o.policy), o.text) for o in found.others] == [
        ("shop/open", "selects the same pods; isolates ingress and allows everything")
    ]


def test_other_policies_say_how_many_pods_they_share() -> None:
    found = described(policy("shop/p"), policy("shop/web", {"app": "web"}, ingress=[rule()] * 2))

    assert found.others[0].text.startswith("selects 1 of these 2 pods;")


def test_policy_unknown_to_the_index_has_no_pods() -> None:
    index = compile_cluster(Cluster.of(CLUSTER))

    assert describe(index, policy("shop/new")).pods == ()
