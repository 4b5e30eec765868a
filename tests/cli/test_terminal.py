"""On a terminal: a few coloured words and tables that fit. Elsewhere: not one byte differs."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

from podfence.cli.terminal import coloured
from tests.cli.session import ROOT, podfence

SHOP = ["-f", str(ROOT / "examples" / "shop")]
NO = ["can", "shop/frontend", "shop/db:5432", *SHOP]
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
RED, GREEN, YELLOW = "\x1b[31m", "\x1b[32m", "\x1b[33m"


def on_a_terminal(arguments: list[str], **environment: str) -> str:
    """What a terminal of its own gets to see."""
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "podfence", *arguments],
        cwd=ROOT,
        env={**plain, "TERM": "xterm", **environment},
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
    ):
        os.close(follower)
        pieces = []
        try:
            while piece := os.read(leader, 65536):
                pieces.append(piece)
        except OSError:  # the other side is closed: that is how a terminal ends
            pass
        os.close(leader)
    return b"".join(pieces).decode().replace("\r\n", "\n")


def test_a_terminal_gets_colour_and_the_same_words() -> None:
    text = on_a_terminal(NO)
    assert text.startswith(f"{RED}\x1b[1mno\x1b[0m: shop/frontend-1")
    assert ESCAPE.sub("", text) == podfence(NO).out


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_colour_can_be_refused(environment: dict[str, str]) -> None:
    assert on_a_terminal(NO, **environment) == podfence(NO).out


@pytest.mark.parametrize(
    ("variables", "has"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
    ids=str,
)
def test_a_pipe_gets_colour_only_where_it_is_forced(variables: dict[str, str], has: bool) -> None:
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "podfence", *NO],
        cwd=ROOT,
        env={**plain, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert bool(ESCAPE.search(done.stdout)) is has
    assert ESCAPE.sub("", done.stdout) == podfence(NO).out


def test_json_has_no_colour_on_any_terminal() -> None:
    assert on_a_terminal([*NO, "-o", "json"], FORCE_COLOR="1") == podfence([*NO, "-o", "json"]).out


@pytest.mark.parametrize(
    ("line", "word", "colour"),
    [
        ("a.yaml:3:1: error[PF203]: what", "error", RED),
        ("a.yaml: warning[PF112]: what", "warning", YELLOW),
        ("error[PF001]: what", "error", RED),
        ("warning: what", "warning", YELLOW),
        ("yes: a -> b", "yes", GREEN),
        ("  egress  allowed: by a rule", "allowed", GREEN),
        ("  ingress denied: no rule", "denied", RED),
        ("egress of shop/a: denied", "denied", RED),
    ],
)
def test_the_word_that_tells_is_coloured(line: str, word: str, colour: str) -> None:
    painted = f"{colour}\x1b[1m{word}\x1b[0m"
    assert coloured(line) == line.replace(word, painted, 1)


@pytest.mark.parametrize(
    "line",
    ["shop/error   TCP/80   shop/denied", "no pod", "  - shop/no: isolates", "nobody: no", ""],
)
def test_names_are_not_coloured(line: str) -> None:
    assert coloured(line) == line


def test_a_table_fits_the_terminal() -> None:
    command = ["map", *SHOP]
    wide = podfence(command).out
    narrow = on_a_terminal(command, COLUMNS="74")
    assert max(map(len, wide.splitlines())) > 74
    assert max(map(len, narrow.splitlines())) <= 74
    assert sorted(narrow.split()) == sorted(wide.split())
    assert on_a_terminal(command, COLUMNS="200") == wide
