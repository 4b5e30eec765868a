"""What krew installs: an archive that is always the same, and a program that finds podfence."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from deploy import krew

HOME = "https://example.com/team/podfence"


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    krew.write(tmp_path, HOME, "v1.2.3")
    with tarfile.open(tmp_path / "podfence-krew-1.2.3.tar.gz") as archive:
        assert archive.getnames() == ["kubectl-podfence", "LICENSE"]
        member = archive.getmember("kubectl-podfence")
        file = archive.extractfile(member)
        assert file is not None
        # Not extractall(): the oldest 3.11 knows no filter, and newer ones warn without.
        (tmp_path / member.name).write_bytes(file.read())
        (tmp_path / member.name).chmod(member.mode)
    return tmp_path / "kubectl-podfence"


def test_the_manifest_names_the_archive_by_its_hash(launcher: Path) -> None:
    folder = launcher.parent
    plugin = yaml.safe_load((folder / "podfence-krew.yaml").read_text("utf-8"))
    (platform,) = plugin["spec"]["platforms"]
    assert platform["uri"] == f"{HOME}/releases/download/v1.2.3/podfence-krew-1.2.3.tar.gz"
    archive = (folder / "podfence-krew-1.2.3.tar.gz").read_bytes()
    assert platform["sha256"] == hashlib.sha256(archive).hexdigest()
    assert {each["from"] for each in platform["files"]} == {"kubectl-podfence", "LICENSE"}
    assert platform["bin"] == launcher.name
    assert len(plugin["spec"]["shortDescription"]) <= 50


def test_an_archive_of_a_version_is_always_the_same() -> None:
    assert krew.packed("1.2.3") == krew.packed("1.2.3")
    assert krew.packed("1.2.3") != krew.packed("1.2.4")


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (("podfence", "uvx", "pipx"), "podfence map -f a b"),
        (("uvx", "pipx"), "uvx --from podfence==1.2.3 podfence map -f a b"),
        (("pipx",), "pipx run --spec podfence==1.2.3 podfence map -f a b"),
    ],
)
def test_it_starts_what_is_there(
    launcher: Path, tmp_path: Path, there: tuple[str, ...], said: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in there:
        program = programs / name
        program.write_text(f'#!/bin/sh\necho {name} "$@"\n')
        program.chmod(0o755)
    done = start(launcher, programs)
    assert (done.returncode, done.stdout.strip()) == (0, said)


def test_it_says_what_is_missing(launcher: Path, tmp_path: Path) -> None:
    done = start(launcher, tmp_path)
    assert done.returncode == 2
    assert "pipx install podfence==1.2.3" in done.stderr


def start(launcher: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(launcher), "map", "-f", "a b"]
    environment = {**os.environ, "PATH": str(programs)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
