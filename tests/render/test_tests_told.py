"""What is told at the place of a test: once, whichever environments it ran in."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.errors import Position, Source
from podfence.render.tests_formats import annotations_of, sarif_of, suites, tap_lines
from podfence.render.tests_told import DIFFERS, FAILS, LAB, MODEL, ReportedFile, ReportedTest
from tests.questions.tests.judged import file_of

FILE = file_of(
    {"from": "a", "to": "b", "expect": "allow"}, {"from": "b", "to": "a", "expect": "deny"}
)
ONE = FILE.tests[0]


def locate(source: Source | None, path: str) -> Position | None:
    return Position("t.yaml", 7, 3) if path.endswith("[0]") else Position("t.yaml", 9, 3)


def told(where: str, *words: tuple[int, str]) -> ReportedFile:
    """``words``: number and code of tests; "" passes."""
    return ReportedFile(
        FILE,
        where,
        tuple(
            ReportedTest(
                FILE.tests[n],
                where,
                "failed" if code else "passed",
                (f"by {where}",),
                code,
                bool(code),
            )
            for n, code in words
        ),
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            [told(MODEL, (0, FAILS), (1, "")), told(LAB, (0, FAILS), (1, ""))],
            [(FAILS, 7, ["by model", "in the lab: by lab"])],
            id="it fails in both",
        ),
        pytest.param(
            [told(MODEL, (0, ""), (1, "")), told(LAB, (0, DIFFERS), (1, ""))],
            [(DIFFERS, 7, ["by lab"])],
            id="in one alone",
        ),
        pytest.param(
            [told(MODEL, (0, FAILS), (1, "")), told(LAB, (0, DIFFERS), (1, ""))],
            [(FAILS, 7, ["by model"]), (DIFFERS, 7, ["by lab"])],
            id="otherwise in each",
        ),
        pytest.param(
            [told(MODEL, (0, FAILS), (1, FAILS)), told(LAB, (0, FAILS), (1, FAILS))],
            [
                (FAILS, 7, ["by model", "in the lab: by lab"]),
                (FAILS, 9, ["by model", "in the lab: by lab"]),
            ],
            id="two tests are two",
        ),
    ],
)
def test_a_problem_of_a_test_is_told_once(
    found: list[ReportedFile], expected: list[tuple[str, int, list[str]]]
) -> None:
    data: Any = sarif_of(found, locate)
    results = data["runs"][0]["results"]
    assert [
        (
            each["ruleId"],
            each["locations"][0]["physicalLocation"]["region"]["startLine"],
            each["message"]["text"].splitlines()[1:],
        )
        for each in results
    ] == expected
    prints = [each["partialFingerprints"]["podfenceTest/v1"] for each in results]
    assert len({*prints}) == len(prints)
    lines = list(annotations_of(found, locate))
    assert [f",line={line}," in said for said, (_, line, _) in zip(lines, expected, strict=True)]


def test_reports_of_runs_keep_each_environment() -> None:
    found = [told(MODEL, (0, FAILS)), told(LAB, (0, FAILS))]
    assert len(list(suites(found, locate))) == 2
    assert [line for line in tap_lines(found) if line.startswith("not ok")] == [
        f"not ok 1 - {ONE.name}",
        f"not ok 2 - {ONE.name} (lab)",
    ]
