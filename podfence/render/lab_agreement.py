"""Whether the model and packets, of a lab or of a cluster, agree on tests, as text and as data.

Rule: disagreements come first, in full. A test that passed in both is only counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from podfence.errors import Locate
from podfence.lab.testbed.agreement import Agreement, AgreementStatus, ComparedTest, ProvedTest
from podfence.questions.phrases.words import count
from podfence.questions.tests.judge import Result, ResultStatus
from podfence.render import lab_tests
from podfence.render.tests_text import lines_of_test
from podfence.render.tests_told import LAB
from podfence.text import printable

_INDENT = " " * 9


def agreement_text(
    found: Agreement, locate: Locate, *, where: str = LAB, strict: bool = False
) -> str:
    """What is not as it should be, then the sum. ``where``: the environment of the packets."""
    lines: list[str] = []
    for each in found.seen(AgreementStatus.DISAGREE):
        lines += _disagreement(each, locate)
    for each in found.tests:
        if each.sight is not AgreementStatus.DISAGREE:
            lines += _other(each, locate, where, strict=strict)
    lines.append(_sum(found, where))
    return "".join(f"{line}\n" for line in lines)


def _disagreement(each: ComparedTest, locate: Locate) -> Iterator[str]:
    yield _headed("DISPUTE", each, locate)
    yield from (f"{_INDENT}{line}" for line in lab_tests.reasons(each.proved, locate))


def _other(each: ComparedTest, locate: Locate, where: str, *, strict: bool) -> Iterator[str]:
    result, proved = each.result, each.proved
    is_bad = not result.is_good or bool(strict and result.weak)
    if is_bad:
        yield from lines_of_test(result, locate, strict=strict)
    if each.sight is AgreementStatus.UNPROVED:
        yield _headed("UNPROVED", each, locate)
        yield from (f"{_INDENT}{line}" for line in _unproved(result, proved, locate, where))
    elif each.sight is AgreementStatus.ONE and not is_bad:
        yield from _alone(each, locate, where)


def _unproved(result: Result, proved: ProvedTest, locate: Locate, where: str) -> Iterator[str]:
    if proved.status == "unproved":
        yield printable(proved.text)
    elif proved.status == "failed":
        makes = ", which makes nodes of its own" if where == LAB else ""
        yield f"packets break it, and the engine says so of the {where}{makes}:"
        yield from lab_tests.reasons(proved, locate)
    else:
        word = result.status.value
        yield f"the model says {word}; no packet was on the connections that decide it"


def _alone(each: ComparedTest, locate: Locate, where: str) -> Iterator[str]:
    result, proved = each.result, each.proved
    if result.status is not ResultStatus.SKIPPED:
        yield f"model   {printable(each.result.test.name)}  ({result.status.value})"
        yield f"{_INDENT}not by packets: {printable(proved.text)}"
    elif proved.status == "skipped":
        yield from lines_of_test(result, locate)
    else:
        yield f"{where:7} {printable(each.result.test.name)}  ({proved.status})"
        yield from (f"{_INDENT}{line}" for line in lab_tests.reasons(proved, locate))


def _headed(word: str, each: ComparedTest, locate: Locate) -> str:
    position = locate(each.result.test.source, each.result.test.path)
    where = f"  ({printable(str(position))})" if position else ""
    return f"{word:7} {printable(each.result.test.name)}{where}"


def _sum(found: Agreement, where: str) -> str:
    same, other = len(found.seen(AgreementStatus.AGREE)), len(found.seen(AgreementStatus.DISAGREE))
    control = "that were answered before any policy" if where == LAB else "on ports that answer"
    denials = f"{count(found.denials, 'denial')} {control}"
    said = f"({count(found.connections, 'connection')}, {denials})"
    if other:
        return f"model and {where} disagree on {count(other, 'test')}, and agree on {same} {said}"
    return f"model and {where} agree on {count(same, 'test')} {said}"


def agreement_data(found: Agreement, locate: Locate, where: str = LAB) -> dict[str, Any]:
    """For ``-o json``."""
    return {
        "agree": len(found.seen(AgreementStatus.AGREE)),
        "connections": found.connections,
        "denials": found.denials,
        "disagreements": [
            _data(each, locate, where) for each in found.seen(AgreementStatus.DISAGREE)
        ],
        "notCompared": [
            {"name": each.result.test.name, "reason": each.sight.value}
            for each in found.tests
            if each.sight in (AgreementStatus.UNPROVED, AgreementStatus.ONE, AgreementStatus.EMPTY)
        ],
    }


def _data(each: ComparedTest, locate: Locate, where: str) -> dict[str, Any]:
    found = lab_tests.packets_data(each.proved, locate)
    return {
        "name": found["name"],
        "file": found["file"],
        "line": found["line"],
        "model": each.result.status.value,
        where: each.proved.status,
        "because": found["because"],
    }
