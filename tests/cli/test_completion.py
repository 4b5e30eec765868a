"""Shells complete commands, options, their values and file names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.session import ROOT, podfence
from tests.kube.fakecluster import kubeconfig


def completed(line: str) -> list[str]:
    """What bash would be offered for a line; a word is completed that begins after a blank."""
    words = line.split(" ")
    done = subprocess.run(
        [sys.executable, "-m", "podfence"],
        cwd=ROOT,
        env={
            **os.environ,
            "_PODFENCE_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("podfence des", ["plain,describe"]),
        ("podfence lab stat", ["plain,status"]),
        ("podfence map --fi", ["plain,--filename"]),
        ("podfence why -o ", ["plain,text", "plain,json"]),
        ("podfence completion z", ["plain,zsh"]),
        ("podfence map -f exa", ["file,exa"]),
        ("podfence can --resolve n", ["file,n"]),
    ],
)
def test_what_is_offered(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


def test_the_contexts_of_the_kubeconfig_are_offered(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, "http://127.0.0.1:9")
    assert completed(f"podfence map --kubeconfig {file} --context t") == ["plain,test"]
    assert completed(f"podfence map --kubeconfig {file} --context x") == []
    file.write_text("clusters: 5\n")
    assert completed(f"podfence map --kubeconfig {file} --context ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_podfence_itself(shell: str) -> None:
    done = podfence(["completion", shell])
    assert done.status == 0
    assert f"_PODFENCE_COMPLETE={shell}_complete" in done.out


def test_other_shells_are_an_error_that_names_those_that_work() -> None:
    done = podfence(["completion", "csh"])
    assert (done.status, done.out) == (2, "")
    assert "'bash', 'zsh', 'fish'" in done.err
