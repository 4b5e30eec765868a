"""Rules and peers of one policy that undo each other, and rules that a dash has split."""

from __future__ import annotations

import pytest

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.networkpolicy import NetworkPolicyPeer, NetworkPolicyRule
from podfence.policy.compile import compile_cluster
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.notes import notes_for
from podfence.testing.builders import namespace, peer, pod, policy, requirement, rule, selector

PODS: tuple[ClusterObject, ...] = (
    namespace("shop"),
    namespace("mon", {"team": "ops"}),
    pod("shop/web", {"app": "web", "tier": "a"}, addresses=["10.1.0.1"], ports=["http:80"]),
    pod("shop/db", {"app": "db"}, addresses=["10.1.0.2"], ports=["sql:5432"]),
    pod("mon/prom", {"app": "prom"}, addresses=["10.1.0.3"], ports=["web:9090"]),
)
WEB, PROM = peer(pods={"app": "web"}), peer(pods={"app": "prom"}, namespaces={"team": "ops"})
OPS, HERE, ANYWHERE = peer(namespaces={"team": "ops"}), peer(pods={}), peer(namespaces={})
NARROW, WIDE = peer(cidr="198.51.100.0/24"), peer(cidr="0.0.0.0/0")

ON_NODE = (
    "mon/agent would match by its labels, but it is on the host network, where selectors match no "
    "pod; use an ipBlock of the nodes"
)


def noted(code: str, *rules: NetworkPolicyRule, egress: bool = False) -> list[LintFinding]:
    if egress:
        value = policy("shop/p", {"app": "db"}, types=["Egress"], egress=rules)
    else:
        value = policy("shop/p", {"app": "db"}, ingress=rules)
    index = compile_cluster(Cluster.of([*PODS, value]))
    return [note for note in notes_for(index, value) if note.code == code]


@pytest.mark.parametrize("egress", [False, True], ids=["ingress", "egress"])
@pytest.mark.parametrize("first", [0, 1], ids=["narrow first", "wide first"])
@pytest.mark.parametrize(
    ("narrow", "wide", "ports"),
    [
        (rule(WEB, ports=[2379, 2380]), rule(ports=[2379]), "on TCP/2379"),
        (rule(WEB, ports=[2379]), rule(ports=["2000-3000"]), "on TCP/2379"),
        (rule(WEB, ports=["53/UDP", 53]), rule(ports=["/UDP"]), "on UDP/53"),
        (rule(WEB, ports=["sql", 80]), rule(ports=["sql"]), "on TCP/sql"),
        (rule(WEB, ports=["sql"]), rule(HERE), "on TCP/sql"),
        (rule(WEB), rule(HERE), "on every port"),
        (rule(PROM, ports=[80]), rule(OPS, ports=[80]), "on TCP/80"),
        (rule(NARROW, ports=[80]), rule(WIDE, WEB), "on TCP/80"),
        (rule(WEB, NARROW, ports=[80]), rule(ANYWHERE, WIDE, ports=[80]), "on TCP/80"),
    ],
)
def test_pf319_a_rule_that_its_neighbour_undoes(
    narrow: NetworkPolicyRule, wide: NetworkPolicyRule, ports: str, first: int, egress: bool
) -> None:
    rules = (narrow, wide) if first == 0 else (wide, narrow)
    [note] = noted("PF319", *rules, egress=egress)
    field = "egress" if egress else "ingress"

    assert note.path == f"spec.{field}[{first}]"
    assert note.text.startswith(f"spec.{field}[{1 - first}] allows connections {ports} ")


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([rule(WEB, ports=[80]), rule(ports=[81])], id="other ports"),
        pytest.param([rule(WEB, ports=[53]), rule(ports=["53/UDP"])], id="other protocol"),
        pytest.param(
            [rule(WEB, ports=["sql"]), rule(ports=["sql/UDP"])], id="other protocol, name"
        ),
        pytest.param([rule(WEB), rule(ports=[53, "53/UDP"])], id="every port here, DNS everywhere"),
        pytest.param([rule(WEB, ports=[80]), rule(WEB, ports=[80, 81])], id="the same peers"),
        pytest.param([rule(WEB, ports=[80]), rule(PROM, ports=[80])], id="other peers"),
        pytest.param([rule(ANYWHERE, ports=[80]), rule(WIDE, ports=[80])], id="pods are no block"),
        pytest.param([rule(OPS, ports=[80]), rule(HERE, ports=[80])], id="another namespace"),
        pytest.param([rule(WEB, NARROW, ports=[80]), rule(HERE, ports=[80])], id="only one peer"),
        pytest.param([rule(WEB, ports=[80]), rule()], id="PF310 says it"),
    ],
)
def test_no_pf319_for_rules(rules: list[NetworkPolicyRule]) -> None:
    assert noted("PF319", *rules) == []


def test_pf319_is_silent_about_rules_of_two_directions() -> None:
    value = policy("shop/p", ingress=[rule(WEB, ports=[80])], egress=[rule(ports=[80])])
    index = compile_cluster(Cluster.of([*PODS, value]))

    assert "PF319" not in {note.code for note in notes_for(index, value)}


@pytest.mark.parametrize(
    ("peers", "wide", "held"),
    [
        ([WIDE, NARROW], 0, "from[1]"),
        ([NARROW, WEB, WIDE], 2, "from[0]"),
        ([NARROW, WIDE, peer(cidr="192.0.2.1/32")], 1, "from[0] and from[2]"),
        ([peer(cidr="2001:db8::/32"), peer(cidr="::/0")], 1, "from[0]"),
        ([peer(cidr="0.0.0.0/0", except_=["10.0.0.0/8"]), NARROW], 0, "from[1]"),
        ([WEB, HERE], 1, "from[0]"),
        ([ANYWHERE, WEB, PROM], 0, "from[1] and from[2]"),
        ([OPS, PROM], 0, "from[1]"),
        ([peer(pods={"app": "web", "tier": "a"}), WEB], 1, "from[0]"),
        (
            [WEB, peer(pods=selector({"app": "web"}, requirement("tier", "Exists")))],
            0,
            "from[1]",
        ),
    ],
)
def test_pf319_a_peer_that_holds_its_neighbours(
    peers: list[NetworkPolicyPeer], wide: int, held: str
) -> None:
    [note] = noted("PF319", rule(*peers, ports=[80]))

    assert note.path == f"spec.ingress[0].from[{wide}]"
    assert f"this includes all of {held}." in note.text


@pytest.mark.parametrize(
    "peers",
    [
        pytest.param([NARROW, NARROW], id="twice the same"),
        pytest.param([WIDE, peer(cidr="::/0")], id="both families"),
        pytest.param([WIDE, WEB], id="a block and pods"),
        pytest.param([peer(cidr="0.0.0.0/0", except_=["198.51.0.0/16"]), NARROW], id="excepted"),
        pytest.param([peer(cidr="10.0.0.0/24"), peer(cidr="10.0.1.0/24")], id="side by side"),
        pytest.param([HERE, OPS], id="other namespaces"),
        pytest.param([WEB, peer(pods={"tier": "a"})], id="other labels"),
    ],
)
def test_no_pf319_for_peers(peers: list[NetworkPolicyPeer]) -> None:
    assert noted("PF319", rule(*peers, ports=[80])) == []


def test_pf319_of_thousands_of_blocks_is_one_note() -> None:
    many = [peer(cidr=f"100.{n // 256}.{n % 256}.0/24") for n in range(3000)]
    [note] = noted("PF319", rule(*many, peer(cidr="100.0.0.0/8")))

    assert "from[0], from[1], from[2] and 2997 more" in note.text


@pytest.mark.parametrize("egress", [False, True], ids=["ingress", "egress"])
@pytest.mark.parametrize(
    ("rules", "at"),
    [
        ([rule(OPS), rule(ports=[53, "53/UDP"])], 0),
        ([rule(ports=[53]), rule(OPS, NARROW)], 0),
        ([rule(NARROW), rule(ports=[443, 53])], 0),
        ([rule(WEB, ports=[80]), rule(OPS), rule(ports=["sql"])], 1),
        ([rule(OPS), rule(ports=[53]), rule(PROM)], 0),
    ],
)
def test_pf363_a_stray_dash(rules: list[NetworkPolicyRule], at: int, egress: bool) -> None:
    [note] = noted("PF363", *rules, egress=egress)
    field = "egress" if egress else "ingress"

    assert note.path == f"spec.{field}[{at}]"
    assert f"spec.{field}[{at + 1}]" in note.text


@pytest.mark.parametrize(
    "rules",
    [
        [rule(OPS, ports=[53]), rule(ports=[80])],
        [rule(OPS), rule(WEB, ports=[53])],
        [rule(OPS), rule(WEB, ports=[80]), rule(ports=[53])],
        [rule(OPS), rule()],
        [rule(OPS), rule(NARROW)],
        [rule(NARROW, WIDE), rule(ports=[53, "53/UDP"])],
        [rule(ports=[53]), rule(ports=["sql"])],
    ],
)
def test_no_pf363(rules: list[NetworkPolicyRule]) -> None:
    assert noted("PF363", *rules) == []


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        (
            pod("mon/agent", {"app": "agent"}, finished=True),
            "mon/agent would match by its labels, but it is finished",
        ),
    ],
)
def test_pf307_names_pods_that_no_selector_finds(left_out: ClusterObject, reason: str) -> None:
    agents = peer(pods={"app": "agent"}, namespaces={"team": "ops"})
    value = policy("shop/p", {"app": "db"}, ingress=[rule(agents)])
    index = compile_cluster(Cluster.of([*PODS, left_out, value]))
    [note] = notes_for(index, value)

    assert note.code == "PF307"
    assert note.text.endswith(f": {reason}.")
