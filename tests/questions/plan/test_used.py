"""What of the traffic that was seen a change cuts, and lets through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from itertools import product
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.engine.evaluate import Evaluator
from podfence.flows.seen import EndKind, RecordedEnd, RecordedFlow, RecordedVerdict
from podfence.model.cluster import Cluster
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyRule,
    PolicyType,
)
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow as Attempt
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.gate import FailOn
from podfence.questions.plan.plan import Plan, plan
from podfence.questions.plan.used import ChangedUse, TrafficImpact
from podfence.questions.suggest.evidence import ObservedConnection
from podfence.questions.suggest.resolver import KnownEnd
from podfence.questions.suggest.suggest import suggest, with_policies
from podfence.render.plan_used import used_words
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import OTHER
from podfence.testing.builders import namespace
from tests.questions.suggest.worlds import DB, closed, cluster, flow, running
from tests.support.laws import law
from tests.support.random_changes import random_change
from tests.support.random_clusters import FlowSource

WEB_TO_DB = flow("shop/web", "shop/db", count=12)
ALLOW_WEB = suggest(cluster(), [WEB_TO_DB]).after.cluster


def used(old: Cluster, new: Cluster, *flows: RecordedFlow) -> TrafficImpact:
    found = plan(old, new, flows=flows).used
    assert found is not None
    return found


def ways(uses: Sequence[ChangedUse]) -> list[tuple[str, str, int]]:
    return [
        (u.connection.source.name, u.connection.destination.name, u.connection.port) for u in uses
    ]


# -- what is said of one record


def test_what_passed_and_closes_is_cut_and_counted() -> None:
    found = used(cluster(), cluster(closed()), WEB_TO_DB)
    assert ways(found.cut) == [("shop/web", "shop/db", 5432)]
    assert (found.cut[0].connection.count, found.opened, found.kept) == (12, (), 0)


def test_what_passed_and_stays_open_is_kept() -> None:
    found = used(cluster(), ALLOW_WEB, WEB_TO_DB)
    assert (found.cut, found.opened, found.kept) == ((), (), 1)


def test_what_was_denied_and_opens_is_let_through() -> None:
    found = used(cluster(closed()), cluster(), replace(WEB_TO_DB, verdict=RecordedVerdict.DENIED))
    assert ways(found.opened) == [("shop/web", "shop/db", 5432)]
    assert found.opened[0].denied


def test_what_was_denied_and_closes_is_no_loss() -> None:
    """Something that plan does not see denied it: a policy of another API, say."""
    found = used(cluster(), cluster(closed()), replace(WEB_TO_DB, verdict=RecordedVerdict.DENIED))
    assert (found.cut, found.opened, found.refused) == ((), (), 1)


def test_what_passed_although_the_old_version_denies_it_is_let_through_by_the_new_one() -> None:
    """OLD of a working tree is not always what the cluster had."""
    found = used(cluster(closed()), cluster(), WEB_TO_DB)
    assert (ways(found.opened), found.opened[0].denied) == ([("shop/web", "shop/db", 5432)], False)


def test_another_port_than_the_one_that_closes_is_not_cut() -> None:
    found = used(cluster(), ALLOW_WEB, flow("shop/web", "shop/db", 9999), WEB_TO_DB)
    assert ways(found.cut) == [("shop/web", "shop/db", 9999)]


def test_addresses_outside_are_asked_one_by_one() -> None:
    near, far = "198.51.100.7", "203.0.113.9"
    block = NetworkPolicyPeer(ip_block=IPBlock(ip_network("198.51.100.0/24")))
    opened = replace(closed(), ingress=(NetworkPolicyRule(peers=(block,)),))
    found = used(cluster(), cluster(opened), flow(near, "shop/db"), flow(far, "shop/db"))
    assert (ways(found.cut), found.kept) == ([(far, "shop/db", 5432)], 1)


@pytest.mark.parametrize(("address", "cut"), [("10.244.1.7", 0), ("fd00::7", 1)])
def test_what_closes_over_the_other_ip_version_is_kept(address: str, cut: int) -> None:
    pods = (
        running("web-0", "web", {"app": "web"}, "10.244.1.7", "fd00::7"),
        running("db-0", "db", {"app": "db"}, "10.244.2.9", "fd00::9"),
    )
    old = Cluster.of([namespace("shop"), *pods])
    block = NetworkPolicyPeer(ip_block=IPBlock(ip_network("0.0.0.0/0")))
    only_v4 = replace(closed(), ingress=(NetworkPolicyRule(peers=(block,)),))
    seen = flow(address, "10.244.2.9" if cut == 0 else "fd00::9")
    found = used(old, with_policies(old, [only_v4]), seen)
    assert (len(found.cut), found.kept) == (cut, 1 - cut)


def test_a_workload_that_leaves_loses_nothing_that_anybody_misses() -> None:
    new = replace(cluster(closed()), pods=tuple(p for p in cluster().pods if p != DB))
    found = used(cluster(), new, WEB_TO_DB)
    assert ([(c.source.name, c.destination.name) for c in found.gone], found.cut) == (
        [("shop/web", "shop/db")],
        (),
    )


def test_dns_that_no_manifest_holds_is_cut_all_the_same() -> None:
    dns = replace(flow("shop/web", "x/y", 53, "UDP"),
                  destination=RecordedEnd("kube-system", workload="coredns"))  # fmt: skip
    egress = replace(closed(), policy_types=frozenset({PolicyType.EGRESS}))
    found = used(cluster(), cluster(egress), dns)
    assert ways(found.cut) == [("shop/web", "kube-system/coredns", 53)]
    assert [ref.name for ref in found.assumed] == ["coredns"]


@pytest.mark.parametrize("pod", ["coredns", "coredns-5d78c9869d-bcdfg"])
def test_dns_that_csv_names_is_cut_as_well(pod: str) -> None:
    egress = replace(closed(), policy_types=frozenset({PolicyType.EGRESS}))
    found = used(cluster(), cluster(egress), flow("shop/web", f"kube-system/{pod}", 53, "UDP"))
    assert ways(found.cut) == [("shop/web", "kube-system/coredns", 53)]


def test_a_pod_that_csv_names_and_that_is_gone_stands_for_its_workload() -> None:
    found = used(cluster(), cluster(closed()), flow("shop/web-9b649846d-zzzzz", "shop/db"))
    assert ways(found.cut) == [("shop/web", "shop/db", 5432)]


def test_what_both_versions_deny_is_not_told_as_if_it_stayed() -> None:
    found = used(cluster(closed()), cluster(closed()), WEB_TO_DB)
    assert (found.shut, found.kept, found.cut) == (1, 0, ())
    assert "1 that passed is denied by both" in used_words(found)


def test_what_has_no_ports_is_cut_as_well() -> None:
    found = used(cluster(), cluster(closed()), flow("shop/web", "shop/db", 0, OTHER))
    assert ways(found.cut) == [("shop/web", "shop/db", 0)]


# -- ends outside without an address


def only(*blocks: str) -> NetworkPolicy:
    """The policy that denies a namespace all but these addresses."""
    peers = tuple(NetworkPolicyPeer(ip_block=IPBlock(ip_network(each))) for each in blocks)
    return replace(closed(), ingress=(NetworkPolicyRule(peers=peers),))


NEAR, WIDER, EVERY = "198.51.100.0/24", "198.51.0.0/16", ("0.0.0.0/0", "::/0")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param((), (closed(),), "cut", id="every address closes"),
        pytest.param((only(NEAR),), (closed(),), "cut", id="all that passed closes"),
        pytest.param((), (only(*EVERY),), "kept", id="none closes"),
        pytest.param((only(NEAR),), (only(WIDER),), "kept", id="the rest could not pass"),
        pytest.param((), (only(NEAR),), "unjudged", id="the address decides"),
        pytest.param((closed(),), (), "opened", id="it opens"),
        pytest.param((closed(),), (only(NEAR),), "unjudged", id="it opens for some"),
        pytest.param((closed(),), (closed(),), "shut", id="both deny"),
    ],
)
@pytest.mark.parametrize(
    "outside",
    [RecordedEnd(word="outside"), RecordedEnd(sort=EndKind.OUTSIDE)],
    ids=["CSV", "too many"],
)
def test_an_end_without_an_address_is_judged_where_all_that_it_may_be_turn_alike(
    outside: RecordedEnd, old: tuple[NetworkPolicy, ...], new: tuple[NetworkPolicy, ...], said: str
) -> None:
    seen = replace(flow("x", "shop/db"), source=outside)
    found = used(cluster(*old), cluster(*new), seen)
    numbers = {
        "cut": len(found.cut),
        "opened": len(found.opened),
        "kept": found.kept,
        "shut": found.shut,
        "unjudged": found.unjudged,
    }
    assert {word for word, number in numbers.items() if number} == {said}


def test_a_way_out_to_wherever_is_cut_with_its_cause() -> None:
    egress = replace(closed(), policy_types=frozenset({PolicyType.EGRESS}))
    found = used(cluster(), cluster(egress), flow("shop/web", "outside", 443))
    assert ways(found.cut) == [("shop/web", "outside", 443)]
    assert len(found.cut[0].blames) == 1


def test_what_was_denied_from_wherever_is_no_loss() -> None:
    found = used(cluster(), cluster(closed()), flow("outside", "shop/db", denied=True))
    assert (found.cut, found.refused) == ((), 1)


def test_which_node_it_was_decides() -> None:
    """A node reaches its own pods in any case."""
    seen = replace(flow("x", "shop/db"), source=RecordedEnd(sort=EndKind.NODE))
    found = used(cluster(), cluster(closed()), seen)
    assert (found.cut, found.unjudged) == ((), 1)


# -- blame and gates


def test_the_blame_is_that_of_the_plan() -> None:
    found = plan(cluster(), cluster(closed()), flows=[WEB_TO_DB])
    assert found.used is not None
    (blame,) = found.used.cut[0].blames
    assert [found.edits[number].ref for number in blame.edits] == [
        ObjectRef("NetworkPolicy", "shop", "default-deny")
    ]
    assert blame.proved


@pytest.mark.parametrize(
    ("new", "flows", "shut"),
    [
        (cluster(closed()), [WEB_TO_DB], True),
        (cluster(closed()), [flow("shop/web", "monitoring/prometheus")], False),
        (cluster(closed()), None, False),
        (cluster(), [WEB_TO_DB], False),
    ],
)
def test_the_gate_is_shut_for_what_is_in_use(
    new: Cluster, flows: list[RecordedFlow] | None, shut: bool
) -> None:
    found: Plan = plan(cluster(), new, flows=flows)
    assert found.fails(FailOn.USED) is shut


def test_without_flows_nothing_is_said_of_them() -> None:
    assert plan(cluster(), cluster(closed())).used is None


# -- laws


def _seen(seed: int) -> tuple[Cluster, Cluster, list[RecordedFlow], Plan]:
    rng = Random(seed)
    old, new = random_change(rng, 1 + seed % 3)
    source = FlowSource(old)
    drawn = [each for each in (source.draw(rng) for _ in range(25)) if each.port]
    flows = [
        RecordedFlow(
            RecordedEnd(address=str(each.source)),
            RecordedEnd(address=str(each.destination)),
            each.protocol,
            each.port,
            RecordedVerdict.ALLOWED,
            1,
            "",
            "",
        )
        for each in drawn
    ]  # fmt: skip
    return old, new, flows, plan(old, new, newcomers=False, flows=flows)


def _turned(
    each: ObservedConnection, before: PolicyIndex, after: PolicyIndex, *, closes: bool
) -> Iterator[tuple[IPAddress, IPAddress]]:
    """Pairs of addresses of both ends for which the verdict turns."""
    judges = Evaluator(before), Evaluator(after)
    families = each.families or {4, 6}
    for near, far in product(_addresses(each.source, before, after),
                             _addresses(each.destination, before, after)):  # fmt: skip
        if near[0] == far[0] != "" or near[1].version != far[1].version:
            continue
        if near[1].version not in families:
            continue
        attempt = Attempt(near[1], far[1], each.protocol, each.port)
        was, now = (judge.verdict(attempt).allowed for judge in judges)
        if (was, now) == (closes, not closes):
            yield near[1], far[1]


def _addresses(
    party: KnownEnd, before: PolicyIndex, after: PolicyIndex
) -> list[tuple[str, IPAddress]]:
    if party.workload is None:
        return [("", party.address)] if party.address is not None else []
    return [
        (name, address)
        for name, endpoint in before.endpoints.items()
        if (endpoint.pod.owner or endpoint.pod.ref) == party.workload and name in after.endpoints
        for address in endpoint.addresses
        if address in after.endpoints[name].addresses
    ]


def _numbers() -> range:
    return range(60)


@law(st.integers(0, 2**32), _numbers)
@settings(max_examples=30)
def test_what_is_cut_and_let_through_really_turns(seed: int) -> None:
    old, new, _, found = _seen(seed)
    assert found.used is not None
    before, after = compile_cluster(old), compile_cluster(new)
    for use in found.used.cut:
        assert any(True for _ in _turned(use.connection, before, after, closes=True)), use
    for use in found.used.opened:
        assert any(True for _ in _turned(use.connection, before, after, closes=False)), use


@law(st.integers(0, 2**32), _numbers)
@settings(max_examples=30)
def test_nothing_that_turns_is_left_out(seed: int) -> None:
    old, new, _, found = _seen(seed)
    assert found.used is not None
    before, after = compile_cluster(old), compile_cluster(new)
    cut = {use.connection for use in found.used.cut}
    for each in found.used.evidence.seen:
        if each not in cut and each not in found.used.gone:
            assert not list(_turned(each, before, after, closes=True)), each
