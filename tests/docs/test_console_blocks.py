"""Every command that the documentation shows prints what the documentation says, byte for byte.

After a change that is meant: ``python -m tests.docs.console``, and review the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from podfence.questions.lint.findings import LINT_CODES
from tests.docs.console import ROOT, Command, commands, masked, pages, run

ALL = [command for page in pages() for command in commands(page)]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("command", [c for c in ALL if not c.kernel], ids=str)
def test_command_prints_what_the_page_says(command: Command) -> None:
    assert masked(run(command.command)) == masked(command.output)


@pytest.mark.kernel
@pytest.mark.timeout(150)
@pytest.mark.parametrize("command", [c for c in ALL if c.kernel], ids=str)
def test_lab_command_prints_what_the_page_says(command: Command) -> None:
    assert masked(run(command.command)) == masked(command.output)


def test_commands_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```console\n$ podfence a\nout\nmore\n$ podfence b | head\n```\n\n"
        "```console not-run\n$ podfence c\n```\n\n```console\n$ kubectl get pods\n```\n"
    )

    assert [(c.line, c.command, c.output) for c in commands(page)] == [
        (2, "podfence a", "out\nmore\n"),
        (5, "podfence b | head", ""),
    ]


def test_the_page_about_tutorials_lists_every_note() -> None:
    text = (ROOT / "docs/tutorials.md").read_text()
    rows = re.findall(r"^\| (PF3\d\d) \| (.*) \|$", text, re.MULTILINE)

    assert dict(rows) == {code: LINT_CODES[code] for code in LINT_CODES if code.startswith("PF3")}
