"""Rounds of real probes when the machine is slow, or short of something."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Sequence

import pytest

from podfence.errors import LabError
from podfence.lab.probing import responder as answer
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import Build, Enforce, Send
from podfence.lab.probing.round import NONCE, Arrivals, Board, Round
from podfence.lab.probing.sender import Sender, outcome_of
from podfence.lab.testbed.packets import ECHO_BODY
from podfence.lab.testbed.probeplan import PartyKind, ProbeParty, ProbePlan
from podfence.lab.testbed.probes import Pair, Probe, ProbeKind, ProbeOutcome, Probes, kinds_of
from podfence.testing.builders import pod, policy, rule
from tests.lab.clusters import SHOP, plan_of
from tests.lab.sending import everything, send

TIMEOUT = 0.5
"""Seconds, for what is late on purpose, and for what never comes."""


def test_a_board_begins_without_answers() -> None:
    board = Board(3)
    assert bytes(board.outcomes) == bytes([ProbeOutcome.TIMEOUT] * 3)
    assert list(board.answered) == [-1] * 3
    assert board.found() == bytes([ProbeOutcome.TIMEOUT] * 3)


def test_a_board_for_nothing() -> None:
    assert Board(0).found() == b""


def test_what_arrived_and_was_not_answered_went_one_way() -> None:
    board = Board(4)
    board.arrived[1] = board.arrived[3] = 1
    board.outcomes[3] = ProbeOutcome.OPEN
    expected = [ProbeOutcome.TIMEOUT, ProbeOutcome.ONE_WAY, ProbeOutcome.TIMEOUT, ProbeOutcome.OPEN]
    assert board.found() == bytes(expected)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (NONCE.pack(7, 0, 1), 1),
        (NONCE.pack(8, 0, 1), 0),
        (NONCE.pack(7, 1, 1), 0),
        (b"hello", 0),
        (b"", 0),
    ],
)
def test_a_datagram_that_comes_is_told(data: bytes, expected: int) -> None:
    board = Board(1)
    Arrivals(this_round(7), board).datagram(data)
    assert board.arrived[0] == expected


def outcomes(plan: ProbePlan, kind: ProbeKind = ProbeKind.CONNECT) -> bytes:
    with LabProcess(plan) as lab:
        lab.call(Build())
        return send(lab, everything(len(plan.probes), kind), TIMEOUT)


def this_round(serial: int) -> Round:
    probes = Probes.of([Probe(0, 1, 4, "SCTP", 80)])
    return Round(
        serial=serial,
        port=20_000,
        probes=probes,
        kinds=bytes([ProbeKind.SYN]) * len(probes),
        timeout=TIMEOUT,
        sources=(),
        targets=(),
        bound=(),
        names={},
        window=1,
    )


@pytest.mark.parametrize("serial", [1, 254, 255, 256, 12_000, 100_000])
def test_a_mark_is_of_this_round_and_never_nothing(serial: int) -> None:
    one, next_one = this_round(serial), this_round(serial + 1)
    mark = one.mark(0)
    assert 0 < mark < 1 << 32
    assert one.marked(mark) == 0
    assert next_one.marked(mark) == -1


def test_a_mark_outside_of_the_round_belongs_to_no_probe() -> None:
    assert this_round(1).marked(this_round(1).mark(1)) == -1
    assert this_round(1).marked(0) == -1


@pytest.mark.parametrize(
    ("party_index", "port", "expected"),
    [
        (1, 80, ProbeOutcome.OPEN),
        (2, 80, ProbeOutcome.WRONG_PEER),
        (1, 81, ProbeOutcome.WRONG_PEER),
    ],
)
def test_an_init_is_answered_by_whom_it_comes_to(
    party_index: int, port: int, expected: ProbeOutcome
) -> None:
    board, one = Board(1), this_round(7)
    Arrivals(one, board).init(party_index, port, one.mark(0))
    assert board.outcomes[0] == expected


@pytest.mark.parametrize("serial", [7, 8])
def test_a_syn_or_an_echo_that_comes_is_told(serial: int) -> None:
    syn, echo = Board(1), Board(1)
    Arrivals(this_round(7), syn).syn(this_round(serial).mark(0))
    Arrivals(this_round(7), echo).echo(ECHO_BODY.pack(serial, 0))
    assert syn.arrived[0] == echo.arrived[0] == (serial == 7)


def test_an_init_of_another_round_answers_nothing() -> None:
    board = Board(1)
    Arrivals(this_round(7), board).init(1, 80, this_round(8).mark(0))
    assert board.outcomes[0] == ProbeOutcome.TIMEOUT


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ECONNREFUSED, ProbeOutcome.REFUSED),
        (errno.ECONNRESET, ProbeOutcome.RESET),
        (errno.EHOSTUNREACH, ProbeOutcome.UNREACHABLE),
        (errno.ENETUNREACH, ProbeOutcome.UNREACHABLE),
        (errno.EPERM, ProbeOutcome.PROHIBITED),
        (errno.ETIMEDOUT, ProbeOutcome.TIMEOUT),
    ],
)
def test_what_an_error_of_a_socket_means(number: int, expected: ProbeOutcome) -> None:
    assert outcome_of(OSError(number, os.strerror(number))) is expected


def test_an_error_about_this_machine_is_no_outcome() -> None:
    with pytest.raises(OSError, match="Too many"):
        outcome_of(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))


def test_the_longest_names_fit_into_an_answer() -> None:
    party = ProbeParty("ns/" + "\N{CJK UNIFIED IDEOGRAPH-6F22}" * 200, PartyKind.POD, ())
    assert len(answer.name_of(99_999, party)) < 512 - NONCE.size


@pytest.mark.kernel
@pytest.mark.parametrize("kind", [ProbeKind.SYN, ProbeKind.CONNECT])
def test_everybody_answers_on_an_open_network(kind: ProbeKind) -> None:
    assert set(outcomes(plan_of(*SHOP), kind)) == {ProbeOutcome.OPEN}


@pytest.mark.kernel
def test_many_ports_of_one_pair_overflow_nothing() -> None:
    ports = [f"{number}/SCTP" for number in range(1, 801, 2)]
    every = policy("a/every", ingress=[rule(ports=ports)])
    plan = plan_of(pod("a/x"), pod("a/y"), every)
    assert len(plan.sctp) == 400
    assert set(outcomes(plan)) == {ProbeOutcome.OPEN}


@pytest.mark.kernel
def test_an_answer_that_comes_late_because_the_lab_is_busy_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    echo, accept = answer.Responders._echo, answer.Responders._accept
    delays = {"UDP": 3 * TIMEOUT, "TCP": 3 * TIMEOUT}

    def late_echo(self: answer.Responders, listener: socket.socket, name: bytes) -> None:
        time.sleep(delays.pop("UDP", 0.0))
        echo(self, listener, name)

    def late_accept(self: answer.Responders, listener: socket.socket, name: bytes) -> None:
        time.sleep(delays.pop("TCP", 0.0))
        accept(self, listener, name)

    monkeypatch.setattr(answer.Responders, "_echo", late_echo)
    monkeypatch.setattr(answer.Responders, "_accept", late_accept)
    plan = plan_of(*SHOP)
    with LabProcess(plan) as lab:
        lab.call(Build())
        found = lab.call(Send(everything(len(plan.probes)), TIMEOUT)).value
    assert found.count(ProbeOutcome.OPEN) > 0.9 * len(found)  # a busy machine loses some


@pytest.mark.kernel
def test_a_machine_at_its_limits_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Sender, pairs: Sequence[Pair]) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Sender, "run", run)
    with pytest.raises(LabError, match=r"this machine cannot send .* Too many open files"):
        outcomes(plan_of(*SHOP))


@pytest.mark.kernel
def test_a_sender_that_is_killed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Sender, pairs: Sequence[Pair]) -> None:
        os.kill(os.getpid(), 9)

    monkeypatch.setattr(Sender, "run", run)
    with pytest.raises(LabError, match="ended unexpectedly"):
        outcomes(plan_of(*SHOP))


@pytest.mark.kernel
def test_a_mistake_of_ours_in_a_sender_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Sender, pairs: Sequence[Pair]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Sender, "run", run)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        outcomes(plan_of(*SHOP))


NOTHING_PASSES = """table inet podfence {
    chain forward { type filter hook forward priority 0; policy drop; }
    chain input { type filter hook input priority 0; policy drop; }
}
"""


@pytest.mark.kernel
def test_connections_that_nobody_answers_make_room_when_their_time_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("podfence.lab.probing.sockets._WINDOW", 40)
    plan = plan_of(*SHOP)
    numbers = [n for n, p in enumerate(plan.probes) if p.protocol == "TCP"]
    with LabProcess(plan) as lab:
        lab.call(Build())
        lab.call(Enforce("lab-node", NOTHING_PASSES))
        found = send(lab, kinds_of(len(plan.probes), numbers), 0.1)
    for number in numbers:
        probe = plan.probes[number]
        assert (found[number] == ProbeOutcome.OPEN) is (probe.source == probe.target)


@pytest.mark.kernel
def test_few_files_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podfence.lab.probing.sockets._WINDOW", 8)
    assert set(outcomes(plan_of(*SHOP))) == {ProbeOutcome.OPEN}
