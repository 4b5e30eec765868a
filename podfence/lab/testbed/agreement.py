"""One test in the model and by packets, of a lab or of a cluster, and whether both agree. Pure.

Rule: they disagree where a packet did not do what the engine says, or where only one of
them passes a test although both looked at its connections. A test that packets do not reach is no
agreement; it is listed separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from podfence.lab.testbed.report import PacketCheck
from podfence.questions.tests.ends import UnmatchedEnd
from podfence.questions.tests.form import PolicyTest
from podfence.questions.tests.judge import Result, ResultStatus

_JUDGED = (ResultStatus.PASSED, ResultStatus.FAILED)


class AgreementStatus(Enum):
    """How the model and the lab judge a test."""

    AGREE = "agree"
    DISAGREE = "disagree"
    UNPROVED = "unproved"
    """No packet was sent that could tell, or packets looked at something else."""
    ONE = "one"
    """The test ran in one of the two, or in none."""
    EMPTY = "vacuous"
    """The test matches nobody."""


class ComparedTest(Struct, frozen=True):
    """One test in both."""

    result: Result
    proved: ProvedTest
    sight: AgreementStatus


class Agreement(Struct, frozen=True):
    """All tests. ``connections``: packets of tests on which both agree; ``denials``: packets that
    had to be denied, each to a port that answered before."""

    tests: tuple[ComparedTest, ...]
    connections: int
    denials: int

    def seen(self, sight: AgreementStatus) -> Sequence[ComparedTest]:
        """The tests that are seen so."""
        return [each for each in self.tests if each.sight is sight]


def agreement(results: Sequence[Result], proved: Sequence[ProvedTest]) -> Agreement:
    """Compare the same tests, in the same order, as the model and packets judged them."""
    tests = tuple(
        ComparedTest(result, packets, _sight(result, packets))
        for result, packets in zip(results, proved, strict=True)
    )
    same = [each.proved for each in tests if each.sight is AgreementStatus.AGREE]
    return Agreement(tests, sum(p.packets for p in same), sum(p.denials for p in same))


def _sight(result: Result, proved: ProvedTest) -> AgreementStatus:
    if proved.differ:
        return AgreementStatus.DISAGREE
    if ResultStatus.SKIPPED is result.status or proved.status == "skipped":
        return AgreementStatus.ONE
    if result.status is ResultStatus.VACUOUS:
        return AgreementStatus.EMPTY
    if proved.status in ("unproved", "vacuous") or result.status not in _JUDGED:
        return AgreementStatus.UNPROVED
    return (
        AgreementStatus.AGREE
        if _is_kept(result) is _is_seen_kept(proved)
        else AgreementStatus.UNPROVED
    )


def _is_kept(result: Result) -> bool:
    """Whether the promise is kept, whatever is expected of that."""
    return (result.status is ResultStatus.PASSED) is not bool(result.test.expect_failure)


def _is_seen_kept(proved: ProvedTest) -> bool:
    return (proved.status == "passed") is not bool(proved.test.expect_failure)


# -- What packets say of tests, as values


class Disagreement(Struct, frozen=True):
    """One connection that was not as the test says. ``agrees``: the engine says so too."""

    source: str
    target: str
    family: int
    protocol: str
    port: int
    open: bool
    agrees: bool


class ProvedTest(Struct, frozen=True):
    """What packets show about a test. ``status``: passed, failed, vacuous, unproved or skipped;
    ``packets``: probes of its connections, ``denials`` those that had to be denied; ``differ``:
    probes that did not do what the engine says, ``odd`` the first of them."""

    test: PolicyTest
    status: str
    packets: int = 0
    denials: int = 0
    differ: int = 0
    odd: PacketCheck | None = None
    first: Disagreement | None = None
    wrong: int = 0
    misses: tuple[UnmatchedEnd, ...] = ()
    text: str = ""
    others: tuple[PacketCheck, ...] = ()
    """Those beside ``odd``, where each is to be named."""
    untried: tuple[str, ...] = ()
    """What else the test is about, and no packet could try, in words."""


def not_by_packets(test: PolicyTest, environment: str, sender: str, given: str = "") -> str:
    """Why a test cannot be tried by packets in an environment, "" where it can. ``sender``: who
    sends them; ``given``: why edits of the input are not tried there, "" where they are."""
    if test.skip:
        return test.skip
    if test.runs_in and environment not in test.runs_in:
        return f"runs only in {', '.join(test.runs_in)}"
    if test.given and given:
        return given
    if test.isolated:
        return "packets cannot show that rules allow nothing else; podfence test judges it"
    if test.entries:
        return f"no packet of {sender} comes through an entry; podfence test judges it"
    if test.by is not None:
        return "a packet is judged in both directions; podfence test judges a single one"
    return ""


def counted(found: Sequence[ProvedTest]) -> dict[str, int]:
    """How many tests there are of each status."""
    numbers: dict[str, int] = {}
    for each in found:
        numbers[each.status] = numbers.get(each.status, 0) + 1
    return numbers
