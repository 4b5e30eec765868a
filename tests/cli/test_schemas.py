"""What ``-o json`` prints is valid for the schemas that are published under docs/schemas."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.cli.schema import violations
from tests.cli.session import ROOT, podfence
from tests.cli.test_golden import COMMANDS

SCHEMAS = ROOT / "docs" / "schemas"

REFUSED = re.compile(r"not-a-list|missing|policy-json")
"""Names of commands that answer nothing."""


def _published(command: str) -> str:
    """The schema of what a command prints."""
    if "--queries" in command:
        return "answers"
    if command.startswith(("can entry/", "why entry/")):
        return "entry"
    words = command.split()
    return "-".join(words[:2] if words[0] == "agent" else words[:1])


CASES = {
    name: _published(command)
    for name, command in COMMANDS.items()
    if "-o json" in command and not REFUSED.search(name)
} | {
    f"map {directory}": "map"
    for directory in sorted(
        str(path.relative_to(ROOT))
        for path in ROOT.glob("examples/tutorials/0*")
        if path.is_dir() and "as-printed" not in path.name
    )
}


def _schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
    return found


def _arguments(case: str) -> list[str]:
    if case in COMMANDS:
        return COMMANDS[case].split()
    return [*case.replace(" ", " -f ", 1).split(), "-o", "json"]


@pytest.mark.parametrize("case", CASES)
def test_output_is_valid(case: str) -> None:
    schema = _schema(CASES[case])
    assert violations(json.loads(podfence(_arguments(case)).out), schema, schema) == []


@pytest.mark.parametrize("name", ["queries.json", "bad-queries.json"])
def test_queries_that_are_understood_are_valid(name: str) -> None:
    schema = _schema("queries")
    value = json.loads((ROOT / "tests/cli/inputs" / name).read_text("utf-8"))
    assert violations(value, schema, schema) == []


def test_every_schema_is_used() -> None:
    published = {path.name.removesuffix(".schema.json") for path in SCHEMAS.iterdir()}
    lab = {f"lab-{name}" for name in ("report", "apply", "why", "status", "list", "down", "tests")}
    elsewhere = {"queries", "report", "drops"}  # tests/cli/test_report.py, tests/render
    elsewhere |= {"contexts"}  # test_all_contexts.py
    elsewhere |= {"status", "policy-status"}  # tests/agent/test_fleet.py
    elsewhere |= {"rules", "serve"}  # test_rules_command.py, test_serve_lookups.py
    assert published == {*CASES.values(), *elsewhere, *lab}  # tests/render/test_lab_json.py


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({"allowed": True}, "lacks 'egress'"),
        ({"allowed": "yes", "egress": {}, "ingress": {}}, "is not boolean"),
        ({"allowed": True, "surprise": 1}, "unexpected 'surprise'"),
        ([], "is not object"),
    ],
)
def test_the_validator_refuses(value: Any, wrong: str) -> None:
    schema = _schema("can")
    if isinstance(value, list):
        schema = {"type": "object"}
    assert any(wrong in line for line in violations(value, schema, schema))
