"""Archives of images, read as containerd reads them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import images


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "program").write_bytes(b"contents")
    files = {"/bin/program": tmp_path / "program"}
    images.write(tmp_path / "one.tar", ["a.test/b:1", "a.test/c:2"], files, ["/bin/program"], ["x"])
    return tmp_path / "one.tar"


def read(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def manifest(archive: Path) -> dict[str, Any]:
    (only,) = json.loads(read(archive, "manifest.json"))
    found: dict[str, Any] = only
    return found


def test_an_image_has_the_names_that_were_asked_for(archive: Path) -> None:
    assert manifest(archive)["RepoTags"] == ["a.test/b:1", "a.test/c:2"]


def test_an_image_says_what_it_starts_and_what_its_layer_is(archive: Path) -> None:
    found = manifest(archive)
    config = json.loads(read(archive, found["Config"]))
    layer = read(archive, found["Layers"][0])
    assert config["config"] == {"Entrypoint": ["/bin/program"], "Cmd": ["x"]}
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]


def test_the_layer_holds_the_files_and_their_folders(archive: Path) -> None:
    layer = read(archive, manifest(archive)["Layers"][0])
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert {entry.name: oct(entry.mode) for entry in tar} == {
            "bin": "0o755",
            "tmp": "0o1777",
            "bin/program": "0o755",
        }
        program = tar.extractfile("bin/program")
        assert program is not None
        assert program.read() == b"contents"


def test_the_same_files_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    files = {"/bin/program": tmp_path / "program"}
    again = tmp_path / "again.tar"
    images.write(again, ["a.test/b:1", "a.test/c:2"], files, ["/bin/program"], ["x"])
    assert manifest(again) == manifest(archive)


def test_no_layer_is_left_behind(archive: Path) -> None:
    assert sorted(file.name for file in archive.parent.iterdir()) == ["one.tar", "program"]
