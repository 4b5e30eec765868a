"""``plan --fail-on`` and ``--transition``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.session import podfence

INPUTS = "tests/cli/inputs/plan"
OPENS = ["examples/shop/policies", "examples/plan", "-f", "examples/shop", "--exclude", "policies/"]
CLOSES = [f"{INPUTS}/flat.yaml", f"{INPUTS}/closed.yaml", "--no-newcomers"]
INSIDE = [f"{INPUTS}/old.yaml", f"{INPUTS}/old.yaml"]


@pytest.mark.parametrize(
    ("arguments", "shut"),
    [
        (OPENS, {"any", "opens", "closes", "outside"}),
        (CLOSES, {"any", "closes"}),
        (INSIDE, set()),
    ],
)
def test_the_status_is_1_for_what_is_named(arguments: list[str], shut: set[str]) -> None:
    every = ("any", "opens", "closes", "outside", "never")
    found = {word for word in every if podfence(["plan", *arguments, "--fail-on", word]).status}

    assert found == shut


def test_temporary_policies_are_written_once(tmp_path: Path) -> None:
    given = ["plan", *CLOSES, "--transition", str(tmp_path / "new")]

    first, second = podfence(given), podfence(given)

    [path] = (tmp_path / "new").iterdir()
    assert path.name == "shop.podfence-transition-db-from-pc.yaml"
    assert f"wrote {path}" in first.err
    assert path.read_text() in first.out
    assert (second.status, "File exists" in second.err) == (2, True)
    assert podfence(["check", "-f", str(path), "--server-only"]).status == 0


def test_temporary_policies_are_all_written_or_none(tmp_path: Path) -> None:
    """One of them is there already: the others are not written beside it."""
    sides = []
    for side in CLOSES[:2]:
        text = Path(side).read_text("utf-8")
        sides.append(tmp_path / Path(side).name)
        sides[-1].write_text(f"{text}\n---\n{text.replace('shop', 'tall')}", "utf-8")
    new = tmp_path / "new"
    given = ["plan", *map(str, sides), "--no-newcomers", "--transition", str(new)]
    assert podfence(given).status == 1
    first, last = sorted(new.iterdir())
    first.unlink()

    done = podfence(given)

    assert (done.status, f"nothing was written: File exists: {last}" in done.err) == (2, True)
    assert [*new.iterdir()] == [last]


def test_where_nothing_is_needed_nothing_is_written(tmp_path: Path) -> None:
    done = podfence(["plan", *INSIDE, "--transition", str(tmp_path / "new")])

    assert "no temporary policy is needed" in done.err
    assert not (tmp_path / "new").exists()
