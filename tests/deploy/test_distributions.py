"""Wheel and source distribution: complete, and enough to work outside of a clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOP = ROOT / "examples/shop"

BUILD = "import sys, uv_build; print(getattr(uv_build, sys.argv[1])(sys.argv[2]))"


def _build(hook: str, sources: Path, into: Path) -> Path:
    """What the hook of the build back end makes; it works in a process of its own because it looks
    for its program on PATH, and at the current directory."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-c", BUILD, hook, str(into)],
        cwd=sources,
        env={**os.environ, "PATH": programs},
        capture_output=True,
        text=True,
        check=True,
    )
    return into / done.stdout.split()[-1]


def _tracked(folder: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(filter(None, listed.stdout.split("\0")))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build("build_wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs, and nothing else of the repository."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _run(installed: Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "podfence", *arguments],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(installed), "KUBECONFIG": "none"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if not name.endswith("/")}
    missing = _tracked("podfence") - inside
    outside = {name for name in inside if not name.startswith(("podfence/", "podfence-"))}
    assert (missing, outside) == (set(), set())


def test_a_wheel_says_what_it_needs_and_what_it_may_be_used_for(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = HeaderParser().parsestr(archive.read(name).decode())
        entries = archive.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    assert {"podfence", "kubectl-podfence"} <= {line.split(" ")[0] for line in entries.split("\n")}


def test_the_sources_make_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = _build("build_sdist", ROOT, tmp_path)
    subprocess.run(["tar", "-xzf", sdist, "-C", tmp_path], check=True)
    again = _build("build_wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert {each: one.read(each) for each in one.namelist()} == {
            each: other.read(each) for each in other.namelist()
        }


def test_what_is_installed_is_what_runs(installed: Path, tmp_path: Path) -> None:
    where = "import podfence; print(podfence.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", where],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()).is_relative_to(installed)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (("map", "-f", str(SHOP)), "shop/db "),
        (("check", "-f", str(SHOP)), "0 errors"),
        (("check", "--explain", "PF320"), "### PF320"),
        (("schema", "map"), '"$id": "map.schema.json"'),
        (("agent", "render", "--node", "n1", "-f", "."), "table inet podfence"),
        (("completion", "bash"), "_podfence_completion"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_commands_work_outside_of_a_clone(
    installed: Path, tmp_path: Path, arguments: tuple[str, ...], printed: str
) -> None:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n1"},
        "spec": {"podCIDRs": ["10.244.1.0/24"]},
    }
    (tmp_path / "node.json").write_text(json.dumps(node))
    done = _run(installed, tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout


def test_a_report_is_written_outside_of_a_clone(installed: Path, tmp_path: Path) -> None:
    done = _run(installed, tmp_path, "report", "-f", str(SHOP), "-o", "page.html")
    assert (done.returncode, done.stderr) == (0, "")
    assert "<script" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.kernel
def test_the_lab_runs_outside_of_a_clone(installed: Path, tmp_path: Path) -> None:
    done = _run(installed, tmp_path, "lab", "run", "-f", str(SHOP))
    assert (done.returncode, done.stderr) == (0, "")
    assert "kernel and engine agree on all" in done.stdout
