"""Files of a revision are those that a walk through a checkout of it finds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from podfence.intake.documents import DecodedDocuments
from podfence.manifests.gittree import GitError, GitTree, commit_of, read_range
from podfence.manifests.inputfiles import InputFile, read_inputs
from podfence.manifests.load import load

POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: NAME, namespace: shop}
spec: {podSelector: {}}
"""


def git(*arguments: str) -> None:
    settings = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.invalid")
    subprocess.run(["git", *settings, *arguments], check=True, capture_output=True)


def write(path: str, text: str = "") -> None:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text or POLICY.replace("NAME", file.stem), encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that is the working directory, with one commit."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git("init", "--quiet", "--initial-branch=main")
    write("apps/b.yaml")
    write("apps/a.yml")
    write("apps/deep/c.json", "{}")
    write("apps/deep/deeper/d.yaml")
    write("apps/old/x.yaml")
    write("apps/keep.txt", "no manifest")
    write("apps/.hidden.yaml")
    write("apps/.git-is-not-read/h.yaml")
    write("apps/.podfenceignore", "old/\n*-draft.yaml\n")
    write("apps/z-draft.yaml")
    write("apps/chart/Chart.yaml", "name: x\n")
    write("apps/chart/templates/t.yaml", "{{ x }}\n")
    write("other/linked.yaml")
    write("apps/with space.yaml")
    os.symlink("../other/linked.yaml", "apps/link.yaml")
    os.symlink("../other", "apps/folder-link")
    git("add", "-A")
    git("commit", "--quiet", "-m", "first")
    return tmp_path


def on_disk(*paths: str, exclude: tuple[str, ...] = ()) -> list[InputFile]:
    return [f for f in read_inputs(paths, None, exclude) if isinstance(f, InputFile)]


def in_git(*paths: str, exclude: tuple[str, ...] = ()) -> list[InputFile]:
    return list(GitTree.of("HEAD").files(paths, exclude))


def facts(files: list[InputFile], revision: str = "") -> list[tuple[str, ...]]:
    return [(f.path.removeprefix(revision), f.text, f.walked, f.chart, f.in_chart) for f in files]


@pytest.mark.parametrize(
    "paths",
    [
        ("apps",),
        (".",),
        ("apps/deep", "other"),
        ("apps/b.yaml",),
        ("apps/chart",),
        ("apps/chart/templates",),
        ("apps/",),
    ],
)
@pytest.mark.usefixtures("repository")
def test_the_same_files_as_on_disk(paths: tuple[str, ...]) -> None:
    found = facts(in_git(*paths), "HEAD:")
    assert found == facts(on_disk(*paths))
    assert found


@pytest.mark.usefixtures("repository")
def test_the_same_are_excluded() -> None:
    excluded = ("deep/", "/b.yaml")
    found = facts(in_git("apps", exclude=excluded), "HEAD:")
    assert found == facts(on_disk("apps", exclude=excluded))
    assert "apps/b.yaml" not in [path for path, *_ in found]


@pytest.mark.usefixtures("repository")
def test_paths_are_those_of_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("apps")
    assert facts(in_git("deep"), "HEAD:") == facts(on_disk("deep"))
    assert facts(in_git("../other"), "HEAD:") == facts(on_disk("../other"))


@pytest.mark.usefixtures("repository")
def test_what_was_is_read_and_what_is_there_now_is_not() -> None:
    write("apps/b.yaml", "kind: Changed\n")
    write("apps/new.yaml")
    found = {f.path: f.text for f in in_git("apps")}
    assert found["HEAD:apps/b.yaml"] == POLICY.replace("NAME", "b")
    assert "HEAD:apps/new.yaml" not in found
    assert in_git("nowhere") == []


@pytest.mark.usefixtures("repository")
def test_links_that_lead_out_of_the_revision_are_not_followed() -> None:
    os.symlink("/etc/passwd", "apps/out.yaml")
    os.symlink("../../..", "apps/up.yaml")
    os.symlink("round.yaml", "apps/round.yaml")
    git("add", "-A")
    git("commit", "--quiet", "-m", "links")
    assert not {"HEAD:apps/out.yaml", "HEAD:apps/round.yaml"} & {f.path for f in in_git("apps")}


@pytest.mark.usefixtures("repository")
def test_ranges() -> None:
    first = commit_of("HEAD")
    git("checkout", "--quiet", "-b", "topic")
    write("apps/new.yaml")
    git("add", "-A")
    git("commit", "--quiet", "-m", "second")
    assert (read_range("main").old, read_range("main").new) == ("main", "")
    assert (read_range("main..topic").old, read_range("main..topic").new) == ("main", "topic")
    assert (read_range("main...").old, read_range("main...").new) == (first[:16], "")


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("nope", "no revision nope"),
        ("--output=/tmp/x", "no revision --output=/tmp/x"),
        ("a\x1b[31m", r"no revision a\x1b[31m"),
        ("x...", "no revision x"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_a_revision_that_git_does_not_know(revision: str, said: str) -> None:
    with pytest.raises(GitError) as caught:
        commit_of(read_range(revision).old)
    assert said in caught.value.message


@pytest.mark.usefixtures("repository")
def test_a_path_outside_of_the_repository() -> None:
    with pytest.raises(GitError, match="outside of the repository"):
        in_git("../elsewhere")


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(GitError, match="git cannot be asked"):
        GitTree.of("HEAD")


@pytest.mark.usefixtures("repository")
def test_a_submodule_holds_no_files() -> None:
    commit = commit_of("HEAD")
    git("update-index", "--add", "--cacheinfo", f"160000,{commit},apps/sub")
    git("commit", "--quiet", "-m", "submodule")
    with pytest.raises(GitError, match="apps/sub is a submodule"):
        in_git("apps/sub")
    with pytest.raises(GitError, match="leave it out with --exclude"):
        in_git("apps")


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("pattern", ["sub", "sub/", "apps/sub"])
def test_a_submodule_that_is_left_out_does_not_matter(pattern: str) -> None:
    before = [*GitTree.of("HEAD").files(["."])]
    commit = commit_of("HEAD")
    git("update-index", "--add", "--cacheinfo", f"160000,{commit},apps/sub")
    git("commit", "--quiet", "-m", "submodule")
    after = GitTree.of("HEAD").files(["."], [pattern])
    assert [each.path for each in after] == [each.path for each in before]


# -- what one reading leaves for the next


def test_a_second_reading_finds_what_a_first_would() -> None:
    """Objects and problems are the same, and have the positions of the second reading."""
    kept = DecodedDocuments()
    load(["examples/shop", "examples/broken"], kept=kept)
    paths = ["examples/broken", "examples/plan", "examples/shop", "examples/tiers/cluster"]
    again, alone = load(paths, kept=kept), load(paths)
    assert again.cluster == alone.cluster
    assert again.problems == alone.problems


def test_what_is_written_is_what_git_keeps(repository: Path, tmp_path_factory: Any) -> None:
    """Byte for byte, without what leads out of it."""
    os.symlink("/etc/passwd", "apps/out-link")
    os.symlink("../../elsewhere", "apps/far-link")
    write("apps/crlf.yaml", "a: 1\r\n")
    write(".gitattributes", "*.yaml text eol=crlf export-ignore\n")
    git("add", "-A")
    git("commit", "--quiet", "-m", "second")
    folder = tmp_path_factory.mktemp("written")
    GitTree.of("HEAD").write(str(folder))
    names = subprocess.run(["git", "ls-files"], check=True, capture_output=True).stdout.split(b"\n")
    wanted = {os.fsdecode(name) for name in names if name} - {"apps/out-link", "apps/far-link"}
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()} | {
        "apps/folder-link"
    } == wanted
    assert (folder / "apps/folder-link").resolve() == folder / "other"
    assert (folder / "apps/link.yaml").read_text() == (folder / "other/linked.yaml").read_text()
    kept = subprocess.run(["git", "show", "HEAD:apps/crlf.yaml"], check=True, capture_output=True)
    assert (folder / "apps/crlf.yaml").read_bytes() == kept.stdout


def test_a_revision_that_is_too_large_is_not_written(
    repository: Path, tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podfence.manifests.gittree.MAX_WRITTEN", 100)
    folder = tmp_path_factory.mktemp("written")
    with pytest.raises(GitError, match="too many to render from"):
        GitTree.of("HEAD").write(str(folder))
    assert [*folder.iterdir()] == []
