"""The bill of materials of the image: read from what is in it, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.bom import bill


@pytest.fixture
def root(tmp_path: Path) -> Path:
    known = tmp_path / "var/lib/dpkg/status.d"
    known.mkdir(parents=True)
    (known / "libstdc++6").write_text(
        "Package: libstdc++6\nVersion: 1:12.2.0-14+deb12u1~1\nArchitecture: amd64\n"
    )
    for name, told in (("PyYAML", "6.0.3"), ("ruamel.yaml_clib", "0.2")):
        folder = tmp_path / f"site/{name}-{told}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: {told}\n\nText\n"
        )
    return tmp_path


def names(root: Path) -> list[str]:
    told = json.loads(bill(root, "site", "1.2", "debian"))
    return [each["purl"] for each in told["components"]]


def test_each_package_is_named_by_its_package_url(root: Path) -> None:
    assert names(root) == [
        "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1~1?arch=amd64",
        "pkg:pypi/pyyaml@6.0.3",
        "pkg:pypi/ruamel-yaml-clib@0.2",
    ]


def test_it_is_about_podfence(root: Path) -> None:
    told = json.loads(bill(root, "site", "1.2", "debian"))["metadata"]["component"]
    assert (told["name"], told["version"], told["type"]) == ("podfence", "1.2", "container")


def test_what_is_not_in_the_image_is_not_in_the_bill(root: Path) -> None:
    (root / "var/lib/dpkg/status.d/libstdc++6").unlink()
    assert names(root)[0] == "pkg:pypi/pyyaml@6.0.3"


def test_the_same_files_are_the_same_bytes(root: Path) -> None:
    assert bill(root, "site", "1.2", "debian") == bill(root, "site", "1.2", "debian")
