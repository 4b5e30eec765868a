"""``check``: which findings are said, and from which weight on the command fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.session import podfence

GOTCHAS = ["check", "-f", "examples/gotchas"]
OF_30 = ["PF304", "PF308"]
OTHERS = ["PF315", "PF320", "PF329", "PF333", "PF340", "PF350", "PF351"]


def codes(*options: str) -> list[str]:
    done = podfence([*GOTCHAS, *options])
    return sorted(set(re.findall(r"\[(PF\d{3})\]", done.out)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), [*OF_30, *OTHERS]),
        (("--server-only",), []),
        (("--select", "PF304"), ["PF304"]),
        (("--select", "PF304,PF308"), ["PF304", "PF308"]),
        (("--select", "PF304", "--select", " PF308"), ["PF304", "PF308"]),
        (("--select", "PF31"), ["PF315"]),
        (("--select", "rules-without-type,PF308"), ["PF304", "PF308"]),
        (("--ignore", "PF30"), OTHERS),
        (("--ignore", "PF3"), []),
        (("--select", "PF3", "--ignore", "PF30,PF33"), sorted({*OTHERS} - {"PF333"})),
        (("--select", "PF22"), []),
    ],
)
def test_codes_choose_what_is_said(options: tuple[str, ...], said: list[str]) -> None:
    assert codes(*options) == said


@pytest.mark.parametrize("name", ["PF201", "PF999", "304", "pf304", "", "PF304,,PF308", "PF3044"])
@pytest.mark.parametrize("option", ["--select", "--ignore"])
def test_only_codes_of_findings_can_be_chosen(option: str, name: str) -> None:
    done = podfence([*GOTCHAS, option, name])
    assert done.status == 2
    assert "is not a code of what policies do" in done.err
    assert "PF22" in done.err
    assert "PF30" in done.err


@pytest.mark.parametrize(
    ("only", "fail_on", "status"),
    [
        ("PF304", "error", 1),
        ("PF315", "error", 0),
        ("PF315", "warning", 1),
        ("PF315", "note", 1),
        ("PF304", "never", 0),
        ("PF22", "note", 0),
    ],
)
def test_the_weight_decides_the_status(only: str, fail_on: str, status: int) -> None:
    done = podfence([*GOTCHAS, "--select", only, "--fail-on", fail_on])
    assert done.status == status


def test_nothing_is_said_of_policies_while_one_cannot_be_read() -> None:
    done = podfence([*GOTCHAS, "-f", "examples/broken/typo.yaml"])
    assert re.findall(r"\[(PF\d{3})\]", done.out) == ["PF201"]
    assert done.out.endswith(
        "what the policies really do is checked once all objects can be read\n"
    )


def test_with_a_namespace_its_policies_alone_are_checked() -> None:
    done = podfence([*GOTCHAS, "-n", "watch"])
    *said, _ = done.out.splitlines()
    assert said
    about = (" NetworkPolicy watch/watcher-egress: ", " Namespace watch: ")
    assert all(any(each in line for each in about) for line in said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file or directory; --write-baseline b.json makes it"),
        ("", "not a baseline; --write-baseline b.json makes one"),
        ("[1", "not a baseline; --write-baseline b.json makes one"),
        ("{}", "not a baseline; --write-baseline b.json makes one"),
        ("[" * 100_000, "not a baseline; --write-baseline b.json makes one"),
    ],
    ids=["missing", "of 0 bytes", "cut off", "empty", "deep"],
)
def test_a_baseline_that_is_none(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "b.json").write_text(text)
    words = ["check", "-f", "-", "--baseline", "b.json"]
    done = podfence(words, directory=tmp_path, stdin=b"{kind: Pod}")
    assert (done.status, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize("options", [[], ["--fail-on", "never"], ["--server-only"]])
@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n", None])
def test_what_was_not_read_is_no_finding(
    tmp_path: Path, options: list[str], text: str | None
) -> None:
    """A path that is misspelt, or a program upstream that printed nothing, is never green."""
    if text is not None:
        (tmp_path / "a.yaml").write_text(text)
    assert podfence(["check", "-f", "a.yaml", *options], directory=tmp_path).status == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--select", "PF350", "--ignore", "PF3"], "--ignore leaves none of the codes of --select"),
        (["--write-baseline", "-"], "--write-baseline - is not a file"),
        (["--write-baseline", "b.json", "--server-only"], "--server-only has no findings to write"),
    ],
)
def test_options_that_leave_nothing_are_refused(
    tmp_path: Path, options: list[str], said: str
) -> None:
    done = podfence(["check", "-f", "-", *options], directory=tmp_path, stdin=b"{kind: Pod}")
    assert (done.status, done.out) == (2, "")
    assert said in done.err
    assert [*tmp_path.iterdir()] == []


POD = "{apiVersion: v1, kind: Pod, metadata: {name: a}}\n"
TORN = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: b}, spec: 5}\n"


@pytest.mark.parametrize("there", [POD, "{}", "[1", '{"schema": "other/v1", "findings": []}'])
def test_a_file_that_is_no_baseline_is_not_replaced(tmp_path: Path, there: str) -> None:
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b").write_text(there)
    done = podfence(["check", "-f", "a.yaml", "--write-baseline", "b"], directory=tmp_path)
    assert (done.status, (tmp_path / "b").read_text()) == (2, there)
    assert "--write-baseline b: the file is there and is not a baseline" in done.err


def test_a_baseline_is_replaced_and_not_by_half_of_what_is_known(tmp_path: Path) -> None:
    write = ["check", "-f", "a.yaml", "--write-baseline", "b"]
    for before in (None, "", "\n"):
        (tmp_path / "a.yaml").write_text(POD)
        if before is not None:
            (tmp_path / "b").write_text(before)
        assert podfence(write, directory=tmp_path).status == 0
    known = (tmp_path / "b").read_text()
    (tmp_path / "a.yaml").write_text(f"{POD}---\n{TORN}")
    done = podfence(write, directory=tmp_path)
    assert (done.status, (tmp_path / "b").read_text()) == (2, known)
    assert "not every object can be read" in done.err
