"""The result of a test in one environment, in the form that all formats for build servers share.

Rule: a test is reported once for each environment in which it ran, and every problem has a code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from podfence.errors import Locate, Source
from podfence.policy.origin import Origin
from podfence.questions.tests.ends import TEST_CODES, UNKNOWN_WAY, WEAK
from podfence.questions.tests.form import PolicyTest, PolicyTests
from podfence.questions.tests.judge import Result, ResultStatus
from podfence.questions.tests.run import FileResults
from podfence.render.tests_text import reasons

MODEL, LAB, CLUSTER = "model", "lab", "cluster"
"""Environments in which a test runs."""
UNPROVED_WORD = "unproved"
FAILS, UNPROVED, DIFFERS, UNREAD = "PF507", "PF508", "PF509", "PF007"
RESULT_CODES: Mapping[str, str] = {
    FAILS: "a test fails",
    UNPROVED: "a test was not proved by packets",
    DIFFERS: "packets did not do what the engine says",
}
"""Codes of what comes of tests, with their meaning in one line."""
TITLES: Mapping[str, str] = {
    **TEST_CODES,
    **RESULT_CODES,
    UNREAD: "a test has no verdict: part of the input could not be read",
}
"""The meaning of every code that a test can have."""


class ReportedTest(Struct, frozen=True):
    """One test in one environment. ``word``: its result; ``lines``: why, safe to print; ``code``:
    of a problem or remark, "" if there is none; ``is_failure``: it makes the whole run fail.
    ``skipped``: why it did not run, "" if it did. ``origins``: the rules that decided about the
    connection that is shown."""

    test: PolicyTest
    where: str
    word: str
    lines: tuple[str, ...] = ()
    code: str = ""
    is_failure: bool = False
    skipped: str = ""
    origins: tuple[Origin, ...] = ()


class ReportedFile(Struct, frozen=True):
    """The tests of one document in one environment, in its order."""

    file: PolicyTests
    where: str
    tests: tuple[ReportedTest, ...]


def told_results(
    found: Iterable[FileResults], locate: Locate, *, strict: bool = False
) -> Iterator[ReportedFile]:
    """What the engine says. ``strict``: a test that proves little fails."""
    for each in found:
        tests = tuple(_told(result, locate, strict=strict) for result in each.results)
        yield ReportedFile(each.file, MODEL, tests)


def all_told(found: Iterable[ReportedFile]) -> Sequence[ReportedTest]:
    """The tests of all documents."""
    return [test for each in found for test in each.tests]


def once_each(found: Iterable[ReportedFile]) -> Sequence[tuple[PolicyTests, ReportedTest]]:
    """What is to be said at the place of a test: once, where environments report the same of it.
    Lines of all but the first environment say which it is."""
    every: dict[tuple[Source, str, str], tuple[PolicyTests, ReportedTest]] = {}
    for each in found:
        for told in each.tests:
            key = told.test.source, told.test.path, told.code
            known = every.get(key)
            if known is None:
                every[key] = each.file, told
                continue
            first = known[1]
            lines = (*first.lines, *(f"in the {told.where}: {line}" for line in told.lines))
            is_failure = first.is_failure or told.is_failure
            every[key] = known[0], replace(first, lines=lines, is_failure=is_failure)
    return list(every.values())


def _told(result: Result, locate: Locate, *, strict: bool) -> ReportedTest:
    status = result.status
    weak = bool(result.weak) and result.is_good
    code = WEAK if result.weak else ""
    if status is ResultStatus.FAILED:
        code = FAILS
    elif status is ResultStatus.UNDECIDED:
        code = UNKNOWN_WAY if result.unknown else UNREAD
    elif status is ResultStatus.VACUOUS:
        code = result.misses[0].code
    return ReportedTest(
        result.test,
        MODEL,
        "weak" if weak else status.value,
        tuple(reasons(result, locate)),
        code,
        not result.is_good or (strict and weak),
        result.text if status is ResultStatus.SKIPPED else "",
        () if result.witness is None else result.witness.origins,
    )
