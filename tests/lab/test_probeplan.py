"""Who takes part in a lab, and which probes are sent between them."""

from __future__ import annotations

from collections import Counter

import pytest

from podfence.lab.testbed.probeplan import PartyKind, PlanLimits, ProbePlan, make_plan, spread
from podfence.model.objects import Pod
from podfence.sets.ports import OTHER
from podfence.testing.builders import node, peer, pod, policy, rule
from tests.lab.clusters import SHOP, plan_of, scheduled

MANY = [pod(f"a/{app}{n}", {"app": app}) for app in ("x", "y") for n in range(20)]


def names(plan: ProbePlan, side: PartyKind) -> list[str]:
    return [party.name for party in plan.parties if party.side is side]


def test_every_pod_the_node_and_every_kind_of_outside_address_take_part() -> None:
    plan = plan_of(*SHOP)
    assert names(plan, PartyKind.POD) == ["shop/web", "shop/db", "other/job"]
    assert names(plan, PartyKind.NODE) == ["lab-node"]
    assert sorted(names(plan, PartyKind.OUTSIDE)) == [
        "198.51.100.10",
        "2001:db8::10",
        "203.0.113.10",
    ]


def test_every_ordered_pair_with_a_pod_on_every_port_by_both_protocols() -> None:
    plan = plan_of(*SHOP)
    pairs_v4 = 3 * 3 + 2 * 3 * 3  # among pods; with the node and two outside addresses
    pairs_v6 = 3 * 3 + 2 * 3 * 2
    counted = Counter((probe.family, probe.protocol, probe.port) for probe in plan.probes)
    both = [("TCP", port) for port in plan.ports] + [("UDP", port) for port in plan.ports]
    assert set(counted) == {(f, *ask) for f in (4, 6) for ask in (*both, (OTHER, 0))}
    assert {counted[key] for key in counted if key[0] == 4} == {pairs_v4}
    assert {counted[key] for key in counted if key[0] == 6} == {pairs_v6}


def test_two_ends_that_are_no_pods_are_never_probed() -> None:
    plan = plan_of(*SHOP)
    sides = {(plan.parties[p.source].side, plan.parties[p.target].side) for p in plan.probes}
    ends = (PartyKind.POD, PartyKind.NODE, PartyKind.OUTSIDE)  # a Service is no party of a plan
    assert sides == {(a, b) for a in ends for b in ends if PartyKind.POD in (a, b)}


def test_only_families_that_both_ends_speak() -> None:
    four, six = pod("a/four", addresses=["10.0.0.1"]), pod("a/six", addresses=["fd00::1"])
    plan = plan_of(four, six)
    assert {probe.family for probe in plan.probes} == {4, 6}
    for probe in plan.probes:
        ends = (plan.parties[probe.source], plan.parties[probe.target])
        assert all(probe.family in end.families for end in ends)


def test_families_of_the_machine_alone() -> None:
    plan = make_plan(scheduled(*SHOP), families=(4,))
    assert {probe.family for probe in plan.probes} == {4}
    assert all(a.version == 4 for party in plan.parties for a in party.addresses)


@pytest.mark.parametrize(
    "absent",
    [
        pytest.param(
            pod("a/p", addresses=["10.0.0.9"], host_network=True), id="NP-50-host-network"
        ),
        pytest.param(pod("a/p", addresses=["10.0.0.9"], finished=True), id="NP-60-finished"),
        pytest.param(pod("a/p", has_status=True), id="NP-58-no-address"),
        pytest.param(pod("a/p", addresses=["127.0.0.1"]), id="unusable-address"),
    ],
)
def test_pods_that_take_no_part(absent: Pod) -> None:
    plan = plan_of(pod("a/other", addresses=["10.0.0.1"]), absent)
    assert names(plan, PartyKind.POD) == ["a/other"]


@pytest.mark.parametrize(
    ("pods", "note"),
    [
        pytest.param(
            [pod("a/p", addresses=["127.0.0.1"])],
            "not probed, with no address that an interface can have: a/p",
            id="unusable",
        ),
        pytest.param(
            [pod("a/p", has_status=True)],
            "not probed, with no address of their own: a/p",
            id="NP-58",
        ),
        pytest.param(
            [pod("a/p", addresses=["10.0.0.1"])],
            "not probed, with no address of their own: a/p",
            id="twice",
        ),
        pytest.param(
            [pod(f"a/p{n}", has_status=True) for n in range(9)],
            "not probed, with no address of their own: a/p0, a/p1, a/p2 and 6 more",
            id="many",
        ),
    ],
)
def test_pods_that_take_no_part_are_named(pods: list[Pod], note: str) -> None:
    plan = plan_of(pod("a/other", addresses=["10.0.0.1"]), *pods)
    assert plan.notes == (note,)


def test_outside_addresses_are_never_those_of_pods_or_nodes() -> None:
    block = policy("a/p", ingress=[rule(peer(cidr="203.0.113.8/29"))])
    pods = [pod("a/p", addresses=["203.0.113.10"])]
    plan = plan_of(block, *pods, node("n1", "203.0.113.8", "203.0.113.9"))
    assert "203.0.113.11" in names(plan, PartyKind.OUTSIDE)


def test_node_is_probed_at_one_address_a_family_and_has_them_all() -> None:
    plan = plan_of(pod("a/p"), node("n1", "10.9.0.1", "10.9.0.2", "fd00:9::1"))
    party = next(party for party in plan.parties if party.side is PartyKind.NODE)
    assert [str(address) for address in party.addresses] == ["10.9.0.1", "fd00:9::1"]
    assert len(plan.nodes[0].addresses) == 3


def test_np40_sctp_is_probed_on_the_ports_that_are_named_for_it() -> None:
    allow = policy("a/p", ingress=[rule(ports=["3868/SCTP"])])
    plan = plan_of(pod("a/p", addresses=["10.0.0.1"]), allow)
    sctp = [probe for probe in plan.probes if probe.protocol == "SCTP"]
    assert {probe.port for probe in sctp} == {3868}
    assert len(sctp) == 1 + 2 + 2  # itself, node and outside both ways


def test_np39_an_echo_stands_for_protocols_without_ports() -> None:
    plan = plan_of(pod("a/p", addresses=["10.0.0.1"]))
    echoes = [probe for probe in plan.probes if probe.protocol == OTHER]
    assert {probe.port for probe in echoes} == {0}
    assert len(echoes) == 1 + 2 + 2


def test_beyond_the_limit_as_many_of_each_class_as_fit_take_part() -> None:
    allow = policy("a/p", {"app": "x"}, ingress=[rule(peer(pods={"app": "y"}))])
    plan = make_plan(scheduled(*MANY, allow), PlanLimits(probes=750))
    names_of = names(plan, PartyKind.POD)
    assert names_of == [*(f"a/x{n}" for n in range(5)), *(f"a/y{n}" for n in range(4))]
    assert len(plan.probes) <= 750
    assert "9 of 40 pods are probed" in plan.notes[1]


def test_at_the_limit_pairs_are_probed_on_the_ports_that_concern_them() -> None:
    pods = [pod(f"a/{app}", {"app": app}, ports=[f":{port}"]) for app, port in (("x", 1), ("y", 2))]
    allow = policy("a/p", {"app": "x"}, ingress=[rule(ports=["70-79"])])
    index = scheduled(*pods, allow)
    whole = make_plan(index)
    plan = make_plan(index, PlanLimits(probes=len(whole.probes) - 1))
    assert whole.ports == plan.ports == (1, 2, 69, 70, 79, 80, 7777)
    assert ports_between(plan, "a/y", "a/x") == {1, 69, 70, 79, 80, 7777}
    assert ports_between(plan, "a/x", "a/y") == {2, 7777}
    assert ports_between(plan, "a/x", "lab-node") == {7777}
    assert names(plan, PartyKind.POD) == ["a/x", "a/y"]


def test_egress_rules_of_the_source_concern_a_pair() -> None:
    pods = [pod("a/x", {"app": "x"}), pod("a/y", {"app": "y"})]
    allow = policy("a/p", {"app": "x"}, egress=[rule(ports=[70, "9/UDP"])], types=["Egress"])
    plan = make_plan(scheduled(*pods, allow), PlanLimits(probes=120))
    assert ports_between(plan, "a/x", "a/y") == {9, 70, 7777}
    assert ports_between(plan, "a/y", "a/x") == {7777}


def ports_between(plan: ProbePlan, source: str, target: str) -> set[int]:
    named = {party.name: at for at, party in enumerate(plan.parties)}
    ends = (named[source], named[target])
    probes = (p for p in plan.probes if (p.source, p.target) == ends)
    return {probe.port for probe in probes if probe.protocol != OTHER}


def test_far_beyond_the_limit_fewer_pods_take_part() -> None:
    pods = [pod(f"a/p{n}", {"app": str(n)}) for n in range(40)]
    plan = make_plan(scheduled(*pods), PlanLimits(probes=200))
    assert 0 < len(plan.probes) <= 200
    assert len(names(plan, PartyKind.POD)) < 40


def test_limit_of_outside_addresses() -> None:
    blocks = [peer(cidr=f"198.18.{n}.0/24") for n in range(20)]
    index = scheduled(pod("a/p"), policy("a/p", ingress=[rule(each) for each in blocks]))
    plan = make_plan(index, PlanLimits(outside=5))
    assert len(names(plan, PartyKind.OUTSIDE)) == 5
    assert plan.notes == ("only 5 of 22 kinds of outside addresses are probed",)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(10, [0, 1, 2, 3, 4, 5]), (6, [0, 1, 2, 3, 4, 5]), (3, [0, 2, 4]), (1, [0]), (0, [])],
)
def test_spread(count: int, expected: list[int]) -> None:
    assert spread(range(6), count) == expected


def test_the_same_input_gives_the_same_plan() -> None:
    assert plan_of(*SHOP) == plan_of(*SHOP)
