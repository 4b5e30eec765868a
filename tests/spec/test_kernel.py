"""Every cluster of ``tests/spec`` in the kernel: real packets against the engine, all pairs.

``test_spec`` holds the engine to the cases; this holds the kernel to the engine on the same
clusters, for every pair and every port that matters, so the cases hold in the kernel too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from podfence.lab.run import run_lab
from podfence.lab.testbed.report import LabReport
from podfence.lab.trial import LabOptions
from podfence.policy.compile import compile_cluster
from podfence.render.lab_report import packet_text
from tests.support.scenarios import (
    CONFORMANCE,
    E2E,
    Scenario,
    clause_files,
    clause_scenario,
    conformance_scenario,
    e2e_scenario,
    stages,
)

pytestmark = pytest.mark.kernel


def tried(scenario: Scenario) -> LabReport:
    """The report of a lab with the scenario's cluster."""
    index = compile_cluster(scenario.cluster, scenario.names)
    return run_lab(index, LabOptions(timeout=0.15), progress=lambda _: None)


def findings(report: LabReport) -> list[str]:
    """One line for each probe that did not go as the engine says, or had no control."""
    return [
        f"{packet_text(check.packet)}, engine: {check.verdict.allowed}"
        for check in (*report.disagreements, *report.without_control)
    ]


@pytest.mark.parametrize("path", clause_files(), ids=lambda path: path.stem)
def test_clause(path: Path) -> None:
    assert findings(tried(clause_scenario(path))) == []


@pytest.mark.parametrize("name", stages(E2E))
def test_end_to_end_matrix(name: str) -> None:
    assert findings(tried(e2e_scenario(name))) == []


@pytest.mark.parametrize("name", stages(CONFORMANCE))
def test_conformance_case(name: str) -> None:
    assert findings(tried(conformance_scenario(name))) == []
