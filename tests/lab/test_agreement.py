"""Whether model and lab agree on a test: only what both looked at is compared."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from podfence.engine.evaluate import Evaluator
from podfence.lab.testbed.agreement import AgreementStatus, ProvedTest, agreement
from podfence.lab.testbed.probeplan import PartyKind, ProbeParty
from podfence.lab.testbed.probes import ProbeOutcome
from podfence.lab.testbed.report import PacketCheck, SentProbe
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from podfence.questions.tests.form import PolicyTest
from podfence.questions.tests.judge import Result, ResultStatus
from podfence.render.lab_agreement import agreement_data, agreement_text
from podfence.render.lab_tests import told_packets
from podfence.testing.builders import pod
from tests.questions.tests.judged import file_of

ALLOW = {"name": "it reads", "from": "a", "to": "b:80", "expect": "allow"}
SOME = {**ALLOW, "expect": "some"}
XFAIL = {**ALLOW, "expectFailure": "later"}
PASSED, FAILED, VACUOUS, SKIPPED = (
    ResultStatus.PASSED,
    ResultStatus.FAILED,
    ResultStatus.VACUOUS,
    ResultStatus.SKIPPED,
)


def the_test(**fields: object) -> PolicyTest:
    return file_of(fields).tests[0]


def odd_packet() -> PacketCheck:
    """A packet that got nowhere; the engine is asked about a cluster without policies."""
    pods = pod("x/a", addresses=["10.0.0.1"]), pod("x/b", addresses=["10.0.0.2"])
    index = compile_cluster(Cluster.of(pods))
    a, b = ip_address("10.0.0.1"), ip_address("10.0.0.2")
    verdict = Evaluator(index).verdict(Flow(a, b, "TCP", 80))
    source = ProbeParty("x/a\x1b[31m", PartyKind.POD, (a,), "n")
    target = ProbeParty("x/b", PartyKind.POD, (b,), "n")
    sent = SentProbe(source, target, 4, "TCP", 80, ProbeOutcome.TIMEOUT)
    return PacketCheck(sent, verdict)


@pytest.mark.parametrize(
    ("test", "model", "lab", "sight"),
    [
        (ALLOW, PASSED, "passed", AgreementStatus.AGREE),
        (ALLOW, FAILED, "failed", AgreementStatus.AGREE),
        (ALLOW, PASSED, "failed", AgreementStatus.UNPROVED),
        (ALLOW, FAILED, "passed", AgreementStatus.UNPROVED),
        (ALLOW, PASSED, "unproved", AgreementStatus.UNPROVED),
        (SOME, PASSED, "failed", AgreementStatus.UNPROVED),
        (XFAIL, PASSED, "failed", AgreementStatus.UNPROVED),
        (XFAIL, FAILED, "passed", AgreementStatus.UNPROVED),
        (ALLOW, PASSED, "skipped", AgreementStatus.ONE),
        (ALLOW, SKIPPED, "passed", AgreementStatus.ONE),
        (ALLOW, VACUOUS, "vacuous", AgreementStatus.EMPTY),
        (ALLOW, VACUOUS, "unproved", AgreementStatus.EMPTY),
        (ALLOW, VACUOUS, "passed", AgreementStatus.EMPTY),
        (ALLOW, PASSED, "vacuous", AgreementStatus.UNPROVED),
    ],
)
def test_how_model_and_lab_see_a_test(
    test: dict[str, object], model: ResultStatus, lab: str, sight: AgreementStatus
) -> None:
    asked = the_test(**test)
    found = agreement([Result(asked, model)], [ProvedTest(asked, lab, 4, 2)])
    assert [each.sight for each in found.tests] == [sight]
    assert found.connections == (4 if sight is AgreementStatus.AGREE else 0)


def test_a_packet_that_differs_is_a_dispute_whatever_both_say_of_the_test() -> None:
    asked = the_test(**ALLOW)
    proved = ProvedTest(asked, "failed", 3, 0, 2, odd_packet())
    found = agreement([Result(asked, FAILED)], [proved])

    assert agreement_text(found, lambda *_: None) == (
        "DISPUTE it reads\n"
        "         x/a\\x1b[31m -> x/b TCP/80 over IPv4: no answer; the engine says allowed\n"
        "         1 more packet did not do what the engine says\n"
        "model and lab disagree on 1 test, and agree on 0 (0 connections, 0 denials that were "
        "answered before any policy)\n"
    )
    assert agreement_data(found, lambda *_: None)["disagreements"][0]["because"]


def test_a_dispute_is_told_to_build_servers_as_one() -> None:
    asked = the_test(**ALLOW)
    file = file_of(ALLOW)
    plain, odd = ProvedTest(asked, "failed", 3), ProvedTest(asked, "failed", 3, 0, 1, odd_packet())
    failed, disputed = told_packets(file, [plain, odd], lambda *_: None).tests
    assert (failed.word, failed.code) == ("failed", "PF507")
    assert (disputed.word, disputed.code) == ("disputed", "PF509")
    assert failed.is_failure
    assert disputed.is_failure
