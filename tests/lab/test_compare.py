from __future__ import annotations

import pytest

from podfence.lab.compare import Observed, agrees, expect, lost, not_open
from podfence.lab.outcome import Outcome
from podfence.lab.plan import LabPlan
from podfence.policy.flow import Decision, Reason, Verdict
from tests.lab.clusters import SHOP, placed, plan_of

ALLOWED = Verdict(Decision(True, Reason.NOT_ISOLATED), Decision(True, Reason.NOT_ISOLATED))
DENIED = Verdict(Decision(True, Reason.NOT_ISOLATED), Decision(False, Reason.ISOLATED))


@pytest.mark.parametrize(
    ("verdict", "outcome", "expected"),
    [
        *((ALLOWED, outcome, outcome is Outcome.OPEN) for outcome in Outcome),
        *(
            (DENIED, outcome, outcome not in (Outcome.OPEN, Outcome.STRANGER))
            for outcome in Outcome
        ),
    ],
)
def test_agreement(verdict: Verdict, outcome: Outcome, expected: bool) -> None:
    assert agrees(verdict, outcome) is expected


def test_every_outcome_has_words() -> None:
    assert len({outcome.words for outcome in Outcome}) == len(Outcome)


def perfect(verdicts: list[Verdict]) -> bytes:
    return bytes(Outcome.OPEN if v.allowed else Outcome.TIMEOUT for v in verdicts)


def observed(
    enforced: bytes | None = None, control: bytes | None = None
) -> tuple[LabPlan, Observed]:
    plan = plan_of(*SHOP)
    verdicts = expect(placed(*SHOP), plan)
    everything = bytes([Outcome.OPEN]) * len(verdicts)
    return plan, Observed(plan, verdicts, control or everything, enforced or perfect(verdicts))


def changed(outcomes: bytes, number: int, outcome: Outcome) -> bytes:
    return outcomes[:number] + bytes([outcome]) + outcomes[number + 1 :]


def test_a_kernel_that_does_what_the_engine_says() -> None:
    plan, seen = observed()
    assert not list(seen.disagreements())
    assert not list(seen.without_control())
    assert sum(len(pair.ports) for pair in seen.pairs()) == len(plan.probes)
    assert all(pair.agrees for pair in seen.pairs())


def test_a_leak_is_a_disagreement_with_the_policies_that_forbid_it() -> None:
    plan, seen = observed()
    number = seen.enforced.index(Outcome.TIMEOUT)
    _, leaking = observed(changed(seen.enforced, number, Outcome.OPEN))
    (check,) = leaking.disagreements()
    assert check.outcome is Outcome.OPEN
    assert not check.verdict.allowed
    assert (check.flow.protocol, check.flow.port) == plan.probes[number][3:]
    assert sum(not pair.agrees for pair in leaking.pairs()) == 1


def test_a_leak_is_never_probed_again() -> None:
    _, seen = observed()
    leaking = changed(seen.enforced, seen.enforced.index(Outcome.TIMEOUT), Outcome.OPEN)
    assert lost(seen.verdicts, leaking) == []


def test_a_lost_packet_is_worth_repeating() -> None:
    _, seen = observed()
    assert lost(seen.verdicts, changed(seen.enforced, 0, Outcome.TIMEOUT)) == [0]


def test_a_probe_without_control_proves_nothing() -> None:
    _, seen = observed()
    number = seen.enforced.index(Outcome.TIMEOUT)
    control = changed(bytes([Outcome.OPEN]) * len(seen.enforced), number, Outcome.REFUSED)
    plan, blind = observed(control=control)
    (check,) = blind.without_control()
    assert check.outcome is Outcome.REFUSED
    assert sum(len(pair.ports) for pair in blind.pairs()) == len(plan.probes) - 1


def test_not_open_names_everything_else() -> None:
    assert not_open(bytes(Outcome)) == [outcome for outcome in Outcome if outcome != Outcome.OPEN]
