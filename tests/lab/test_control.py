from __future__ import annotations

import pytest

from podfence.lab.control import control_numbers, inferred, is_whole
from podfence.lab.outcome import Outcome
from podfence.lab.plan import Probe
from tests.lab.clusters import SHOP, plan_of

PROBES = plan_of(*SHOP).probes


def open_outcomes(count: int) -> bytearray:
    return bytearray([Outcome.OPEN]) * count


def test_small_plans_are_sent_whole() -> None:
    assert is_whole(PROBES)
    assert control_numbers(PROBES) == list(range(len(PROBES)))


def test_every_port_and_every_path_of_a_large_plan_is_tried() -> None:
    sent = [PROBES[n] for n in control_numbers(PROBES, each=1)]
    assert len(sent) < len(PROBES) / 2

    def path(probe: Probe) -> tuple[int, int, int, str]:
        return probe.source, probe.target, probe.family, probe.protocol

    assert {path(probe) for probe in sent} == {path(probe) for probe in PROBES}
    assert {p[1:] for p in sent if p.source != p.target} == {
        p[1:] for p in PROBES if p.source != p.target
    }


def test_all_answered_is_a_control_for_all() -> None:
    sent = control_numbers(PROBES, each=1)
    assert set(inferred(PROBES, sent, bytes(len(sent)))) == {Outcome.OPEN}


@pytest.mark.parametrize("what", ["listener", "path"])
def test_what_did_not_answer_is_no_control(what: str) -> None:
    sent = control_numbers(PROBES, each=1)
    silent = PROBES[next(n for n in sent if PROBES[n].source != PROBES[n].target)]
    outcomes = open_outcomes(len(sent))
    for at, number in enumerate(sent):
        probe = PROBES[number]
        same_listener = probe[1:] == silent[1:]
        same_path = probe[:4] == silent[:4]
        if same_listener if what == "listener" else same_path:
            outcomes[at] = Outcome.REFUSED
    control = inferred(PROBES, sent, bytes(outcomes))
    for number, probe in enumerate(PROBES):
        hit = probe[1:] == silent[1:] if what == "listener" else probe[:4] == silent[:4]
        if hit:
            assert control[number] != Outcome.OPEN
    assert control.count(Outcome.OPEN) > len(PROBES) / 2


def test_an_answer_of_its_own_counts_whatever_the_others_did() -> None:
    control = inferred(PROBES, [0, 1], bytes([Outcome.OPEN, Outcome.TIMEOUT]))
    assert control[:2] == bytes([Outcome.OPEN, Outcome.TIMEOUT])
