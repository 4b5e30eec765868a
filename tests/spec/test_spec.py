"""Every case of every clause, before every judge; and every clause that can be shown has a case."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.judges import EACH_JUDGE, Answer, Judge
from tests.support.scenarios import (
    CONFORMANCE,
    E2E,
    Expectation,
    Scenario,
    clause_files,
    clause_scenario,
    conformance_scenario,
    e2e_scenario,
    staged_tests,
    stages,
)

SEMANTICS = Path(__file__).parents[2] / "docs" / "semantics.md"
CLAUSE = re.compile(r"^\*\*(C?NP-\d+a?)\.\*\* ", re.MULTILINE)
E2E_NUMBERS = {f"E{number}" for number in range(1, 49)}
"""E49 and E50 of upstream test the API server, not traffic."""
CONFORMANCE_CASES = [
    "CNPAdminTierIngressTCP",
    "CNPAdminTierEgressTCP",
    "CNPAdminTierIngressUDP",
    "CNPAdminTierEgressUDP",
    "CNPAdminTierIngressSCTP",
    "CNPAdminTierEgressSCTP",
    "CNPAdminTierGress",
    "CNPAdminTierEgressInlineCIDRPeers",
    "CNPAdminTierPriorityField",
    "CNPAdminTierIntegration",
    "CNPBaselineTierIngressTCP",
    "CNPBaselineTierEgressTCP",
    "CNPBaselineTierIngressUDP",
    "CNPBaselineTierEgressUDP",
    "CNPBaselineTierIngressSCTP",
    "CNPBaselineTierEgressSCTP",
    "CNPBaselineTierGress",
    "CNPBaselineTierEgressInlineCIDRPeers",
    "CNPAdminTierEgressNamedPort",
    "CNPAdminTierIngressNamedPort",
    "CNPBaselineTierEgressNamedPort",
    "CNPBaselineTierIngressNamedPort",
    "CNPAdminTierEgressNodePeers",
    "CNPBaselineTierEgressNodePeers",
    "CNPAdminTierPodSelector",
    "CNPAdminTierPortRange",
    "CNPAdminTierSamePriority",
    "CNPBaselineTierPodSelector",
    "CNPBaselineTierPortRange",
    "CNPBaselineTierSamePriority",
]


def wrong(expectation: Expectation, answer: Answer | None) -> bool:
    """Whether a judge contradicts the file; what a judge cannot say is no contradiction."""
    if answer is None:
        return False
    pairs = (
        (expectation.allowed, answer.allowed),
        (expectation.egress, answer.egress),
        (expectation.ingress, answer.ingress),
    )
    return any(None not in (said, found) and said is not found for said, found in pairs)


def mistakes(judge: Judge, scenario: Scenario) -> list[str]:
    """One line for each expectation that the judge does not meet."""
    answers = judge(scenario.cluster, [e.flow for e in scenario.expectations], scenario.names)
    return [
        f"{e.text}: expected {'allowed' if e.allowed else 'denied'}, got {answer}"
        for e, answer in zip(scenario.expectations, answers, strict=True)
        if wrong(e, answer)
    ]


@EACH_JUDGE
@pytest.mark.parametrize("path", clause_files(), ids=lambda path: path.stem)
def test_clause(path: Path, judge: Judge) -> None:
    assert mistakes(judge, clause_scenario(path)) == []


@EACH_JUDGE
@pytest.mark.parametrize("name", stages(E2E))
def test_end_to_end_matrix(name: str, judge: Judge) -> None:
    assert mistakes(judge, e2e_scenario(name)) == []


@EACH_JUDGE
@pytest.mark.parametrize("name", stages(CONFORMANCE))
def test_conformance_case(name: str, judge: Judge) -> None:
    assert mistakes(judge, conformance_scenario(name)) == []


def clauses() -> dict[str, str]:
    """Clause number -> text, as docs/semantics.md has them."""
    parts = CLAUSE.split(SEMANTICS.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def showable() -> set[str]:
    return {number for number, text in clauses().items() if "*Not shown by a flow:*" not in text}


def test_every_clause_that_can_be_shown_has_a_file_and_every_file_a_clause() -> None:
    assert {clause_scenario(path).clause for path in clause_files()} == showable()


def test_semantics_numbers_every_clause_once() -> None:
    numbers = CLAUSE.findall(SEMANTICS.read_text(encoding="utf-8"))
    assert len(numbers) == len(set(numbers))
    network = {f"NP-{n}" for n in range(1, 69)} | {"NP-15a", "NP-60a"}
    assert network | {f"CNP-{n}" for n in range(1, 31)} == set(numbers)


@pytest.mark.parametrize("path", clause_files(), ids=lambda path: path.stem)
def test_a_clause_file_is_named_after_its_clause(path: Path) -> None:
    kind, _, number = clause_scenario(path).clause.lower().partition("-")
    digits, letter = (number[:-1], "a") if number.endswith("a") else (number, "")
    assert re.fullmatch(rf"{kind}-{int(digits):02d}{letter}(-[a-z-]+)?", path.stem)


@pytest.mark.parametrize("path", clause_files(), ids=lambda path: path.stem)
def test_a_clause_shows_what_passes_and_what_does_not(path: Path) -> None:
    scenario = clause_scenario(path)
    answers = {e.allowed for e in scenario.expectations}
    only_allows = {"NP-2", "NP-11", "NP-13"}
    assert answers == {True, False} or scenario.clause in only_allows


def test_every_traffic_test_of_upstream_is_there() -> None:
    assert {test["number"] for test in staged_tests(E2E)["tests"]} == E2E_NUMBERS


def test_every_conformance_case_of_upstream_is_there() -> None:
    assert [test["number"] for test in staged_tests(CONFORMANCE)["tests"]] == CONFORMANCE_CASES
