"""The two sides of ``plan``: several files of each, standard input for both, and the way back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.liveshop import asking, shop
from tests.cli.session import podfence

WORKLOADS = """
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}}
"""
CLOSED = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}
"""
OPEN = f"{CLOSED.rstrip()[:-1]}, ingress: [{{from: [{{podSelector: {{}}}}]}}]}}\n"
OPENS, CLOSES = "shop/web -> shop/db: opens all", "shop/web -> shop/db: closes all"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in (("workloads", WORKLOADS), ("old", CLOSED), ("new", OPEN)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        "old.yaml new.yaml -f workloads.yaml",
        "--old old.yaml --new new.yaml -f workloads.yaml",
        "--old old.yaml --old workloads.yaml --new workloads.yaml --new new.yaml",
        "old.yaml new.yaml -f -",
        "--old - --old old.yaml --new new.yaml --new workloads.yaml",
        "--reverse new.yaml old.yaml -f workloads.yaml",
    ],
)
def test_sides_that_say_the_same(tree: Path, words: str) -> None:
    done = podfence(
        ["plan", *words.split(), "--no-newcomers"], directory=tree, stdin=WORKLOADS.encode()
    )
    assert (done.status, done.err) == (1, "")
    assert OPENS in done.out
    assert "new.yaml:5:" in done.out


@pytest.mark.parametrize("kept", [(), (".gitkeep",)])
def test_before_the_first_policy_a_directory_is_empty(tree: Path, kept: tuple[str, ...]) -> None:
    (tree / "none").mkdir()
    for name in kept:
        (tree / "none" / name).touch()
    for sides, told in (("none new.yaml", 1), ("new.yaml none", 1), ("none none", 0)):
        words = f"plan {sides} -f workloads.yaml"
        assert podfence(words.split(), directory=tree).status == told, sides
    (tree / "none" / "README.md").touch()
    done = podfence("plan none new.yaml -f workloads.yaml".split(), directory=tree)
    assert done.status == 2
    assert "none: error[PF106]: the directory holds no manifests" in done.err


def test_an_empty_side_is_no_question_about_a_cluster(tree: Path) -> None:
    (tree / "none").mkdir()
    done = podfence("plan none workloads.yaml".split(), directory=tree)
    assert done.status == 2
    assert "none: error[PF112]: no objects" in done.err


def test_a_side_has_the_last_word_over_what_is_common(tree: Path) -> None:
    """So a directory that holds a side too does not hide the change."""
    (tree / "all.yaml").write_text(f"{WORKLOADS}---{CLOSED}")
    words = ["plan", "all.yaml", "new.yaml", "-f", "all.yaml", "--no-newcomers"]
    done = podfence(words, directory=tree)
    assert done.status == 1
    assert OPENS in done.out


def test_a_revision_has_the_last_word_over_what_is_common(tree: Path) -> None:
    for step in ("init -q", "add .", "-c user.name=a -c user.email=a@a commit -qm a"):
        subprocess.run(["git", *step.split()], cwd=tree, check=True)
    (tree / "old.yaml").write_text(OPEN)
    (tree / "all.yaml").write_text(f"{WORKLOADS}---{OPEN}")
    words = ["plan", "--git", "HEAD", "old.yaml", "-f", "all.yaml", "--no-newcomers"]
    done = podfence(words, directory=tree)
    assert done.status == 1
    assert OPENS in done.out


def test_the_way_back_is_the_difference_the_other_way_round(tree: Path) -> None:
    words = ["plan", "old.yaml", "new.yaml", "-f", "workloads.yaml", "-o", "json"]
    there, back = (
        json.loads(podfence([*words, *more], directory=tree).out) for more in ([], ["--reverse"])
    )
    assert there["summary"]["opened"] == back["summary"]["closed"] == 1
    assert there["summary"]["closed"] == back["summary"]["opened"] == 0


def test_the_way_back_from_a_cluster_is_what_it_has_beside_the_files(tmp_path: Path) -> None:
    (tmp_path / "db.yaml").write_text(CLOSED)
    words = ["plan", "--context", "test", str(tmp_path / "db.yaml"), "--no-newcomers"]
    with asking(shop(), tmp_path) as ask:
        there, back = ask(*words), ask(*words, "--reverse")
    assert "shop/web -> shop/db: closes TCP/5432" in there.out
    assert "shop/web -> shop/db: opens TCP/5432" in back.out


def test_what_is_applied_to_a_cluster_may_be_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay/kustomization.yaml").write_text("resources: []\n")
    (tmp_path / "programs").mkdir()
    program = tmp_path / "programs/kustomize"
    program.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{CLOSED}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    for path in ("overlay/kustomization.yaml", "overlay"):
        with asking(shop(), tmp_path) as ask:
            done = ask("plan", "--context", "test", str(tmp_path / path), "--no-newcomers")
        assert "shop/web -> shop/db: closes TCP/5432" in done.out


def test_the_way_back_to_a_revision(tree: Path) -> None:
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        subprocess.run(["git", *who, *words], cwd=tree, check=True)
    (tree / "old.yaml").write_text(OPEN)
    words = ["plan", "--git", "HEAD", "old.yaml", "-f", "-", "--no-newcomers"]
    there = podfence(words, directory=tree, stdin=WORKLOADS.encode())
    back = podfence([*words, "--reverse"], directory=tree, stdin=WORKLOADS.encode())
    assert OPENS in there.out
    assert CLOSES in back.out
    found = podfence([*words, "--reverse", "-o", "sarif"], directory=tree, stdin=WORKLOADS.encode())
    [result] = json.loads(found.out)["runs"][0]["results"]
    artifact = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact["uri"] == "old.yaml"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--old old.yaml", "--old and --new go together"),
        ("--new old.yaml", "--old and --new go together"),
        ("--old old.yaml --new new.yaml workloads.yaml", "drop the paths without one"),
        ("--old old.yaml --new new.yaml --git HEAD", "drop --git"),
        ("--old old.yaml --new new.yaml --context x", "drop --context"),
        ("--old - --new -", "standard input can be read only once"),
    ],
)
def test_sides_that_make_no_sense_are_refused(tree: Path, words: str, said: str) -> None:
    done = podfence(["plan", *words.split()], directory=tree)
    assert (done.status, done.out) == (2, "")
    assert said in done.err
