"""``podfence schema``: every published schema, to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.session import ROOT, podfence

SCHEMAS = sorted((ROOT / "docs/schemas").glob("*.schema.json"))


def test_the_names_are_those_of_the_files() -> None:
    """A new schema needs its link: ln -s ../../../docs/schemas/NAME podfence/cli/schemas/"""
    names = podfence(["schema"]).out.split()
    assert names == [each.name.removesuffix(".schema.json") for each in SCHEMAS]


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_schema_is_printed_as_published(path: Path) -> None:
    done = podfence(["schema", path.name.removesuffix(".schema.json")])
    assert (done.status, done.out) == (0, path.read_text("utf-8"))


@pytest.mark.parametrize("name", ["mapp", "../schemas/map", "map.schema.json", ""])
def test_another_name_is_an_error_that_helps(name: str) -> None:
    done = podfence(["schema", name])
    assert (done.status, done.out) == (2, "")
    assert f"there is no schema {name!r}" in done.err
