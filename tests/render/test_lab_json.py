"""What the lab answers as JSON is valid for its schemas, whatever the lab saw."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random

import pytest

from podfence.errors import Position, Source
from podfence.lab.replies import (
    ApplyReply,
    NodeState,
    NotSent,
    RulePositions,
    StatusReply,
    WhyReply,
)
from podfence.lab.testbed.compare import Observed, expect
from podfence.lab.testbed.livetraffic import TrafficLosses
from podfence.lab.testbed.probeplan import PartyKind
from podfence.lab.testbed.probes import ProbeOutcome
from podfence.lab.testbed.report import HeldPort, LabReport, SentProbe, Timings
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.diff import changed_verdicts
from podfence.questions.why import why
from podfence.render.jsontext import json_text
from podfence.render.lab_json import (
    applied_data,
    down_data,
    explained_data,
    list_data,
    report_data,
    stated_data,
)
from tests.cli.schema import violations
from tests.cli.session import ROOT
from tests.lab.clusters import SHOP, plan_of, scheduled

PLAN = plan_of(*SHOP)
PODS = tuple(party for party in PLAN.parties if party.side is PartyKind.POD)
STATED = StatusReply(
    name="default",
    since=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    rootless=True,
    policies=2,
    nodes=tuple(NodeState(node, 1, PODS) for node in PLAN.nodes),
    outside=("203.0.113.10",),
    services=(),
    notes=("something was left out",),
)


def problems(value: object, name: str) -> list[str]:
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text("utf-8"))
    return violations(json.loads(json_text(value)), schema, schema)


def nowhere(source: Source | None, path: str) -> Position | None:
    return None


def report(outcomes: bytes, control: bytes) -> LabReport:
    index = scheduled(*SHOP)
    seen = Observed(PLAN, index, expect(index, PLAN), control, outcomes)
    wrong = tuple(seen.disagreements())
    return LabReport(
        parties=PLAN.parties,
        workloads={},
        probes=len(PLAN.probes),
        agreements=len(PLAN.probes) - len(wrong),
        disagreements=wrong,
        without_control=tuple(seen.without_control()),
        live_control=False,
        pairs=tuple(seen.pairs()),
        repeated=0,
        notes=(),
        rootless=False,
        timings=Timings(0.1, 0.2, 0.3, 0.4, 0.0),
        held=(HeldPort(PODS[0], 4, "TCP", 80, probed=True),),
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_report_is_valid_and_holds_every_probe(seed: int) -> None:
    source = Random(seed)
    outcomes = bytes(source.choice(list(ProbeOutcome)) for _ in PLAN.probes)
    control = bytes(source.choice((ProbeOutcome.OPEN, ProbeOutcome.REFUSED)) for _ in PLAN.probes)
    found = report(outcomes, control)
    data = report_data(found, nowhere)
    assert problems(data, "lab-report") == []
    pairs = data["pairs"]
    assert isinstance(pairs, list)
    shown = sum(len(r["open"]) + len(r["closed"]) for pair in pairs for r in pair["results"])
    assert shown + len(found.without_control) == len(PLAN.probes)
    assert found.disagreements
    assert not found.clean


@pytest.mark.parametrize("outcome", ProbeOutcome)
def test_a_reason_with_its_packet_is_valid(outcome: ProbeOutcome) -> None:
    answer = why(QueryEvaluator(scheduled(*SHOP)), Can("shop/web", "shop/db", 5432))
    packet = SentProbe.of(PLAN, PLAN.probes[0], outcome)
    positions = RulePositions.of(answer.origins(), lambda source, path: Position(source.file, 1, 1))
    for explained in (
        WhyReply(answer, positions, packet, agrees=False, control=packet),
        WhyReply(answer, positions, NotSent("an end has no address yet")),
    ):
        assert problems(explained_data(explained), "lab-why") == []


@pytest.mark.parametrize("traffic", [None, TrafficLosses(1, 2, 3, 4, 5, 6)])
def test_a_change_is_valid(traffic: TrafficLosses | None) -> None:
    changes = changed_verdicts(scheduled(*SHOP), scheduled(*SHOP[:3]))
    assert changes
    applied = ApplyReply(PODS, PODS, changes, 2, 1, 1, 0.25, ("a note",), traffic)
    assert problems(applied_data(applied), "lab-apply") == []


def test_states_and_ends_are_valid() -> None:
    assert problems(stated_data(STATED), "lab-status") == []
    assert problems(list_data([STATED, STATED]), "lab-list") == []
    assert problems(down_data(["default"], ["crashed"]), "lab-down") == []
