"""What agents count, as a page gets it."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.agent.fleet import NodeReply
from podfence.agent.nodereport import ConditionReport, NodeReport, PacketTally, PendingPod
from podfence.render import counters
from podfence.render.counters import page_data
from podfence.usage.record import NodeUsage, PolicyUse, RuleUse

POLICY, CLOSED = PacketTally("ingress", "policy", 7, 420), PacketTally("any", "closed", 1, 60)
WELL = NodeReport("n2", in_sync=True, uptime=7300.0, epoch=3, pods=5, lag=12.0, denied=(POLICY,))
ILL = NodeReport(
    "n1",
    in_sync=True,
    pods=2,
    pending=(PendingPod("shop/new", 5.0),),
    conditions=(ConditionReport("KernelRefused", "i_1", "no", 130.0, ("shop/a",)),),
    denied=(CLOSED, POLICY),
)


def told(*reports: NodeReport) -> list[NodeReply[NodeReport]]:
    return [NodeReply(each.node, each) for each in reports]


def data(*nodes: NodeReply[NodeReport]) -> Any:
    return page_data(nodes)


def test_who_is_not_well_comes_first_and_says_why() -> None:
    found = data(*told(WELL, ILL), NodeReply("n3", None, "no agent runs there"))
    assert [(each["node"], each["well"]) for each in found["counters"]] == [
        ("n1", False),
        ("n3", False),
        ("n2", True),
    ]
    assert found["notes"] == [
        "n1: without address, so closed: shop/new for 5s",
        "n1: KernelRefused i_1 for 2m: no",
        "n3: no agent runs there",
    ]


def test_a_line_holds_how_a_node_stands() -> None:
    (line,) = data(*told(WELL))["counters"]
    assert line == {
        "node": "n2",
        "standing": "in sync",
        "well": True,
        "for": "2h",
        "epoch": 3,
        "pods": 5,
        "pending": 0,
        "closed": 0,
        "lag": "12s",
        "denied": [{"direction": "ingress", "reason": "policy", "packets": 7, "bytes": 420}],
    }


@pytest.mark.parametrize(
    ("report", "standing"),
    [
        (NodeReport("n", in_sync=False), "not in sync"),
        (NodeReport("n", in_sync=True, alive=False), "hangs"),
        (NodeReport("n", in_sync=True), "in sync"),
    ],
)
def test_how_a_node_stands_is_one_word(report: NodeReport, standing: str) -> None:
    assert data(*told(report))["counters"][0]["standing"] == standing


def test_a_sum_is_over_the_nodes_that_tell() -> None:
    found = data(*told(WELL, ILL), NodeReply("n3", None, "away"))
    assert found["total"] == [
        {"direction": "any", "reason": "closed", "packets": 1, "bytes": 60},
        {"direction": "ingress", "reason": "policy", "packets": 14, "bytes": 840},
    ]


def test_an_agent_that_counts_nothing_is_no_agent_that_counted_none() -> None:
    found = data(*told(WELL, NodeReport("n1", in_sync=True)))
    assert [each["denied"] is None for each in found["counters"]] == [True, False]
    assert found["notes"] == ["1 of 2 agents are older and report no counters"]


def test_where_nobody_tells_it_is_said_why() -> None:
    found = data(NodeReply("n1", None, "no agent runs there"))
    assert found["absent"] == "No agent of the cluster reports its state."
    assert found["notes"] == ["n1: no agent runs there"]
    assert page_data(())["absent"]


def test_rules_are_those_of_all_nodes_and_what_is_not_counted_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = (RuleUse("spec.ingress[0]", 4, "2026-01-01T10:00:00.1Z"), RuleUse("spec.ingress[1]"))
    policy = PolicyUse("NetworkPolicy", "shop/db", "u", 1, "2026-01-01T08:00:00.1Z", rules)
    counted = [NodeReply(n, NodeUsage(n, policy.since, policies=(policy,))) for n in ("n1", "n2")]
    asked = [*counted, NodeReply[NodeUsage]("n3", None, "away")]
    found: Any = page_data(told(WELL), asked)
    assert found["rules"][0] == {
        "policy": "shop/db",
        "path": "spec.ingress[0]",
        "uses": 8,
        "last": "2026-01-01T10:00:00Z",
        "since": "2026-01-01T08:00:00Z",
    }
    assert (found["rules"][1]["uses"], found["rules"][1]["last"]) == (0, "")
    assert found["missing"] == ["node n3: away"]
    monkeypatch.setattr(counters, "MOST_RULES", 1)
    found = page_data(told(WELL), counted)
    assert (len(found["rules"]), found["missing"]) == (1, ["1 more rules: podfence rules"])


def test_a_page_holds_so_many_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MOST", 2)
    found = data(*told(*[NodeReport(f"n{n}", in_sync=True, denied=(POLICY,)) for n in range(5)]))
    assert (len(found["counters"]), found["notes"]) == (2, ["3 more nodes: podfence status"])
    assert found["total"][0]["packets"] == 35


HOSTILE = "a\x1b[31m\nb\u202e"


def test_words_are_harmless() -> None:
    report = NodeReport(HOSTILE, denied=(PacketTally(HOSTILE, HOSTILE, 1, 1),))
    policy = PolicyUse(HOSTILE, HOSTILE, HOSTILE, 1, HOSTILE, (RuleUse(HOSTILE, 1, HOSTILE),))
    rules = [NodeReply(HOSTILE, NodeUsage(HOSTILE, HOSTILE, cut=1, policies=(policy,)))]
    found = page_data([NodeReply(HOSTILE, report), NodeReply(HOSTILE, None, HOSTILE)], rules)
    assert not set(str(found)) & {"\x1b", "\n", "\u202e"}
