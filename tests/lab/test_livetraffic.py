"""Live connections across changes: the account of them, and that it finds what it looks for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from podfence.errors import LabError
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import Build, Enforce, StartTraffic, StopTraffic
from podfence.lab.testbed.liveflows import flows_across
from podfence.lab.testbed.livetraffic import SentMessage, SentTraffic, TrafficLosses, account
from podfence.lab.testbed.probeplan import ProbePlan
from podfence.lab.testbed.probes import Probe, ProbeOutcome
from podfence.nft.lowering.tightening import Tightening
from podfence.render.lab import applied_text
from podfence.testing.builders import peer, pod, policy, rule
from tests.lab.clusters import SHOP, plan_of, scheduled
from tests.lab.sending import everything, send
from tests.lab.test_session import agrees, read, running
from tests.support.revocation import measure

REVOKED, KEPT = 0, 1


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(SentMessage(REVOKED, False, 1.5, 1.6), (1, 1, 0, 0), id="leaked"),
        pytest.param(SentMessage(REVOKED, True, 1.5, 1.6), (1, 1, 0, 0), id="leaked-reply"),
        pytest.param(SentMessage(REVOKED, False, 1.5, 0.0), (1, 0, 0, 0), id="stopped"),
        pytest.param(
            SentMessage(REVOKED, False, 1.5, 2.5), (1, 0, 0, 0), id="came-when-allowed-again"
        ),
        pytest.param(SentMessage(REVOKED, False, 0.9, 1.1), (0, 0, 0, 0), id="sent-before"),
        pytest.param(SentMessage(KEPT, False, 1.5, 1.6), (0, 0, 1, 0), id="kept"),
        pytest.param(SentMessage(KEPT, False, 1.5, 0.0), (0, 0, 1, 1), id="lost"),
    ],
)
def test_account_of_a_message(message: SentMessage, expected: tuple[int, int, int, int]) -> None:
    seen = account(SentTraffic([message], [0, 0]), {REVOKED: [(1.0, 2.0)]})
    assert (seen.refused, seen.leaked, seen.kept, seen.lost) == expected


def test_segments_sent_again_are_lost_on_kept_flows_only() -> None:
    assert account(SentTraffic([], [5, 3]), {REVOKED: []}) == TrafficLosses(1, 0, 0, 1, 0, 3)


def test_flows_are_chosen_among_those_allowed_before() -> None:
    closed = policy("shop/db", {"app": "db"}, types=["Ingress"])
    before, after = scheduled(*SHOP), scheduled(*SHOP, closed, SHOP[4])
    flows = flows_across(before, after, plan_of(*SHOP), plan_of(*SHOP))
    names = [party.name for party in plan_of(*SHOP).parties]
    assert {(names[p.source], names[p.target], p.protocol, p.port) for p in flows.revoked} == {
        ("shop/web", "shop/db", "TCP", 5432)
    }
    assert flows.kept
    assert "shop/db" not in {names[p.target] for p in flows.kept}


@pytest.mark.kernel
def test_changes_under_load_leak_nothing_and_lose_nothing() -> None:
    seen, seconds = measure(changes=12, clients=8, nodes=2)
    assert len(seconds) == 12
    assert (seen.leaked, seen.lost) == (0, 0)
    assert min(seen.refused, seen.kept) > 100
    assert (seen.revoked_flows, seen.kept_flows) == (16, 16)


def never(*_: object) -> Tightening:
    """No change takes anything away: the epoch stays, so that live connections are not judged."""
    return Tightening.NO


@pytest.mark.kernel
def test_a_revocation_that_spares_live_connections_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("podfence.reconcile.step.tightening", never)
    seen, _ = measure(changes=3, clients=6, nodes=1)
    assert seen.leaked > 10


def web_to_db(plan: ProbePlan) -> Probe:
    names = [party.name for party in plan.parties]
    return Probe(names.index("shop/web"), names.index("shop/db"), 4, "TCP", 5432)


def everybody_answers(lab: LabProcess, plan: ProbePlan) -> bool:
    return set(send(lab, everything(len(plan.probes)), 0.3)) == {ProbeOutcome.OPEN}


@pytest.mark.kernel
def test_a_watch_that_is_killed_is_an_error_and_the_lab_goes_on() -> None:
    plan = plan_of(*SHOP)
    with LabProcess(plan) as lab:
        lab.call(Build())
        lab.call(StartTraffic((web_to_db(plan),)))
        children = Path(f"/proc/{lab.pid}/task/{lab.pid}/children").read_text(encoding="ascii")
        watching = int(children.split()[-1])
        os.kill(watching, signal.SIGKILL)
        with pytest.raises(LabError, match="the live connections ended unexpectedly"):
            lab.call(StopTraffic())
        assert everybody_answers(lab, plan)
        assert not Path(f"/proc/{watching}").exists()


@pytest.mark.kernel
def test_a_watch_that_cannot_connect_leaves_the_lab_as_it_was() -> None:
    plan = plan_of(*SHOP)
    closed = "table inet t { chain c { type filter hook forward priority 0; policy drop; }; }\n"
    with LabProcess(plan) as lab:
        lab.call(Build())
        lab.call(Enforce("lab-node", closed))
        with pytest.raises(LabError, match="a live connection cannot be made"):
            lab.call(StartTraffic((web_to_db(plan),)))
        lab.call(Enforce("lab-node", "delete table inet t\n"))
        assert everybody_answers(lab, plan)


@pytest.mark.kernel
def test_apply_with_watch_accounts_for_connections() -> None:
    wide = policy("shop/db", {"app": "db"}, ingress=[rule(peer(pods={}))])
    none = policy("shop/db", {"app": "db"}, types=["Ingress"])
    others = pod("shop/other"), pod("shop/more")
    with running(*SHOP[:3], *others, wide) as session:
        applied = session.apply(read(*SHOP[:3], *others, none), traffic=True)
        assert agrees(session)  # the ports are the lab's own again
    assert applied.traffic is not None
    assert (applied.traffic.revoked_flows, applied.traffic.leaked) == (12, 0)
    assert applied.traffic.lost == 0
    assert applied_text(applied).splitlines()[-1].startswith("watched: 12 connections revoked, 0 ")
