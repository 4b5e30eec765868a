"""A release: one version everywhere, and packages whose links are whole."""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import release
from podfence import __version__

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
HOME = "https://example.com/team/podfence"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of every file that names a version, with a section of the changelog for it."""
    for name in (*release.VERSION_FILES, "CHANGELOG.md"):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    log = tmp_path / "CHANGELOG.md"
    section = f"## [{__version__}] - 2030-01-01\n\n### Added\n\n- Everything.\n\n## [0.0.1]\n"
    log.write_text(log.read_text("utf-8") + f"\n{section}", "utf-8")
    return tmp_path


def test_a_version_that_every_file_names_can_be_released(repository: Path) -> None:
    assert release.mistakes(f"v{__version__}", repository) == []
    assert release.notes(__version__, repository) == "### Added\n\n- Everything."


@pytest.mark.parametrize("name", release.VERSION_FILES)
def test_one_file_that_says_otherwise_is_named(repository: Path, name: str) -> None:
    path = repository / name
    text = path.read_text("utf-8")
    pattern = re.compile(release.VERSION_FILES[name], re.MULTILINE)
    (found, *_) = pattern.finditer(text)
    path.write_text(f"{text[: found.start(1)]}9.9.9{text[found.end(1) :]}", "utf-8")
    wanted = f"{name} says 9.9.9, not {__version__}"
    assert release.mistakes(f"v{__version__}", repository) == [wanted]


@pytest.mark.parametrize("tag", [__version__, "v1", "latest", f"v{__version__}-1"])
def test_a_tag_that_is_no_version_is_refused(repository: Path, tag: str) -> None:
    assert f"the tag {tag} is no version such as v1.2.3" in release.mistakes(tag, repository)


def test_a_version_without_words_in_the_changelog_is_refused(repository: Path) -> None:
    log = repository / "CHANGELOG.md"
    log.write_text(log.read_text("utf-8").replace("### Added\n\n- Everything.\n", ""), "utf-8")
    (found,) = release.mistakes(f"v{__version__}", repository)
    assert found.startswith("CHANGELOG.md has no section")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    release.build(folder, HOME, f"v{__version__}")
    return folder


def test_the_page_of_the_package_has_no_link_that_is_not_whole(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    links = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    assert f"{HOME}/blob/v{__version__}/docs/lab.md" in links
    assert [link for link in links if not link.startswith("https://")] == []
    assert f"Homepage, {HOME}" in metadata.get_all("Project-URL", [])


def test_a_release_is_wheel_sources_chart_plugin_and_notes(built: Path) -> None:
    assert sorted(each.name for each in built.iterdir()) == [
        "NOTES.md",
        f"podfence-{__version__}-py3-none-any.whl",
        f"podfence-{__version__}.tar.gz",
        f"podfence-chart-{__version__}.tgz",
        f"podfence-krew-{__version__}.tar.gz",
        "podfence-krew.yaml",
    ]
    with tarfile.open(built / f"podfence-chart-{__version__}.tgz") as chart:
        assert "podfence/Chart.yaml" in chart.getnames()


def _steps(path: Path) -> list[Any]:
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_files_that_exist(path: Path) -> None:
    commands = [step["run"] for step in _steps(path) if "run" in step]
    ours = [
        word for command in commands for word in command.split() if word in ("./dev", ".ci/run")
    ]
    assert ours
    assert [word for word in ours if not (ROOT / word).is_file()] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_expression_stands_in_a_command(path: Path) -> None:
    """What a contributor names (a branch, a title) would be run by the shell."""
    assert [step["run"] for step in _steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_no_more_unless_a_job_says_so(path: Path) -> None:
    assert yaml.safe_load(path.read_text("utf-8"))["permissions"] == {"contents": "read"}
