"""What packets did, beside what the engine says: agreement, disagreement, no proof."""

from __future__ import annotations

from random import Random

import pytest

from podfence.engine.evaluate import Evaluator, evaluate
from podfence.lab.testbed.compare import (
    Observed,
    agrees,
    enforced_kinds,
    expect,
    flow_of,
    lost,
    not_open,
)
from podfence.lab.testbed.probeplan import PlanLimits, ProbePlan, make_plan
from podfence.lab.testbed.probes import ProbeKind, ProbeOutcome
from podfence.lab.testbed.scheduling import schedule
from podfence.policy.compile import compile_cluster
from tests.lab.clusters import SHOP, plan_of, scheduled
from tests.support.random_clusters import random_cluster

NOTHING_CAME_BACK = (ProbeOutcome.TIMEOUT, ProbeOutcome.UNREACHABLE, ProbeOutcome.PROHIBITED)


@pytest.mark.parametrize(
    ("allowed", "outcome", "expected"),
    [
        *((True, outcome, outcome is ProbeOutcome.OPEN) for outcome in ProbeOutcome),
        *((False, outcome, outcome in NOTHING_CAME_BACK) for outcome in ProbeOutcome),
    ],
)
def test_agreement(allowed: bool, outcome: ProbeOutcome, expected: bool) -> None:
    assert agrees(allowed, outcome) is expected


def test_every_outcome_has_words() -> None:
    assert len({outcome.words for outcome in ProbeOutcome}) == len(ProbeOutcome)


def test_what_is_expected_is_what_the_engine_says_of_each_flow() -> None:
    plan, index = plan_of(*SHOP), scheduled(*SHOP)
    said = [evaluate(index, flow_of(plan, probe)).allowed for probe in plan.probes]
    assert list(map(bool, expect(index, plan))) == said
    assert {True, False} == set(said)


@pytest.mark.parametrize("seed", range(12))
def test_the_same_of_random_clusters(seed: int) -> None:
    index = compile_cluster(schedule(random_cluster(Random(seed)), 1 + seed % 3))
    plan = make_plan(index, PlanLimits(ports=8))
    judge = Evaluator(index)
    said = bytes(judge.verdict(flow_of(plan, probe)).allowed for probe in plan.probes)
    assert expect(index, plan) == said


def test_only_what_should_come_about_is_a_whole_connection() -> None:
    assert enforced_kinds(bytes([0, 1])) == bytes([ProbeKind.SYN, ProbeKind.CONNECT])


def perfect(allowed: bytes) -> bytes:
    return bytes(ProbeOutcome.OPEN if one else ProbeOutcome.TIMEOUT for one in allowed)


def observed(
    enforced: bytes | None = None, control: bytes | None = None
) -> tuple[ProbePlan, Observed]:
    plan = plan_of(*SHOP)
    index = scheduled(*SHOP)
    allowed = expect(index, plan)
    everything = bytes([ProbeOutcome.OPEN]) * len(allowed)
    return plan, Observed(plan, index, allowed, control or everything, enforced or perfect(allowed))


def changed(outcomes: bytes, number: int, outcome: ProbeOutcome) -> bytes:
    return outcomes[:number] + bytes([outcome]) + outcomes[number + 1 :]


def test_a_kernel_that_does_what_the_engine_says() -> None:
    plan, seen = observed()
    assert not list(seen.disagreements())
    assert not list(seen.without_control())
    assert sum(len(pair.ports) for pair in seen.pairs()) == len(plan.probes)
    assert all(pair.agrees for pair in seen.pairs())


def test_a_leak_is_a_disagreement_with_the_policies_that_forbid_it() -> None:
    plan, seen = observed()
    number = seen.enforced.index(ProbeOutcome.TIMEOUT)
    _, leaking = observed(changed(seen.enforced, number, ProbeOutcome.OPEN))
    (check,) = leaking.disagreements()
    assert check.packet.outcome is ProbeOutcome.OPEN
    assert not check.verdict.allowed
    assert (check.packet.protocol, check.packet.port) == plan.probes[number][3:]
    assert sum(not pair.agrees for pair in leaking.pairs()) == 1


def test_a_leak_is_never_probed_again() -> None:
    _, seen = observed()
    leaking = changed(seen.enforced, seen.enforced.index(ProbeOutcome.TIMEOUT), ProbeOutcome.OPEN)
    assert lost(seen.allowed, leaking) == []


def test_a_lost_packet_is_worth_repeating() -> None:
    _, seen = observed()
    number = seen.enforced.index(ProbeOutcome.OPEN)
    assert lost(seen.allowed, changed(seen.enforced, number, ProbeOutcome.TIMEOUT)) == [number]


def test_a_probe_without_control_proves_nothing() -> None:
    _, seen = observed()
    number = seen.enforced.index(ProbeOutcome.TIMEOUT)
    control = changed(bytes([ProbeOutcome.OPEN]) * len(seen.enforced), number, ProbeOutcome.REFUSED)
    plan, blind = observed(control=control)
    (check,) = blind.without_control()
    assert check.packet.outcome is ProbeOutcome.REFUSED
    assert sum(len(pair.ports) for pair in blind.pairs()) == len(plan.probes) - 1


def test_not_open_names_everything_else() -> None:
    assert not_open(bytes(ProbeOutcome)) == [
        outcome for outcome in ProbeOutcome if outcome != ProbeOutcome.OPEN
    ]
