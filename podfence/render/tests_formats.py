"""Results of tests for programs: JSON data, JUnit suites, TAP 14, annotations of a workflow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from podfence.errors import Locate, Position
from podfence.policy.origin import Origin
from podfence.questions.phrases.tierwords import origin_name
from podfence.questions.phrases.words import count
from podfence.questions.tests.ends import WEAK
from podfence.questions.tests.judge import Result, ResultStatus, Witness
from podfence.questions.tests.run import FileResults
from podfence.render.annotations import SHOWN, annotation
from podfence.render.jsontext import position_data
from podfence.render.junit import Case, Suite
from podfence.render.tests_text import reasons
from podfence.text import printable

SCHEMA = "podfence.test/v1"


def is_failure(result: Result, *, strict: bool) -> bool:
    """Whether a result makes the whole run fail."""
    return not result.is_good or (strict and bool(result.weak))


# -- JSON


def results_data(
    found: Iterable[FileResults], locate: Locate, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The whole answer; ``extra``: coverage and mutation."""
    results = [result for each in found for result in each.results]
    summary = {
        status.value: sum(result.status is status for result in results) for status in ResultStatus
    }
    return {
        "schema": SCHEMA,
        "where": ["model"],
        "summary": {**summary, "weak": sum(bool(result.weak) for result in results)},
        "tests": [test_data(result, locate) for result in results],
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
        "where": "model",
        "pairs": result.pairs,
        "total": result.total,
        "counterexamples": [],
        "reasons": [{"code": miss.code, "message": miss.text} for miss in result.misses],
    }
    if result.witness is not None:
        data["counterexamples"] = [_witness_data(result.witness, locate)]
    if result.weak:
        data["reasons"].append({"code": WEAK, "message": result.weak})
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
    """A rule or an isolating policy, with its place."""
    named = {"name": origin_name(origin), "path": origin.path}
    return named | position_data(locate(origin.source, origin.path))


# -- JUnit


def suites(
    found: Iterable[FileResults],
    locate: Locate,
    *,
    strict: bool,
    properties: Sequence[tuple[str, str]] = (),
) -> Iterator[Suite]:
    """One suite a document."""
    for each in found:
        file = each.file.source.file
        stem = file.rpartition("/")[2].removesuffix(".yaml").removesuffix(".podfence")
        name = f"{file} {each.file.name}".strip()
        cases = (_case(result, stem, locate, strict=strict) for result in each.results)
        yield Suite(printable(name), tuple(cases), tuple(properties))


def _case(result: Result, stem: str, locate: Locate, *, strict: bool) -> Case:
    position = locate(result.test.source, result.test.path)
    place = (position.file, position.line) if position else ("", 0)
    outcome, kind = {
        ResultStatus.PASSED: ("", ""),
        ResultStatus.FAILED: ("failure", "failed"),
        ResultStatus.VACUOUS: ("failure", "vacuous"),
        ResultStatus.SKIPPED: ("skipped", ""),
        ResultStatus.UNDECIDED: ("error", "undecided"),
    }[result.status]
    if strict and result.weak and not outcome:
        outcome, kind = "failure", "weak"
    text = "\n".join(reasons(result, locate))
    return Case(printable(result.test.name), printable(stem), outcome, kind, text, *place)


# -- TAP


def tap_lines(found: Iterable[FileResults], locate: Locate, *, strict: bool) -> Iterator[str]:
    """TAP version 14: one line a test, with a block of YAML below those that do not pass."""
    results = [result for each in found for result in each.results]
    yield "TAP version 14"
    yield f"1..{len(results)}"
    for number, result in enumerate(results, start=1):
        good = not is_failure(result, strict=strict)
        name = printable(result.test.name).replace("#", "\\#")
        skip = f" # SKIP {printable(result.text)}" if result.status is ResultStatus.SKIPPED else ""
        yield f"{'ok' if good else 'not ok'} {number} - {name}{skip}"
        if good:
            continue
        yield "  ---"
        yield f"  got: {'weak' if result.is_good else result.status.value}"
        yield "  because: |"
        yield from (f"    {line}" for line in reasons(result, locate))
        yield "  ..."


# -- annotations


def annotations_of(found: Iterable[FileResults], locate: Locate, *, strict: bool) -> Iterator[str]:
    """A line a test that does not pass, at its place in the test file."""
    results = [result for each in found for result in each.results]
    bad = [result for result in results if is_failure(result, strict=strict)]
    weak = [result for result in results if result.weak and result not in bad]
    for level, members in (("error", bad), ("warning", weak)):
        for result in members[:SHOWN]:
            place: Position | None = locate(result.test.source, result.test.path)
            word = result.status.value if not result.is_good else "weak"
            said = [printable(result.test.name), *reasons(result, locate)]
            yield annotation(level, f"podfence test: {word}", "\n".join(said), place)
        if len(members) > SHOWN:
            rest = count(len(members) - SHOWN, "test")
            yield f"::notice title=podfence test::and {rest} more"
