"""``check``: which findings are said, and from which weight on the command fails."""

from __future__ import annotations

import re

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
