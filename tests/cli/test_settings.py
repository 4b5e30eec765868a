"""``podfence.toml``: what it says to ``plan`` and ``test``; the command line goes before it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from podfence.cli.settings import read_settings
from podfence.errors import PodfenceError
from tests.cli.session import ROOT, podfence

SEEN = "source,destination,protocol,port\nshop/backend,shop/db,TCP,5432\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A shop, one without the policy of its database, its tests, and what flowed to it."""
    for name in ("old", "new"):
        shutil.copytree(ROOT / "examples/shop", tmp_path / name)
    (tmp_path / "new/policies/db.yaml").unlink()
    shutil.copytree(ROOT / "examples/tests", tmp_path / "tests")
    (tmp_path / "seen.csv").write_text(SEEN)
    (tmp_path / "below").mkdir()
    return tmp_path


def settings(tree: Path, text: str) -> None:
    (tree / "podfence.toml").write_text(text)


@pytest.mark.parametrize(
    ("text", "options", "status"),
    [
        ("", [], 1),
        ('[plan]\nfail-on = "outside"', [], 0),
        ('[plan]\nfail-on = "outside"', ["--fail-on", "any"], 1),
        ('[plan]\nfail-on = "outside"', ["--no-config"], 1),
        ('[plan]\nfail-on = "used"\nflows = ["seen.csv"]', [], 1),
        ('[plan]\nfail-on = "used"\nflows = ["seen.csv"]', ["--fail-on", "opens"], 0),
    ],
)
@pytest.mark.parametrize("here", [".", "below"])
def test_which_changes_fail(
    tree: Path, text: str, options: list[str], status: int, here: str
) -> None:
    """From every directory alike: paths are those from the folder of the file."""
    settings(tree, text)
    sides = [str(tree / side) for side in ("old", "new")]
    done = podfence(["plan", *sides, *options], directory=tree / here)
    assert (done.status, done.err) == (status, "")
    assert ("traffic that was seen" in done.out) == ("flows" in text)


def test_flows_of_the_command_line_go_before(tree: Path) -> None:
    settings(tree, '[plan]\nflows = ["no-such-file.csv"]')
    assert podfence(["plan", "old", "new"], directory=tree).status == 2
    done = podfence(["plan", "old", "new", "--flows", "seen.csv"], directory=tree)
    assert (done.status, done.err) == (1, "")


@pytest.mark.parametrize("here", [".", "below"])
def test_test_files_need_not_be_named(tree: Path, here: str) -> None:
    settings(tree, '[test]\nfiles = ["tests/shop.podfence.yaml"]')
    done = podfence(["test", "-f", str(tree / "old")], directory=tree / here)
    assert (done.status, done.err) == (0, "")
    assert "10 tests: 10 passed" in done.out
    assert podfence(["test", "-f", "old", "--no-config"], directory=tree).status == 2


@pytest.mark.parametrize(
    ("floor", "options", "status"),
    [
        ("touched = 100", [], 0),
        ("touched = 100", ["--coverage"], 1),
        ("touched = 100", ["--coverage", "--touched", "0"], 0),
        ("touched = 0.5", ["--coverage"], 0),
        ("score = 100", ["--mutate"], 1),
        ("score = 100", ["--mutate", "--score", "0"], 0),
    ],
)
def test_floors_count_where_the_figure_is_asked_for(
    tree: Path, floor: str, options: list[str], status: int
) -> None:
    settings(tree, f"[test]\n{floor}")
    test = ["test", "tests/shop.podfence.yaml", "-f", "old", "--run", "customers"]
    assert podfence([*test, *options], directory=tree).status == status


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[plan]\nfail_on = 'any'", "plan.fail_on: no such key; did you mean plan.fail-on?"),
        ("[plan]\nfail-on = 'use'", "plan.fail-on: 'use': use any, opens, closes, outside, used"),
        ("[plan]\nfail-on = 1", "plan.fail-on: 1: use any"),
        ("[plan]\nflows = 'seen.csv'", "plan.flows: use a list of paths"),
        ("[plan]\nflows = ['-']", "plan.flows: use a list of paths"),
        ("[plan]\nflows = ['']", "plan.flows: use a list of paths"),
        ("[plan]\nfail-on = 'used'", "--fail-on used needs traffic that was seen"),
        ("[test]\nfiles = 'tests'", "test.files: use a list of paths"),
        ("[test]\ntouched = 101", "test.touched: use a number from 0 to 100"),
        ("[test]\nscore = true", "test.score: use a number from 0 to 100"),
        ("[test]\nscore = nan", "test.score: use a number from 0 to 100"),
        ("[input]\nfiles = ['old']", "input.files: no such key"),
        ("test = 1", "test: use a table"),
        ("[check.severity]\nPF331 = ['error']", "['error'] is not a severity"),
        ("[check.severity]\nPF331 = {weight = 'error'}", "is not a severity"),
    ],
)
def test_settings_that_cannot_be_used(tree: Path, text: str, complaint: str) -> None:
    settings(tree, text)
    done = podfence(["plan", "old", "new"], directory=tree)
    assert done.status == 2
    assert complaint in done.err
    assert done.out == ""


@pytest.mark.parametrize("wrong", ["5", "[5]", "'nothing such'", "['-']"])
@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("check", "ignore"),
        ("check", "severity"),
        ("check", "shared"),
        ("check", "metadata-allowed"),
        ("cluster", "api-server"),
        ("cluster", "dns"),
        ("cluster", "ingress-controllers"),
        ("cluster", "plugin"),
        ("cluster", "pod-cidrs"),
        ("cluster", "service-cidrs"),
        ("cluster", "tenant-label"),
        ("cluster.dns", "pods"),
        ("cluster.dns", "node-local"),
        ("cluster.ingress-controllers", "nginx"),
        ("plan", "flows"),
        ("test", "files"),
    ],
)
def test_the_example_of_a_message_is_one_of_its_setting(
    tmp_path: Path, table: str, key: str, wrong: str
) -> None:
    said = complaint_of(tmp_path, f"[{table}]\n{key} = {wrong}")
    if not said:
        return  # a value that nobody can tell from a right one, as the name of a plugin
    assert f"{table}.{key}" in said
    if "such as " not in said:
        return
    example = said.partition("such as ")[2].partition(": ")[0].partition("; ")[0]
    lines = [
        example,
        *(f"{key} = {value}" for value in (example, f"'{example}'", f"['{example}']")),
    ]
    assert "" in [complaint_of(tmp_path, f"[{table}]\n{line}") for line in lines]


def complaint_of(tree: Path, text: str) -> str:
    """What is said of a file of settings."""
    settings(tree, text)
    try:
        read_settings(str(tree / "podfence.toml"), none=False)
    except PodfenceError as error:
        return error.message
    return ""
