"""``podfence serve``: repairs of findings are those that ``check`` makes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.cli.schema import violations
from tests.cli.serveanswers import SCHEMA, asked
from tests.cli.session import ROOT, podfence
from tests.cli.test_report import Page
from tests.support.serving import Serving

pytestmark = pytest.mark.timeout(300)
INPUTS = ("-f", "gotchas")
KEY = ("code", "object", "path")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("fixes")
    shutil.copytree(ROOT / "examples/gotchas", found / "gotchas")
    return found


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serving]:
    with Serving(*INPUTS, directory=folder) as found:
        yield found


def fix(server: Serving, of: dict[str, Any]) -> Any:
    return asked(server, f"fix?{urlencode({name: of[name] for name in KEY})}")


def test_the_repairs_are_those_that_check_offers(server: Serving, folder: Path) -> None:
    done = podfence(["check", *INPUTS, "--with-fixes", "-o", "json"], directory=folder)
    offered = {
        tuple(each[name] for name in KEY): (each["fix"]["does"], each["fix"]["safe"])
        for each in json.loads(done.out)["problems"]
        if "fix" in each
    }
    assert len(offered) > 3
    listed = asked(server, "fixes")["fixes"]
    made = {
        tuple(each[name] for name in KEY): (each["does"], each["safe"])
        for each in listed
        if fix(server, each)["texts"]
    }
    assert made == offered


def test_a_repair_mends_its_finding_and_writes_nothing(
    server: Serving, folder: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.yaml")}
    listed = asked(server, "fixes")["fixes"]
    mended = 0
    for number, each in enumerate(listed):
        made = fix(server, each)
        if not made["texts"]:
            assert made["because"]
            continue
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        for text in made["texts"]:
            path = copy / text["file"]
            assert text["before"] == (path.read_text() if path.exists() else "")
            path.write_text(text["after"])
        done = podfence(["check", *INPUTS, "-o", "json"], directory=copy)
        left = json.loads(done.out)["problems"]
        assert all(any(found[name] != each[name] for name in KEY) for found in left), each
        mended += 1
    assert mended > 3
    assert {path: path.read_bytes() for path in folder.rglob("*.yaml")} == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("fix?code=PF320&object=nobody&path=spec", 404),
        ("fix", 404),
        ("fix?code=PF320&code=PF321", 400),
        ("fix?file=/etc/passwd", 400),
        ("fixes?code=PF320", 400),
    ],
)
def test_what_is_no_question_is_refused(server: Serving, path: str, status: int) -> None:
    answer = server.ask(f"/api/v1/{path}")
    assert answer.status == status
    assert violations(answer.data, SCHEMA, SCHEMA) == []


SETTINGS = """
[input]
partial = true
[check]
ignore = ["PF340"]
severity = { PF350 = "error" }
[check.paths."gotchas/misspelt*"]
ignore = ["PF3"]
"""


def test_findings_and_repairs_are_those_of_check_with_the_settings_of_the_repository(
    tmp_path: Path,
) -> None:
    shutil.copytree(ROOT / "examples/gotchas", tmp_path / "gotchas")
    plain = checked(tmp_path)
    (tmp_path / "podfence.toml").write_text(SETTINGS)
    found = checked(tmp_path)
    assert found != plain
    with Serving(*INPUTS, directory=tmp_path) as server:
        listed = server.get("findings")
        fixes = asked(server, "fixes")["fixes"]
        repairs = {
            tuple(each[name] for name in KEY) for each in fixes if fix(server, each)["texts"]
        }
    assert [weight(each) for each in listed] == [weight(each) for each in found]
    assert repairs == {tuple(each[name] for name in KEY) for each in found if "fix" in each}


def test_a_report_holds_the_findings_of_check_with_settings(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/gotchas", tmp_path / "gotchas")
    (tmp_path / "podfence.toml").write_text(SETTINGS)
    done = podfence(["report", *INPUTS, "-o", "-"], directory=tmp_path)
    listed = Page(done.out).data["findings"]
    assert [weight(each) for each in listed] == [weight(each) for each in checked(tmp_path)]


def checked(folder: Path) -> list[dict[str, Any]]:
    """What ``check`` finds there."""
    words = ["check", *INPUTS, "--with-fixes", "-o", "json"]
    found: list[dict[str, Any]] = json.loads(podfence(words, directory=folder).out)["problems"]
    return found


def weight(found: dict[str, Any]) -> tuple[Any, ...]:
    return *(found[name] for name in KEY), found["severity"]
