"""Audited policies in the kernel form: nothing is dropped, and what would be is logged."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from podfence.nft.lowering.deny import Denier, LogPrefix, denied_in, logged
from podfence.nft.lowering.dispatch import AUDIT_MAPS
from podfence.nft.lowering.lower import LocalNode, deniers, lower
from podfence.nft.lowering.tightening import Tightening, tightening
from podfence.nft.objects import ACCEPT, DROP, Log
from podfence.nft.ruleset import Ruleset
from podfence.nft.trace import trace
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction, Flow
from podfence.testing.builders import cluster_peer, cluster_policy, cluster_rule
from tests.nft.cases import DB_ALLOW, NODE, index_of
from tests.support.audits import audited_cluster, enforced, flows_of, with_audited
from tests.support.random_clusters import TIERS, Size
from tests.support.random_tiers import NAMES

SIZES = (Size(pods=8, policies=6), TIERS)
AUDITED = replace(DB_ALLOW, audited=True)
GUARD = cluster_policy(
    "guard", pods={"app": "db"}, ingress=[cluster_rule("Deny", cluster_peer(pods={"app": "web"}))]
)


def said(ruleset: Ruleset, flow: Flow, *, reply: bool) -> tuple[bool, LogPrefix | None]:
    """Whether a packet passes, and what is logged of it."""
    outcome = trace(ruleset, flow, reply=reply)
    rules = ruleset.chains[outcome.steps[-1].chain].rules if outcome.steps else ()
    found = [part.prefix for rule in rules for part in rule.parts if isinstance(part, Log)]
    return outcome.accepted, logged(found[0]) if found else None


@pytest.mark.law
def test_nothing_is_dropped_and_what_would_be_is_logged() -> None:
    """Single node: both directions are asked, in the order of the hooks."""
    node, reports = LocalNode("n1"), dict.fromkeys(Direction, 0)
    for seed in range(40):
        rng = Random(seed)
        cluster = audited_cluster(rng, SIZES[seed % 2])
        index = compile_cluster(cluster, NAMES)
        ruleset, known = lower(index, node), deniers(index, node)
        for flow in flows_of(rng, cluster, 60):
            nodes = index.by_node_address
            if flow.source == flow.destination or {flow.source, flow.destination} & nodes.keys():
                continue
            holds, would = enforced(cluster, flow), with_audited(cluster, flow)
            for reply in (False, True):
                passes, message = said(ruleset, flow, reply=reply)
                assert passes is holds.allowed, (seed, flow, reply)
                if not holds.allowed:
                    continue
                assert (message is None) is would.allowed, (seed, flow, reply)
                if message is not None:
                    direction = Direction.INGRESS if would.egress_allowed else Direction.EGRESS
                    assert denied_in(message.denier) == Denier(direction, "audit")
                    assert message.is_reply is reply
                    assert message.denier in known
                    reports[direction] += 1
    assert min(reports.values()) > 20, reports


def test_a_node_without_audited_pods_holds_nothing_of_audits() -> None:
    far = replace(AUDITED, ref=replace(AUDITED.ref, namespace="elsewhere"))
    without, beside = (lower(index_of(*found), NODE) for found in ([], [far]))
    assert without == beside
    assert not {*AUDIT_MAPS} & without.maps.keys()
    assert not [name for name in without.chains if name.startswith("audit_")]


def test_pods_that_nothing_audits_have_no_element() -> None:
    ruleset = lower(index_of(AUDITED), NODE)
    enforced_too = lower(index_of(DB_ALLOW), NODE)
    pods = {k for k, v in enforced_too.maps["in4"].elements.items() if v.chain}
    assert set(ruleset.maps["audit_in4"].elements) == pods
    assert not ruleset.maps["audit_eg4"].elements
    assert not any(verdict.chain for verdict in ruleset.maps["in4"].elements.values())


def test_chains_of_an_audit_never_drop_and_others_never_lead_there() -> None:
    ruleset = lower(index_of(DB_ALLOW, replace(GUARD, audited=True)), NODE)
    for name, chain in ruleset.chains.items():
        ends = [part for rule in chain.rules for part in rule.parts]
        targets = {str(getattr(part, "chain", "")) for part in ends}
        leads = {target for target in targets if target.startswith("audit_")}
        if name.startswith("audit_"):
            assert DROP not in ends
        else:
            assert not leads or name in ("forward_unjudged", "reply", "input_unjudged")
    assert any(
        ACCEPT in rule.parts for n, c in ruleset.chains.items() if "audit_" in n for rule in c.rules
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [AUDITED], Tightening.NOW),
        ([GUARD], [GUARD, AUDITED], Tightening.NOW),
        ([replace(GUARD, audited=True)], [replace(GUARD, audited=True), AUDITED], Tightening.NOW),
        ([replace(GUARD, audited=True), AUDITED], [AUDITED], Tightening.NO),
        ([AUDITED], [AUDITED], Tightening.NO),
        ([AUDITED], [DB_ALLOW], Tightening.NOW),
    ],
)
def test_connections_that_live_are_asked_when_an_audit_begins_or_takes_more(
    before: list[object], after: list[object], expected: Tightening
) -> None:
    old, new = (lower(index_of(*found), NODE) for found in (before, after))  # type: ignore[arg-type]
    assert tightening(old, new) is expected
