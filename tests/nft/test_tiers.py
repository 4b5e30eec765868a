"""Tiers in the ruleset: what is written, what a packet meets, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, TierRule
from podfence.nft.difference import diff
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.objects import DROP, RETURN, ChainVerdict, CtDirectionValue, VerdictKind
from podfence.nft.ruleset import Ruleset
from podfence.nft.trace import Packet, first_packet, reply_packet, trace, trace_packet
from podfence.nft.transaction import AddElements, DeleteElements
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.policy.flow import Flow
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    node,
    peer,
    pod,
    policy,
    rule,
)
from tests.nft.cases import DB, DB_ALLOW, DENY_ALL, FLOOR, GUARD, JOB, NODE, PODS, WEB
from tests.nft.test_trace import flow

DENY, ACCEPT, PASS = (cluster_rule(action) for action in ("Deny", "Accept", "Pass"))


def ruleset_of(
    *objects: ClusterObject, names: DomainTable = NO_NAMES, node: LocalNode = NODE
) -> Ruleset:
    return lower(compile_cluster(Cluster.of((*PODS, *objects)), names), node)


def tier(name: str, *rules: TierRule) -> ClusterNetworkPolicy:
    """All pods' ingress, in the tier of this name."""
    return cluster_policy(name.lower(), tier=name, ingress=rules)


def rules_met(ruleset: Ruleset, asked: Flow) -> int:
    """Rules that a flow's first packet meets, at most."""
    return sum(step.rule + 1 for step in trace(ruleset, asked).steps)


# -- what passes


LADDER = [
    pytest.param(None, False, None, True, id="CNP-28 nothing"),
    pytest.param(DENY, False, None, False, id="CNP-11 Admin denies"),
    pytest.param(DENY, False, ACCEPT, False, id="CNP-1 Admin denies, Baseline accepts"),
    pytest.param(ACCEPT, True, None, True, id="CNP-10 Admin accepts what isolation denies"),
    pytest.param(ACCEPT, False, DENY, True, id="CNP-10 Admin accepts what Baseline denies"),
    pytest.param(PASS, True, None, False, id="CNP-12 Admin passes, isolation denies"),
    pytest.param(PASS, False, DENY, False, id="CNP-12 Admin passes, Baseline denies"),
    pytest.param(PASS, True, ACCEPT, False, id="CNP-13 isolation is final"),
    pytest.param(None, False, DENY, False, id="CNP-3 Baseline alone denies"),
    pytest.param(None, False, PASS, True, id="CNP-12 Baseline passes"),
]


@pytest.mark.parametrize(("admin", "isolated", "baseline", "passes"), LADDER)
def test_ladder(
    admin: TierRule | None, isolated: bool, baseline: TierRule | None, passes: bool
) -> None:
    found: list[ClusterObject] = [DENY_ALL_INGRESS] if isolated else []
    found += [tier("Admin", admin)] if admin else []
    found += [tier("Baseline", baseline)] if baseline else []
    ruleset = ruleset_of(*found)
    for text in ("web -> db TCP/80", "web6 -> db6 ICMP"):
        assert trace(ruleset, flow(text)).accepted is passes
        assert trace(ruleset, flow(text), reply=True).accepted is passes


DENY_ALL_INGRESS = policy("shop/closed", {}, types=["Ingress"])
CLOSED_TO_UNKNOWN = cluster_policy(
    "newer", ingress=[cluster_rule("Pass", cluster_peer())], egress=[cluster_rule("Pass")]
)
EVERYWHERE = cluster_peer(networks=["0.0.0.0/0", "::/0"])
NOWHERE = cluster_policy("nowhere", egress=[cluster_rule("Deny", EVERYWHERE)])
NOWHERE_V4 = cluster_policy(
    "nowhere", egress=[cluster_rule("Deny", cluster_peer(networks=["0.0.0.0/0"]))]
)
NO_TCP = cluster_policy(
    "no-tcp", egress=[cluster_rule("Deny", EVERYWHERE, protocols=["/TCP", "1-9/UDP"])]
)
PODS_ONLY = tier("Admin", cluster_rule("Deny", cluster_peer(namespaces={})))


@pytest.mark.parametrize(
    ("found", "text", "passes"),
    [
        pytest.param(CLOSED_TO_UNKNOWN, "web -> db TCP/1", False, id="CNP-25 pods"),
        pytest.param(CLOSED_TO_UNKNOWN, "outside -> db ICMP", False, id="CNP-25 outside, ICMP"),
        pytest.param(CLOSED_TO_UNKNOWN, "node -> db TCP/1", True, id="CNP-25 from the own node"),
        pytest.param(CLOSED_TO_UNKNOWN, "db -> node TCP/1", True, id="CNP-25 to the own node"),
        pytest.param(NOWHERE, "web -> db TCP/1", False, id="CNP-17 pods lie in networks"),
        pytest.param(NOWHERE, "web6 -> outside6 ICMP", False, id="CNP-17 ICMPv6 in ::/0"),
        pytest.param(NOWHERE, "web -> node TCP/1", False, id="CNP-29 to the own node"),
        pytest.param(NOWHERE, "outside -> web TCP/1", True, id="CNP-7 egress only"),
        pytest.param(NOWHERE_V4, "web6 -> db6 TCP/1", True, id="CNP-17 families do not mix"),
        pytest.param(NOWHERE_V4, "web -> db ICMP", False, id="CNP-17 ICMP in 0.0.0.0/0"),
        pytest.param(NO_TCP, "web -> db TCP/1", False, id="CNP-22 a protocol"),
        pytest.param(NO_TCP, "web -> db UDP/9", False, id="CNP-22 a range"),
        pytest.param(NO_TCP, "web -> db ICMP", True, id="CNP-21 protocols given: no ICMP"),
        pytest.param(PODS_ONLY, "outside -> db TCP/1", True, id="CNP-16 outside"),
        pytest.param(PODS_ONLY, "node -> db TCP/1", True, id="CNP-16 the node"),
        pytest.param(PODS_ONLY, "web -> db ICMP", False, id="CNP-21 every protocol"),
    ],
)
def test_flow(found: ClusterNetworkPolicy, text: str, passes: bool) -> None:
    ruleset = ruleset_of(found)
    assert trace(ruleset, flow(text), own_addresses=NODE.addresses).accepted is passes


def test_a_node_answers_its_pods_whatever_is_denied() -> None:
    """CNP-25, NP-52: what a pod replies to its node comes in by the input hook."""
    ruleset = ruleset_of(CLOSED_TO_UNKNOWN, NOWHERE)
    answer = Packet(
        DB.addresses[0],
        ip_address("172.18.0.2"),
        6,
        80,
        40000,
        direction=CtDirectionValue.REPLY,
    )
    assert trace_packet(ruleset, answer, NODE.addresses).accepted


@pytest.mark.parametrize(
    ("found", "passes"),
    [
        pytest.param([DENY_ALL], True, id="NP-55 isolation"),
        pytest.param([tier("Admin", DENY)], False, id="CNP-27 Admin denies"),
        pytest.param([tier("Admin", DENY), DENY_ALL], False, id="CNP-27 Admin, then isolation"),
        pytest.param([tier("Admin", PASS), DENY_ALL], True, id="NP-55 isolation after Admin"),
        pytest.param([tier("Admin", PASS), tier("Baseline", DENY)], False, id="CNP-27 Baseline"),
        pytest.param([tier("Baseline", DENY), DENY_ALL], True, id="CNP-13 Baseline not asked"),
        pytest.param([tier("Admin", ACCEPT), tier("Baseline", DENY)], True, id="CNP-10 accepted"),
        pytest.param([NOWHERE], False, id="CNP-27 egress"),
    ],
)
@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_a_pod_that_a_service_leads_back_to_itself(
    found: list[ClusterObject], passes: bool, family: int
) -> None:
    ruleset = ruleset_of(*found)
    to_itself = Flow(WEB.addresses[family], WEB.addresses[family], "TCP", 80)
    assert trace_packet(ruleset, first_packet(to_itself)).accepted is passes
    assert trace_packet(ruleset, reply_packet(to_itself)).accepted is passes
    assert trace(ruleset, to_itself).accepted  # its own address: no packet leaves the pod


def verdicts(ruleset: Ruleset) -> Iterator[ChainVerdict]:
    for chain in ruleset.chains.values():
        yield from (part for r in chain.rules for part in r.parts if isinstance(part, ChainVerdict))


def test_denied_packets_are_dropped_in_a_chain_that_names_the_tier() -> None:
    """CNP-11: there is no verdict that answers."""
    ruleset = ruleset_of(GUARD, DB_ALLOW)
    assert {v.kind for v in verdicts(ruleset)} == set(VerdictKind)
    denied = trace(ruleset, flow("job -> web TCP/1"))
    assert denied.steps[-1].verdict == DROP
    assert denied.steps[-1].chain.startswith("in_admin_")


# -- what is written


def named(ruleset: Ruleset, start: str) -> list[str]:
    return [name for name in ruleset.chains if name.startswith(start)]


def test_groups_share_the_chains_of_a_tier() -> None:
    alone = ruleset_of(tier("Admin", DENY))
    others = [
        policy(f"shop/{app}", {"app": app}, ingress=[rule(ports=[n])])
        for n, app in enumerate(("web", "db", "job"), start=1)
    ]
    many = ruleset_of(tier("Admin", DENY), *others)
    assert named(many, "in_admin_") == named(alone, "in_admin_")
    assert len(set(many.maps["in4"].elements.values())) == 3


def test_pass_goes_on_to_the_next_tier() -> None:
    """CNP-12."""
    ruleset = ruleset_of(tier("Admin", DENY), tier("Baseline", DENY))
    (group,) = set(ruleset.maps["in4"].elements.values())
    first, last = ruleset.chains[group.chain].rules
    assert [
        part.kind for r in (first, last) for part in r.parts if isinstance(part, ChainVerdict)
    ] == [
        VerdictKind.JUMP,
        VerdictKind.GOTO,
    ]
    assert "in_admin_" in repr(first)
    assert "in_baseline_" in repr(last)


def test_comments_tell_tier_and_action() -> None:
    ruleset = ruleset_of(GUARD, FLOOR, DB_ALLOW)
    comments = {c.comment for c in ruleset.chains.values()}
    assert "ingress denied by Admin guard" in comments
    assert "ingress accepted by Admin guard" in comments
    assert "ingress Admin guard NetworkPolicy shop/db-allow" in comments
    assert "ingress Admin guard Baseline floor" in comments
    rules = {r.comment for c in ruleset.chains.values() for r in c.rules}
    assert "deny guard ingress[1].from[0]" in rules
    assert "pass guard ingress[0].from[0]" in rules
    assert "accept guard egress[1].to[0]" in rules


@pytest.mark.parametrize(
    "found",
    [
        pytest.param([tier("Admin", PASS)], id="passes"),
        pytest.param([tier("Admin", ACCEPT)], id="accepts what nobody denies"),
        pytest.param([tier("Admin", PASS), tier("Baseline", ACCEPT)], id="both"),
        pytest.param([tier("Baseline", DENY, PASS), DENY_ALL_INGRESS], id="behind isolation"),
    ],
)
def test_tiers_that_change_nothing_are_not_written(found: list[ClusterObject]) -> None:
    without = [item for item in found if not isinstance(item, ClusterNetworkPolicy)]
    written = ruleset_of(*found).chains.values()
    plain = ruleset_of(*without).chains.values()
    assert [len(c.rules) for c in written] == [len(c.rules) for c in plain]


def test_pods_that_no_tier_selects_pay_nothing() -> None:
    selective = cluster_policy(
        "db", pods={"app": "db"}, ingress=[DENY], egress=[cluster_rule("Deny", EVERYWHERE)]
    )
    before, after = ruleset_of(), ruleset_of(selective)
    assert after.maps["in4"].elements[int(WEB.addresses[0]),] == RETURN
    assert after.maps["eg4_r"].elements[int(JOB.addresses[0]),] == RETURN
    texts = ("web -> job TCP/80", "outside6 -> web6 UDP/53", "web -> outside ICMP")
    for asked in map(flow, texts):
        for reply in (False, True):
            expected = trace(before, asked, reply=reply)
            assert trace(after, asked, reply=reply) == expected


# -- domain names and nodes


NAMED = cluster_policy(
    "named",
    egress=[
        cluster_rule("Accept", cluster_peer(domain_names=["*.example.org"], nodes=None)),
        cluster_rule("Accept", cluster_peer(nodes={})),
        cluster_rule("Deny", EVERYWHERE),
    ],
)
OUTSIDE = ip_address("192.0.2.1")
RESOLVED: DomainTable = {
    "a.example.org": frozenset({OUTSIDE, ip_address("192.0.2.2"), ip_address("2001:db8::1")}),
    "b.example.org": frozenset({DB.addresses[0]}),
}


@pytest.mark.parametrize("isolated", [False, True])
def test_names_that_get_addresses_change_elements_only(isolated: bool) -> None:
    """CNP-19."""
    others = [DENY_ALL] if isolated else []
    before, after = (ruleset_of(NAMED, *others, names=n) for n in (NO_NAMES, RESOLVED))
    changes = list(diff(before, after))
    assert [type(op) for op in changes] == [AddElements, AddElements]
    assert {type(op) for op in diff(after, before)} == {DeleteElements}
    said = [n for n, s in before.sets.items() if "example.org" in s.comment]
    assert said
    assert said == [n for n, s in after.sets.items() if "example.org" in s.comment]
    assert not trace(before, flow("web -> outside TCP/443")).accepted
    assert trace(after, flow("web -> outside TCP/443")).accepted


def test_a_node_that_comes_changes_elements_only() -> None:
    """CNP-18."""
    before, after = ruleset_of(NAMED), ruleset_of(NAMED, node("n9", "172.18.0.9"))
    assert {type(op) for op in diff(before, after)} == {AddElements}


def test_many_names_of_one_port_are_one_set() -> None:
    rules = [
        cluster_rule("Accept", cluster_peer(domain_names=[f"n{n}.test"]), protocols=["443/TCP"])
        for n in range(20)
    ]
    closed = cluster_policy("names", egress=[*rules, cluster_rule("Deny", EVERYWHERE)])
    names: DomainTable = {"n7.test": frozenset({OUTSIDE}), "n8.test": frozenset({OUTSIDE})}
    before, after = ruleset_of(closed, DENY_ALL), ruleset_of(closed, DENY_ALL, names=names)
    assert {type(op) for op in diff(before, after)} == {AddElements}
    assert trace(ruleset_of(closed, names=names), flow("web -> outside TCP/443")).accepted


# -- what it costs


def crowd(*, last_of_all_ports: bool, pods: int = 60) -> list[ClusterObject]:
    """50 policies of 25 rules, all actions in turn, a port each; or every last rule any port."""
    found: list[ClusterObject] = [
        pod(f"shop/p{n}", {"n": str(n % 20)}, addresses=[f"10.1.0.{100 + n}"]) for n in range(pods)
    ]
    for number in range(50):
        rules = [
            cluster_rule(
                ("Deny", "Accept", "Pass")[(number + at) % 3],
                cluster_peer(pods={"n": str(at % 20)}),
                protocols=[] if at == 24 and last_of_all_ports else [f"{number * 25 + at + 1}/TCP"],
            )
            for at in range(25)
        ]
        found.append(cluster_policy(f"c{number:02}", priority=number, ingress=rules))
    return found


@pytest.mark.parametrize(
    ("last_of_all_ports", "most_rules", "most_met"),
    [pytest.param(False, 5_500, 40, id="a port each"), pytest.param(True, 26_000, 250, id="mixed")],
)
def test_a_packet_meets_the_rules_of_its_port(
    last_of_all_ports: bool, most_rules: int, most_met: int
) -> None:
    isolation = policy("shop/db", {"app": "db"}, ingress=[rule(peer(pods={}), ports=[80])])
    ruleset = ruleset_of(isolation, *crowd(last_of_all_ports=last_of_all_ports))
    assert sum(len(chain.rules) for chain in ruleset.chains.values()) < most_rules
    for port in (80, 443, 1000, 1223, 9999):
        for source in ("10.1.0.100", "10.1.0.119", "10.1.0.1"):
            asked = Flow(ip_address(source), DB.addresses[0], "TCP", port)
            assert rules_met(ruleset, asked) < most_met


def test_more_groups_cost_their_own_rules_only() -> None:
    def size(groups: int) -> int:
        isolated = [policy(f"shop/g{n}", {"n": str(n)}, types=["Ingress"]) for n in range(groups)]
        ruleset = ruleset_of(*crowd(last_of_all_ports=False), *isolated)
        return sum(len(chain.rules) for chain in ruleset.chains.values())

    assert size(20) - size(10) < 10 * 15


def test_the_names_of_a_tier_stay_when_pods_come() -> None:
    new = replace(WEB, name="more", addresses=(ip_address("10.1.0.9"),))
    before, after = ruleset_of(GUARD, FLOOR), ruleset_of(GUARD, FLOOR, new)
    assert after.chains == before.chains
