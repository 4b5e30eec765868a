"""``-o FORMAT=FILE``, several at once: one run, the same answers as of one run each."""

from __future__ import annotations

import os
import re
from pathlib import Path
from threading import Thread

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


def test_without_an_output_for_people_nothing_is_printed(tmp_path: Path) -> None:
    done = podfence([*CHECK, "-o", f"sarif={tmp_path / 'a'}"])
    assert (done.status, done.out, done.err) == (1, "", "")


@pytest.mark.parametrize("command", [CHECK, PLAN], ids=["check", "plan"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "xml"], "-o xml: there are text, "),
        (["-o", "text", "-o", "json"], "two formats cannot share standard output"),
        (["-o", "json=/no/such/folder/a"], "cannot write /no/such/folder/a"),
        (["-o", "json=examples"], "cannot write examples: Is a directory"),
        (["-o", "json=a", "-o", "sarif=./a"], "two formats cannot share a"),
        (["-o", "text", "-o", "json=-"], "two formats cannot share standard output"),
        (["-o", "json="], "-o json= names no file; -o json prints it"),
    ],
)
def test_what_cannot_be_written(command: list[str], words: list[str], said: str) -> None:
    done = podfence([*command, *words])
    assert done.status == 2
    assert said in done.err


def test_a_dash_is_standard_output() -> None:
    assert podfence([*CHECK, "-o", "json=-"]) == podfence([*CHECK, "-o", "json"])


@pytest.mark.parametrize("command", [CHECK, PLAN], ids=["check", "plan"])
def test_one_that_cannot_be_written_leaves_all_others_as_they_were(
    command: list[str], tmp_path: Path
) -> None:
    old = tmp_path / "old.json"
    old.write_text("old")
    words = ["-o", "text", "-o", f"json={old}", "-o", f"sarif={tmp_path}"]
    done = podfence([*command, *words])
    assert (done.status, done.out, old.read_text()) == (2, "", "old")
    assert [each.name for each in tmp_path.iterdir()] == ["old.json"]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    done = podfence([*CHECK, "-o", f"json={pipe}"])
    reader.join(60)
    assert pipe.is_fifo()
    assert read == [podfence([*CHECK, "-o", "json"]).out], done.err


@pytest.mark.parametrize(
    "words",
    [
        ["check", "-f", "examples/shop", "-o", "json={}"],
        ["check", "-f", "examples/shop", "--write-baseline", "{}"],
        ["report", "-f", "examples/shop", "-o", "{}"],
    ],
    ids=["check", "baseline", "report"],
)
def test_a_name_of_what_is_open_is_never_replaced(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = re.compile(re.escape(str(tmp_path / "stdout")))
    monkeypatch.setattr("podfence.manifests.wholefiles._DESCRIPTOR", names)
    device, behind = tmp_path / "stdout", tmp_path / "behind"
    behind.write_text("before\n")
    device.symlink_to(behind)
    done = podfence([word.format(device) for word in words])
    assert done.status in (0, 1), done.err
    assert device.is_symlink()
    assert behind.read_text().startswith("before\n")
    assert len(behind.read_text()) > len("before\n")
