"""Tests that packets decided, in a lab or in a cluster, as text and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from podfence.errors import Locate
from podfence.lab.testbed.agreement import ProvedTest, counted
from podfence.policy.flow import Verdict
from podfence.policy.origin import Origin
from podfence.questions.phrases.words import count
from podfence.questions.tests.form import PolicyTests
from podfence.render.lab_report import disagreement_lines
from podfence.render.tests_told import DIFFERS, FAILS, LAB, UNPROVED, ReportedFile, ReportedTest
from podfence.render.verdicts import protocol_text
from podfence.text import printable

_WORDS = {
    "passed": "pass",
    "failed": "FAIL",
    "vacuous": "VACUOUS",
    "unproved": "UNPROVED",
    "skipped": "skip",
}
_INDENT = " " * 10
_SHOWN = 9


def proved_text(found: Sequence[ProvedTest], locate: Locate) -> str:
    """A line a test, then why it did not pass."""
    lines: list[str] = []
    for each in found:
        remark = f"{count(each.packets, 'packet')}, {each.denials} of them denied"
        if not each.packets:
            remark = each.text
        if each.status != "passed":
            position = locate(each.test.source, each.test.path)
            remark = printable(str(position)) if position else ""
        lines.append(f"{_WORDS[each.status]:8} {printable(each.test.name)}  ({remark})")
        lines += (f"{_INDENT}{line}" for line in reasons(each, locate))
        lines += (f"{_INDENT}{line}" for line in untried_lines(each))
    said = ", ".join(f"{number} {word}" for word, number in counted(found).items())
    lines.append(f"{count(len(found), 'test')}: {said or 'none ran'}")
    return "".join(f"{line}\n" for line in lines)


def reasons(proved: ProvedTest, locate: Locate) -> Iterator[str]:
    """Why a test did not simply pass: disagreements with the engine first."""
    if proved.odd is not None:
        yield from disagreement_lines(proved.odd, locate)
    named = proved.others[:_SHOWN]
    yield from (line for each in named for line in islice(disagreement_lines(each, locate), 1))
    if proved.differ > 1 + len(named):
        more = count(proved.differ - 1 - len(named), "more packet")
        yield f"{more} did not do what the engine says"
    if proved.first is not None and (proved.first.agrees or proved.odd is None):
        seen = proved.first
        as_said = ", as the engine says" if seen.agrees else ""
        ports = protocol_text(seen.protocol, seen.port)
        became = "got through" if seen.open else "got no answer"
        ends = f"{printable(seen.source)} -> {printable(seen.target)}"
        yield f"{ends} {ports} over IPv{seen.family} {became}{as_said}"
    if proved.wrong > 1:
        yield f"{count(proved.wrong, 'packet')} of {proved.packets} are not as the test says"
    for miss in proved.misses:
        yield f"{printable(miss.text)} [{miss.code}]"
    if proved.text and proved.status != "passed":
        yield printable(proved.text)


def untried_lines(proved: ProvedTest) -> Iterator[str]:
    """What no packet of a test could try."""
    if proved.untried and proved.status != "skipped":
        yield f"not tried: {', '.join(map(printable, proved.untried))}"


# -- for build servers


def told_packets(
    file: PolicyTests, found: Sequence[ProvedTest], locate: Locate, where: str = LAB
) -> ReportedFile:
    """What packets say of the tests of a document. ``where``: which packets."""
    return ReportedFile(file, where, tuple(_told(each, locate, where) for each in found))


def _told(each: ProvedTest, locate: Locate, where: str) -> ReportedTest:
    lines = tuple(reasons(each, locate))
    skipped = each.text if each.status == "skipped" else ""
    word, code = each.status, ""
    if each.differ:
        word, code = "disputed", DIFFERS
    elif word == "failed":
        code = FAILS
    elif word == "unproved":
        code = UNPROVED
    elif word == "vacuous":
        code = each.misses[0].code
    origins = () if each.odd is None else _origins(each.odd.verdict)
    return ReportedTest(each.test, where, word, lines, code, bool(code), skipped, origins)


def _origins(verdict: Verdict) -> tuple[Origin, ...]:
    return *verdict.egress.origins, *verdict.ingress.origins


# -- JSON


def proved_data(found: Sequence[ProvedTest], locate: Locate) -> dict[str, Any]:
    """For ``lab test -o json``."""
    return {
        "schema": "podfence.lab-test/v1",
        "summary": counted(found),
        "tests": [packets_data(each, locate) for each in found],
    }


def packets_data(each: ProvedTest, locate: Locate) -> dict[str, Any]:
    """One test."""
    position = locate(each.test.source, each.test.path)
    return {
        "name": each.test.name,
        "file": each.test.source.file,
        "line": position.line if position else each.test.source.line,
        "status": each.status,
        "packets": each.packets,
        "denials": each.denials,
        "differ": each.differ,
        "because": list(reasons(each, locate)),
        **({"untried": list(each.untried)} if each.untried else {}),
    }
