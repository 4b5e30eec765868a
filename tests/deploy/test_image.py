"""The image without a container engine: its archive, its layer, and what the Containerfile says."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from deploy import image

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    program = root / "usr/bin/program"
    program.write_bytes(b"text")
    program.chmod(0o6777)
    return root


def _members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        return {each.name: each for each in found}


def test_a_layer_holds_everything_as_root_owns_it(tree: Path) -> None:
    found = _members(image.layer_of(tree))
    assert list(found) == ["bin", "usr", "usr/bin", "usr/bin/program"]
    assert found["bin"].linkname == "usr/bin"
    assert {(each.uid, each.gid, each.mtime) for each in found.values()} == {(0, 0, 0)}


def test_nothing_in_a_layer_gives_rights_to_who_runs_it(tree: Path) -> None:
    assert oct(_members(image.layer_of(tree))["usr/bin/program"].mode) == "0o755"


def test_the_same_files_are_the_same_layer(tree: Path) -> None:
    before = image.layer_of(tree)
    (tree / "usr/bin/program").touch()
    assert image.layer_of(tree) == before


def test_an_archive_names_its_layer_by_content(tree: Path) -> None:
    layer = image.layer_of(tree)
    whole = image.archive(layer, image.configuration(layer, "1.2"), "podfence/podfence:1.2")
    with tarfile.open(fileobj=io.BytesIO(whole)) as opened:
        read = {each.name: opened.extractfile(each) for each in opened}
        data = {name: file.read() for name, file in read.items() if file is not None}
    (manifest,) = json.loads(data["manifest.json"])
    assert manifest["RepoTags"] == ["podfence/podfence:1.2"]
    config = json.loads(data[manifest["Config"]])
    digest = hashlib.sha256(data[manifest["Layers"][0]]).hexdigest()
    assert config["rootfs"]["diff_ids"] == [f"sha256:{digest}"]
    assert manifest["Config"] == f"{hashlib.sha256(data[manifest['Config']]).hexdigest()}.json"
    assert config["config"]["Entrypoint"] == ["/usr/bin/podfence"]


def test_licences_of_packages_stay(tmp_path: Path) -> None:
    doc = tmp_path / "usr/share/doc"
    for name in ("one/copyright", "one/README", "two/changelog.gz"):
        (doc / name).parent.mkdir(parents=True, exist_ok=True)
        (doc / name).write_text("x")
    image.leave_licences(doc)
    assert [str(path.relative_to(doc)) for path in sorted(doc.rglob("*"))] == [
        "one",
        "one/copyright",
    ]


@pytest.mark.parametrize("package", image.PACKAGES)
def test_the_containerfile_has_the_same_packages(package: str) -> None:
    text = (ROOT / "deploy/Containerfile").read_text("utf-8")
    *_, last = text.split("\nFROM ")
    assert f" {package} " in last


def test_the_version_is_that_of_podfence() -> None:
    import podfence

    assert image.version() == podfence.__version__
