"""``plan --git`` of charts and kustomizations: both versions are rendered, as they are in git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.session import Done, podfence

PODS = """
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: shop, labels: {app: db}}}
---
"""
CLOSED = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}
"""
OPEN = f"{CLOSED.rstrip()[:-1]}, ingress: [{{from: [{{podSelector: {{}}}}]}}]}}\n"
OPENS, CLOSES = "shop/web -> shop/db: opens all", "shop/web -> shop/db: closes all"
KUSTOMIZE = """#!/bin/sh
case "$1" in version) exit 1 ;; esac
/bin/cat "$2"/out "$2"/../../base/out
"""


def git(tree: Path, *words: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run(["git", *who, *words], cwd=tree, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a closed database in its first commit, and an open one in its files. What
    is rendered lies in two folders of it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "kustomize").write_text(KUSTOMIZE)
    (programs / "kustomize").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    tree = tmp_path / "tree"
    for folder in ("overlays/prod", "base"):
        (tree / folder).mkdir(parents=True)
    (tree / "overlays/prod/kustomization.yaml").write_text("resources: [../../base]\n")
    (tree / "overlays/prod/out").write_text(CLOSED)
    (tree / "base/out").write_text(f"---{PODS}")
    git(tree, "init", "-q")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "first")
    (tree / "overlays/prod/out").write_text(OPEN)
    return tree


def plan(tree: Path, *words: str, here: str = ".") -> Done:
    return podfence(["plan", "--git", *words, "--no-newcomers"], directory=tree / here)


@pytest.mark.parametrize(
    ("here", "path"),
    [
        (".", "overlays/prod"),
        (".", "overlays/prod/kustomization.yaml"),
        ("overlays", "prod"),
        ("overlays/prod", "."),
        ("base", "../overlays/prod"),
    ],
)
def test_both_versions_are_rendered(tree: Path, here: str, path: str) -> None:
    done = plan(tree, "HEAD", path, here=here)
    assert (done.status, OPENS in done.out) == (1, True), done
    folder = os.path.dirname(path) if path.endswith(".yaml") else path
    assert done.err == (
        f"rendered HEAD:{folder} with kustomize\nrendered {folder} with kustomize\n"
    )


def test_two_revisions_and_the_way_back(tree: Path) -> None:
    git(tree, "commit", "-qam", "second")
    done = plan(tree, "HEAD~1..HEAD", "overlays/prod")
    assert OPENS in done.out
    assert "(HEAD:overlays/prod/kustomization.yaml (rendered):" in done.out
    assert CLOSES in plan(tree, "HEAD~1..HEAD", "overlays/prod", "--reverse").out


def test_what_lies_in_a_folder_is_rendered_when_asked_for(tree: Path) -> None:
    assert OPENS in plan(tree, "HEAD", ".", "--render", "always").out
    assert "rendered" not in plan(tree, "HEAD", ".").err


TEMPLATE = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: "{{ .Release.Name }}", namespace: shop}
spec: {podSelector: {}}
"""


@pytest.mark.parametrize(
    ("here", "path"), [(".", "."), ("apps", "."), ("apps/chart/templates", ".")]
)
@pytest.mark.parametrize("mode", ["auto", "never"])
def test_templates_of_a_chart_are_no_policies_of_either_version(
    tree: Path, here: str, path: str, mode: str
) -> None:
    """Read as manifests they would isolate everything in one version alone."""
    (tree / "apps/chart/templates").mkdir(parents=True)
    (tree / "apps/chart/Chart.yaml").write_text("name: x\nversion: 1.0.0\n")
    (tree / "apps/chart/templates/deny.yaml").write_text(TEMPLATE)
    (tree / "pods.yaml").write_text(PODS)
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "a chart")
    common = ["-f", str(tree / "pods.yaml")]
    done = plan(tree, "HEAD", path, "--exclude", "overlays", "--render", mode, *common, here=here)
    assert (done.status, done.out) == (0, "no verdict changes (0 edits)\n"), done


@pytest.mark.parametrize(
    ("words", "is_one_named"),
    [
        (["--git", "HEAD", "chart"], True),
        (["--git", "HEAD", "chart", "-f", "pods.yaml"], True),
        (["--git", "HEAD", "gone"], True),
        (["chart", "pods.yaml"], True),
        (["pods.yaml", "chart"], True),
        (["--old", "pods.yaml", "--new", "pods.yaml", "-f", "chart"], True),
        (["pods.yaml", "base"], False),
        (["--git", "HEAD", "base"], False),
        (["--git", "HEAD", "chart", "--render", "never"], False),
    ],
)
def test_options_of_charts_are_for_the_sides_that_are_charts(
    tree: Path, words: list[str], is_one_named: bool
) -> None:
    helm = tree.parent / "programs/helm"
    helm.write_text(f"#!/bin/sh\n[ $1 = version ] && exit 1\nprintf '%s\\n' '{TEMPLATE}'\n")
    helm.chmod(0o755)
    for chart in ("chart", "gone"):
        (tree / chart).mkdir()
        (tree / chart / "Chart.yaml").write_text("name: x\nversion: 1.0.0\n")
    (tree / "pods.yaml").write_text(PODS)
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "charts")
    (tree / "gone/Chart.yaml").unlink()
    done = podfence(["plan", *words, "--set", "a=b"], directory=tree)
    assert ("are for charts" in done.err) is not is_one_named, done
    assert ("rendered " in done.err) is is_one_named


def test_nothing_is_rendered_where_that_is_said(tree: Path) -> None:
    done = plan(tree, "HEAD", "overlays/prod", "--render", "never")
    assert "rendered HEAD:" not in done.err


def test_the_repository_stays_as_it_is_and_nothing_is_left(tree: Path) -> None:
    before = sorted(path for path in tree.rglob("*") if path.is_file())
    plan(tree, "HEAD", "overlays/prod")
    assert sorted(path for path in tree.rglob("*") if path.is_file()) == before
    assert [*(tree.parent / "temporary").iterdir()] == []


def test_an_error_names_the_revision_and_not_a_folder(tree: Path) -> None:
    (tree / "overlays/prod/out").unlink()
    git(tree, "commit", "-qam", "broken")
    done = plan(tree, "HEAD", "overlays/prod")
    assert done.status == 2
    assert "HEAD:overlays/prod: kustomize build failed: " in done.err
    assert "temporary" not in done.err
    assert [*(tree.parent / "temporary").iterdir()] == []


def test_a_kustomization_that_is_new_was_nothing_before(tree: Path) -> None:
    git(tree, "rm", "-rq", "--cached", "overlays")
    git(tree, "commit", "-qm", "before")
    (tree / "pods.yaml").write_text(PODS)
    done = plan(tree, "HEAD", "overlays/prod", "-f", "pods.yaml")
    assert "+ NetworkPolicy shop/db added" in done.out
