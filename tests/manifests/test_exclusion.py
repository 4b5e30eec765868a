"""Patterns of ``--exclude`` and ``.podfenceignore``: those of ``.gitignore``."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from podfence.manifests.exclusion import Exclusion


@pytest.mark.parametrize(
    ("pattern", "excluded", "kept"),
    [
        ("a.yaml", ["a.yaml", "x/a.yaml", "x/y/a.yaml"], ["b.yaml", "xa.yaml", "a.yaml2"]),
        ("/a.yaml", ["a.yaml"], ["x/a.yaml"]),
        ("x/a.yaml", ["x/a.yaml"], ["a.yaml", "y/x/a.yaml"]),
        ("*.json", ["a.json", ".json", "x/a.json"], ["json", "a.jsonx"]),
        ("x/*.json", ["x/a.json"], ["x/y/a.json", "a.json"]),
        ("a?c", ["abc", "a\U0001f600c"], ["ac", "abbc", "a/c"]),
        ("[a-c].yaml", ["a.yaml", "x/c.yaml"], ["d.yaml", "ab.yaml"]),
        ("[!a-c].yaml", ["d.yaml"], ["a.yaml", "/.yaml"]),
        ("[^a-c].yaml", ["d.yaml"], ["a.yaml"]),
        ("[]a].yaml", ["].yaml", "a.yaml"], ["b.yaml"]),
        ("[a-].yaml", ["-.yaml", "a.yaml"], ["b.yaml"]),
        ("**/a.yaml", ["a.yaml", "x/a.yaml", "x/y/a.yaml"], ["xa.yaml"]),
        ("x/**", ["x/a", "x/y/a"], ["x", "y/x/a"]),
        ("x/**/a", ["x/a", "x/y/a", "x/y/z/a"], ["a", "x/ya"]),
        ("a**c", ["ac", "abbc"], ["a/c"]),
        (r"\#a", ["#a"], [r"\#a"]),
        (r"\!a", ["!a"], ["a"]),
        (r"a\*", ["a*"], ["ab", r"a\b"]),
        ("a   ", ["a"], ["a   "]),
        ("a\r", ["a"], []),
        ("# a", [], ["# a", "a"]),
        ("", [], ["a"]),
        ("/", [], ["a"]),
    ],
)
def test_what_a_pattern_fits(pattern: str, excluded: list[str], kept: list[str]) -> None:
    exclusion = Exclusion([pattern])
    assert [path for path in excluded if not exclusion.excludes(path, is_directory=False)] == []
    assert [path for path in kept if exclusion.excludes(path, is_directory=False)] == []


def test_a_slash_at_the_end_is_for_directories() -> None:
    exclusion = Exclusion(["build/"])
    assert exclusion.excludes("x/build", is_directory=True)
    assert not exclusion.excludes("x/build", is_directory=False)


@pytest.mark.parametrize(
    ("lines", "excluded"),
    [
        (["*.yaml", "!a.yaml"], False),
        (["!a.yaml", "*.yaml"], True),
        (["*.yaml", "!a.yaml", "/a.yaml"], True),
    ],
)
def test_the_last_pattern_that_fits_decides(lines: list[str], excluded: bool) -> None:
    assert Exclusion(lines).excludes("a.yaml", is_directory=False) is excluded


@pytest.mark.parametrize("pattern", ["*a" * 100 + "b", "**/a/" * 100 + "b", "*" * 1000 + "b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    start = time.process_time()
    for path in ("a" * 255, "/".join(["a"] * 500)):
        assert not Exclusion([pattern]).excludes(path, is_directory=False)
    assert time.process_time() - start < 2


@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")
def test_git_agrees(tmp_path: Path) -> None:
    """Random patterns and paths, one repository for all: each path has its own top directory."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    chance = random.Random(6)
    cases: list[tuple[str, str, bool]] = []
    for number in range(400):
        pattern = _pattern(chance)
        folder = tmp_path / f"d{number}"
        folder.mkdir()
        (folder / ".gitignore").write_text(f"{pattern}\n", encoding="utf-8")
        for _ in range(5):
            path = "/".join("".join(chance.choices("ab.", k=chance.randint(1, 3))) for _ in "12")
            if not set(path.split("/")) & {".", "..", "...", ""}:
                path = path if chance.random() < 0.6 else path.partition("/")[0]
                expected = Exclusion([pattern])
                parts = path.split("/")
                above = any(
                    expected.excludes("/".join(parts[:n]), is_directory=True)
                    for n in range(1, len(parts))
                )
                ours = above or expected.excludes(path, is_directory=False)
                cases.append((pattern, f"d{number}/{path}", ours))
    asked = "\0".join(path for _, path, _ in cases)
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "-z", "--stdin"],
        cwd=tmp_path,
        input=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    theirs = set(done.stdout.split("\0"))
    assert [case for case in cases if (case[1] in theirs) is not case[2]] == []
    assert 100 < len(theirs) < len(cases) - 100


def _pattern(chance: random.Random) -> str:
    """Without ``//`` and without ``**`` inside a name, for which git has no rule."""
    letters = ("a", "b", ".", "?", "[ab]", "[!a]")
    parts = []
    for _ in range(chance.randint(1, 3)):
        before, after = ("".join(chance.choices(letters, k=chance.randint(0, 2))) for _ in "12")
        parts.append(chance.choice(("**", f"{before}*{after}", f"a{before}")))
    return chance.choice(("", "", "/")) + "/".join(parts)
