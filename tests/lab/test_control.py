"""Which denied probes would be answered if nothing denied them, and so prove something."""

from __future__ import annotations

import pytest

from podfence.lab.testbed.compare import expect
from podfence.lab.testbed.control import (
    control_kinds,
    control_outcomes,
    live_control,
    live_controls,
    unanswered,
)
from podfence.lab.testbed.probeplan import PartyKind
from podfence.lab.testbed.probes import Probe, ProbeKind, ProbeOutcome, Probes
from tests.lab.clusters import SHOP, plan_of, scheduled

PLAN = plan_of(*SHOP)
PROBES = PLAN.probes
ALLOWED = expect(scheduled(*SHOP), PLAN)
SENT = control_kinds(PROBES, ALLOWED)
ALL_OPEN = bytes([ProbeOutcome.OPEN]) * len(PROBES)


def listener(probe: Probe) -> tuple[int, int, str, int]:
    return probe.target, probe.family, probe.protocol, probe.port


def with_outcome(number: int, outcome: ProbeOutcome) -> bytes:
    return ALL_OPEN[:number] + bytes([outcome]) + ALL_OPEN[number + 1 :]


def test_every_denial_is_sent_itself() -> None:
    denied = [number for number, allowed in enumerate(ALLOWED) if not allowed]
    assert denied
    assert all(SENT[number] != ProbeKind.SKIP for number in denied)


def test_every_port_of_every_party_is_connected_to_once_by_somebody_else() -> None:
    connected = [PROBES[n] for n, kind in enumerate(SENT) if kind == ProbeKind.CONNECT]
    assert len(connected) == len(set(map(listener, connected)))
    assert set(map(listener, connected)) == {
        listener(probe) for probe in PROBES if probe.source != probe.target
    }


def test_what_is_allowed_is_not_sent_for_itself() -> None:
    sent = [n for n, kind in enumerate(SENT) if kind and ALLOWED[n]]
    assert all(SENT[number] == ProbeKind.CONNECT for number in sent)
    assert len(sent) < sum(ALLOWED)


def test_all_answered_is_a_control_for_all() -> None:
    assert control_outcomes(PROBES, SENT, ALL_OPEN) == ALL_OPEN


@pytest.mark.parametrize("kind", [ProbeKind.SYN, ProbeKind.CONNECT])
def test_a_denial_that_nobody_answered_has_no_control(kind: ProbeKind) -> None:
    number = next(n for n, sent in enumerate(SENT) if sent == kind and not ALLOWED[n])
    outcomes = with_outcome(number, ProbeOutcome.REFUSED)
    assert unanswered(SENT, outcomes) == [number]
    assert control_outcomes(PROBES, SENT, outcomes)[number] == ProbeOutcome.REFUSED


def test_a_port_that_is_somebody_elses_is_no_control_for_anybody() -> None:
    number = SENT.index(ProbeKind.CONNECT)
    control = control_outcomes(PROBES, SENT, with_outcome(number, ProbeOutcome.WRONG_PEER))
    for probe, outcome in zip(PROBES, control, strict=True):
        same = listener(probe) == listener(PROBES[number])
        assert outcome == (ProbeOutcome.WRONG_PEER if same else ProbeOutcome.OPEN)


def test_what_was_not_sent_and_not_answered_is_no_failure() -> None:
    number = SENT.index(ProbeKind.SKIP)
    outcomes = with_outcome(number, ProbeOutcome.TIMEOUT)
    assert unanswered(SENT, outcomes) == []
    assert control_outcomes(PROBES, SENT, outcomes) == ALL_OPEN


def test_in_a_lab_that_enforces_the_own_node_asks_every_port_once() -> None:
    tried = live_controls(PLAN)
    assert sorted(map(listener, tried)) == sorted(set(map(listener, PROBES)))
    for probe in tried:
        target = PLAN.parties[probe.target]
        pod = target.side is PartyKind.POD
        asker = PLAN.parties[probe.source]
        assert (
            (asker.side is PartyKind.NODE and asker.name == target.node) if pod else asker is target
        )


def test_a_port_that_does_not_answer_its_node_is_no_control() -> None:
    tried = live_controls(PLAN)
    outcomes = bytearray([ProbeOutcome.OPEN]) * len(tried)
    outcomes[0] = ProbeOutcome.REFUSED
    control = live_control(PLAN, tried, bytes(outcomes))
    for probe, outcome in zip(PROBES, control, strict=True):
        assert (outcome == ProbeOutcome.OPEN) is (listener(probe) != listener(tried[0]))


@pytest.mark.parametrize("family", [4, 6])
def test_a_source_that_cannot_be_reached_itself_is_no_control(family: int) -> None:
    """A pod whose link is down gets no answer from anybody: that is no denial."""
    web = [party.name for party in PLAN.parties].index("shop/web")
    tried = live_controls(PLAN)
    cut = [probe.target == web and probe.family == family for probe in tried]
    outcomes = bytes(ProbeOutcome.TIMEOUT if each else ProbeOutcome.OPEN for each in cut)
    for probe, outcome in zip(PROBES, live_control(PLAN, tried, outcomes), strict=True):
        concerned = probe.family == family and web in (probe.source, probe.target)
        assert (outcome == ProbeOutcome.OPEN) is not concerned


def test_a_port_that_a_program_holds_is_probed_if_it_answers() -> None:
    tried = live_controls(PLAN)
    held = {listener(probe) for probe in tried if PLAN.parties[probe.target].name == "shop/db"}
    answers = {each for each in held if each[2] == "TCP"}
    silent = [listener(probe) in held - answers for probe in tried]
    outcomes = bytes(ProbeOutcome.TIMEOUT if each else ProbeOutcome.OPEN for each in silent)
    for probe, outcome in zip(PROBES, live_control(PLAN, tried, outcomes, held), strict=True):
        left_out = listener(probe) in held - answers
        assert outcome == (ProbeOutcome.HELD if left_out else ProbeOutcome.OPEN)


def test_a_party_alone_needs_no_control() -> None:
    probes = Probes.of([Probe(0, 0, 4, "TCP", 80)])
    assert control_kinds(probes, bytes([1])) == bytes([ProbeKind.SKIP])
