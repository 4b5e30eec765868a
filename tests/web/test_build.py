"""What is shipped is what the sources give."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.session import ROOT
from tests.web.pages import STATIC

WEB = ROOT / "web"

pytestmark = [
    pytest.mark.web,
    pytest.mark.skipif(
        shutil.which("node") is None or not (WEB / "node_modules" / "esbuild").exists(),
        reason="browser tests cannot run: Node with the packages of web/ (./dev web)",
    ),
]


def test_building_anew_gives_the_same_bytes(tmp_path: Path) -> None:
    subprocess.run(["nice", "node", "build.mjs", str(tmp_path)], cwd=WEB, check=True)
    built = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert built == {path.name: path.read_bytes() for path in STATIC.iterdir()}


def test_the_types_are_those_of_the_schema(tmp_path: Path) -> None:
    for name in ("docs/schemas", "web/src"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(ROOT / "docs/schemas/report.schema.json", tmp_path / "docs/schemas")
    shutil.copy(WEB / "types.mjs", tmp_path / "web")
    subprocess.run(["node", "types.mjs"], cwd=tmp_path / "web", check=True)
    made = (tmp_path / "web/src/schema.ts").read_text("utf-8")
    assert made == (WEB / "src/schema.ts").read_text("utf-8")
