"""Results of tests for programs: JSON data, JUnit suites, TAP 14, annotations, SARIF."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from podfence.errors import Locate, Position
from podfence.policy.origin import Origin
from podfence.questions.phrases.tierwords import origin_name
from podfence.questions.phrases.words import count
from podfence.questions.tests.ends import UNKNOWN_WAY, WEAK
from podfence.questions.tests.form import PolicyTests
from podfence.questions.tests.judge import Result, ResultStatus, Witness
from podfence.render.ciformats import SHOWN, annotation, sarif_location, sarif_run
from podfence.render.jsontext import position_data
from podfence.render.junit import Case, Suite
from podfence.render.tests_told import (
    DIFFERS,
    LAB,
    MODEL,
    TITLES,
    UNPROVED,
    UNPROVED_WORD,
    UNREAD,
    ReportedFile,
    ReportedTest,
    all_told,
    once_each,
)
from podfence.text import printable

SCHEMA = "podfence.test/v1"


# -- JSON


def results_data(
    tests: Sequence[dict[str, Any]], where: Sequence[str], extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The whole answer. ``tests``: each test in each environment; ``where``: the environments;
    ``extra``: coverage, mutation, and whether they agree."""
    words = [status.value for status in ResultStatus]
    words += [UNPROVED_WORD] if LAB in where else []
    summary = {word: sum(test["status"] == word for test in tests) for word in words}
    weak = sum(any(said["code"] == WEAK for said in test.get("reasons", ())) for test in tests)
    return {
        "schema": SCHEMA,
        "where": list(where),
        "summary": {**summary, "weak": weak},
        "tests": list(tests),
        **(extra or {}),
    }


def test_data(result: Result, locate: Locate) -> dict[str, Any]:
    """One test."""
    position = locate(result.test.source, result.test.path)
    data: dict[str, Any] = {
        "name": result.test.name,
        "file": result.test.source.file,
        "line": position.line if position else result.test.source.line,
        "status": result.status.value,
        "where": MODEL,
        "pairs": result.pairs,
        "total": result.total,
        "counterexamples": [],
        "reasons": [{"code": miss.code, "message": miss.text} for miss in result.misses],
    }
    if result.witness is not None:
        data["counterexamples"] = [_witness_data(result.witness, locate)]
    if result.weak:
        data["reasons"].append({"code": WEAK, "message": result.weak})
    if result.unknown:
        data["reasons"].append({"code": UNKNOWN_WAY, "message": result.unknown})
    if result.text:
        data["text"] = result.text
    return data


def _witness_data(witness: Witness, locate: Locate) -> dict[str, Any]:
    return {
        "from": witness.source,
        "to": witness.destination,
        "fromAddress": str(witness.source_address),
        "toAddress": str(witness.destination_address),
        "protocol": witness.protocol,
        "port": witness.port,
        "family": witness.source_address.version,
        "got": "allow" if witness.allowed else "deny",
        "decidedBy": [origin_data(origin, locate) for origin in witness.origins],
    }


def origin_data(origin: Origin, locate: Locate) -> dict[str, Any]:
    """A rule or an isolating policy, with its position."""
    named = {"name": origin_name(origin), "path": origin.path}
    return named | position_data(locate(origin.source, origin.path))


# -- JUnit


def suites(
    found: Iterable[ReportedFile], locate: Locate, properties: Sequence[tuple[str, str]] = ()
) -> Iterator[Suite]:
    """One suite a document and environment."""
    for each in found:
        file = each.file.source.file
        stem = file.rpartition("/")[2].removesuffix(".yaml").removesuffix(".podfence")
        where = "" if each.where == MODEL else f"({each.where})"
        name = " ".join(filter(None, (file, each.file.name, where)))
        cases = (_case(told, stem, locate) for told in each.tests)
        yield Suite(printable(name), tuple(cases), tuple(properties))


def _case(told: ReportedTest, stem: str, locate: Locate) -> Case:
    position = locate(told.test.source, told.test.path)
    location = (position.file, position.line) if position else ("", 0)
    outcome, kind = "", ""
    if told.skipped:
        outcome = "skipped"
    elif told.code in (UNREAD, UNPROVED, DIFFERS):
        outcome, kind = "error", told.word
    elif told.is_failure:
        outcome, kind = "failure", told.word
    text = "\n".join(told.lines)
    return Case(printable(told.test.name), printable(stem), outcome, kind, text, *location)


# -- TAP


def tap_lines(found: Iterable[ReportedFile]) -> Iterator[str]:
    """TAP version 14: one line for each test and environment, with a block of YAML below those that
    do not pass."""
    tests = all_told(found)
    yield "TAP version 14"
    yield f"1..{len(tests)}"
    for number, told in enumerate(tests, start=1):
        where = "" if told.where == MODEL else f" ({told.where})"
        name = printable(told.test.name).replace("#", "\\#") + where
        skip = f" # SKIP {printable(told.skipped)}" if told.skipped else ""
        yield f"{'not ok' if told.is_failure else 'ok'} {number} - {name}{skip}"
        if not told.is_failure:
            continue
        yield "  ---"
        yield f"  got: {told.word}"
        yield "  because: |"
        yield from (f"    {line}" for line in told.lines)
        yield "  ..."


# -- annotations


def annotations_of(found: Iterable[ReportedFile], locate: Locate) -> Iterator[str]:
    """A line a test that does not pass, at its position in the test file."""
    tests = [told for _, told in once_each(found)]
    bad = [told for told in tests if told.is_failure]
    weak = [told for told in tests if told.code and not told.is_failure]
    for level, members in (("error", bad), ("warning", weak)):
        for told in members[:SHOWN]:
            position: Position | None = locate(told.test.source, told.test.path)
            said = [printable(told.test.name), *told.lines]
            yield annotation(level, f"podfence test: {told.word}", "\n".join(said), position)
        if len(members) > SHOWN:
            rest = count(len(members) - SHOWN, "test")
            yield f"::notice title=podfence test::and {rest} more"


# -- SARIF


def sarif_of(found: Iterable[ReportedFile], locate: Locate) -> dict[str, object]:
    """One run: a result for each test that does not pass or proves little, at its position in the
    test file. What decided over the connection that is shown are the related positions."""
    bad = [(file, told) for file, told in once_each(found) if told.code]
    codes = sorted({told.code for _, told in bad})
    rules = [{"id": code, "shortDescription": {"text": TITLES[code]}} for code in codes]
    return sarif_run(rules, (_sarif_result(file, told, locate) for file, told in bad))


def _sarif_result(file: PolicyTests, told: ReportedTest, locate: Locate) -> dict[str, object]:
    test = told.test
    key = f"{told.code} {told.where} {test.source.file} {file.name} {test.name}"
    said = [f"{TITLES[told.code]}: {printable(test.name)}", *told.lines]
    result: dict[str, object] = {
        "ruleId": told.code,
        "level": "error" if told.is_failure else "warning",
        "message": {"text": "\n".join(said)},
        "locations": [],
        "partialFingerprints": {"podfenceTest/v1": sha256(key.encode()).hexdigest()},
    }
    position = locate(test.source, test.path)
    if position is not None:
        result["locations"] = [
            sarif_location(printable(position.file), position.line, position.column)
        ]
    related = []
    for origin in told.origins[:SHOWN]:
        position = locate(origin.source, origin.path)
        if position is not None:
            where = printable(position.file), position.line, position.column
            related.append(sarif_location(*where, printable(origin_name(origin))))
    if related:
        result["relatedLocations"] = related
    return result
