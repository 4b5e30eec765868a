"""``-o FORMAT=FILE``, several at once: one run, the same answers as of one run each."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.session import podfence

CHECK = ["check", "-f", "examples/gotchas"]
PLAN = ["plan", "examples/shop/policies", "examples/plan", "-f", "examples/shop"]


@pytest.mark.parametrize(
    ("command", "formats"),
    [
        (CHECK, ("text", "json", "sarif", "github", "junit")),
        (PLAN, ("text", "wide", "json", "markdown", "sarif", "github")),
    ],
    ids=["check", "plan"],
)
def test_every_format_is_what_it_is_alone(
    command: list[str], formats: tuple[str, ...], tmp_path: Path
) -> None:
    first, *others = formats
    words = [word for each in others for word in ("-o", f"{each}={tmp_path / each}")]
    together = podfence([*command, "-o", first, *words])
    for each in formats:
        alone = podfence([*command, "-o", each])
        text = together.out if each == first else (tmp_path / each).read_text()
        assert (text, together.status) == (alone.out, alone.status), each


def test_without_a_place_for_people_nothing_is_printed(tmp_path: Path) -> None:
    done = podfence([*CHECK, "-o", f"sarif={tmp_path / 'a'}"])
    assert (done.status, done.out, done.err) == (1, "", "")


@pytest.mark.parametrize("command", [CHECK, PLAN], ids=["check", "plan"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "xml"], "-o xml: there are text, "),
        (["-o", "text", "-o", "json"], "two formats cannot share standard output"),
        (["-o", "json=/no/such/folder/a"], "cannot write /no/such/folder/a"),
    ],
)
def test_what_cannot_be_written(command: list[str], words: list[str], said: str) -> None:
    done = podfence([*command, *words])
    assert done.status == 2
    assert said in done.err
