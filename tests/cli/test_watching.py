"""``--watch`` of ``test`` and ``check``: files are looked at again and again, and a change runs it
anew."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from podfence.cli import watching
from podfence.cli.watching import changes, look
from tests.cli.session import podfence


def test_a_change_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("1")
    edits: list[Callable[[], object]] = [
        lambda: None,
        lambda: (tmp_path / "a.yaml").write_text("12"),
        lambda: None,
        lambda: (tmp_path / "b.yaml").write_text("new"),
        lambda: (tmp_path / "a.yaml").unlink(),
    ]
    looks = 0

    def pause(_: float) -> None:
        nonlocal looks
        edits[looks]()
        looks += 1

    told = changes([str(tmp_path)], pause)

    assert [(next(told), looks)[1] for _ in range(3)] == [2, 4, 5]


def test_hidden_folders_are_not_looked_at_and_a_missing_file_is_no_error(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index").write_text("x")
    (tmp_path / "a").write_text("x")

    assert [Path(file).name for file, _, _ in look([str(tmp_path), "nowhere"])] == ["a"]


APPS = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
"""
TESTS = """\
apiVersion: podfence.io/v1alpha1
kind: PolicyTests
metadata: {name: shop}
tests:
- {name: open, from: shop/web, to: "shop/db:80", expect: EXPECT}
"""


def test_tests_run_again_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apps, tests = tmp_path / "apps.yaml", tmp_path / "shop.podfence.yaml"
    apps.write_text(APPS)
    tests.write_text(TESTS.replace("EXPECT", "allow"))
    steps = iter(["deny", "[", "allow"])

    def pause(_: float) -> None:
        found = next(steps, None)
        if found is None:
            raise KeyboardInterrupt
        tests.write_text(TESTS.replace("EXPECT", found) + " " * len(found))

    monkeypatch.setattr(watching.changes, "__defaults__", (pause,))

    done = podfence(["test", str(tests), "-f", str(apps), "--watch"])

    assert [line[:4] for line in done.out.splitlines() if line[:4] in ("pass", "FAIL")] == [
        "pass",
        "FAIL",
        "pass",
    ]
    assert "error[PF500]" in done.err
    assert done.status == 130


@pytest.mark.parametrize("arguments", [["-f", "-"], []])
def test_only_files_can_be_watched(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.podfence.yaml").write_text(TESTS.replace("EXPECT", "allow"))

    done = podfence(["test", str(tmp_path), *arguments, "--watch"])

    assert (done.status, "--watch follows files" in done.err) == (2, True)


def test_manifests_are_checked_again_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = tmp_path / "apps.yaml"
    apps.write_text(APPS)
    steps = iter([APPS.replace("app: db", "app: [db]"), "[", APPS])

    def pause(_: float) -> None:
        found = next(steps, None)
        if found is None:
            raise KeyboardInterrupt
        apps.write_text(found)

    monkeypatch.setattr(watching.changes, "__defaults__", (pause,))

    done = podfence(["check", "-f", str(apps), "--server-only", "--watch"])

    assert re.findall(r"; (\d) errors?, ", done.out) == ["0", "1", "1", "0"]
    assert done.out.count("-- something changed") == 3
    assert done.status == 130


def test_what_a_run_writes_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apps.yaml").write_text(APPS)
    looks = iter(range(4))

    def pause(_: float) -> None:
        if next(looks, None) is None:
            raise KeyboardInterrupt
        if (tmp_path / "found").exists():
            (tmp_path / "found").write_text("older")

    monkeypatch.setattr(watching.changes, "__defaults__", (pause,))
    words = ["-o", "text", "-o", f"json={tmp_path}/found"]

    done = podfence(["check", "-f", str(tmp_path), *words, "--watch"])

    assert (done.status, done.out.count("-- something changed")) == (130, 0)


def test_what_changes_while_the_first_run_reads_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, runs = tmp_path / "a.yaml", list[str]()
    file.write_text("1")

    def run() -> int:
        runs.append(file.read_text())
        file.write_text("22")
        return 0

    def pause(_: float) -> None:
        if len(runs) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(watching.changes, "__defaults__", (pause,))

    with pytest.raises(KeyboardInterrupt):
        watching.again_and_again(run, [str(tmp_path)])
    assert runs == ["1", "22"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-f", "-"], "--watch follows files"),
        ([], "--watch follows files"),
        (["-f", "examples/shop", "--fix"], "--watch edits nothing"),
        (["-f", "examples/shop", "--fix-diff"], "--watch edits nothing"),
        (["-f", "examples/shop", "--write-baseline", "x"], "--watch edits nothing"),
    ],
)
def test_watching_checks_and_nothing_else(arguments: list[str], said: str) -> None:
    done = podfence(["check", *arguments, "--watch"])

    assert (done.status, said in done.err) == (2, True)
