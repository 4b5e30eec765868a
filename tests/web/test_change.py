"""The page of a change: the map on both sides of it, and the order in which it can be applied."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.report import report
from tests.cli.session import ROOT
from tests.cli.test_report import CHANGE
from tests.web.chromium import Browser
from tests.web.pages import write
from tests.web.test_answers import cells_of

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

TABLE = """
[...document.querySelectorAll('.table-view tbody tr')]
  .map((row) => [...row.cells].map((each) => each.innerText))
"""
SIDE = "document.querySelector('.side-of-change [aria-current]').innerText"


@pytest.fixture(scope="module")
def change(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("change"), *CHANGE, "--order")


def pairs(browser: Browser) -> set[tuple[str, str]]:
    return {(source, destination) for source, destination, _ in browser.run(TABLE)}


def test_each_side_is_the_map_of_its_own_input(browser: Browser, change: Path) -> None:
    old = load([str(ROOT / "examples/shop/policies"), str(ROOT / "examples/shop")]).cluster
    expected = {(a, b) for a, b, _, _ in cells_of(report(compile_cluster(old)))}
    browser.open(change, "#/map?view=table&side=before")
    browser.wait("document.querySelector('.table-view') !== null")
    assert browser.run(SIDE) == "Before"
    assert pairs(browser) == expected
    browser.run("document.querySelector('.side-of-change a:last-child').click()")
    browser.settle()
    assert browser.run(SIDE) == "After"
    assert browser.run("location.hash") == "#/map?view=table"
    shown = browser.run("podfence.world.pairs")
    assert len(pairs(browser)) == shown
    assert pairs(browser) != expected


def test_the_map_before_marks_what_turns(browser: Browser, change: Path) -> None:
    browser.open(change, "#/map?side=before")
    browser.wait("document.querySelector('.scroller') !== null")
    browser.run("document.querySelector('[role=grid]').focus()")
    browser.press("Control+Home", "ArrowDown", "ArrowRight", "Control+ArrowRight")
    label = browser.run("document.getElementById('focused-cell').ariaLabel")
    assert label.startswith("monitoring/prometheus to shop/backend: TCP/9100-9110")
    assert label.endswith("the change closes some of it")


def test_a_pair_says_what_it_was_allowed_before(browser: Browser, change: Path) -> None:
    browser.open(change, "#/map?pair=monitoring/prometheus~shop/backend")
    before = "[...document.querySelectorAll('.panel p')].map((e) => e.innerText)"
    browser.wait(f"{before}.some((each) => each.startsWith('Before the change'))")
    said = browser.run(before)
    assert "Before the change: TCP/9100-9110" in said
    browser.go("#/map?pair=shop/backend~shop/db")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    assert not any(each.startswith("Before the change") for each in browser.run(before))


def test_without_a_change_there_are_no_sides(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path, "-f", "examples/shop"), "#/map?side=before")
    assert browser.run("document.querySelector('.side-of-change')") is None
    assert browser.run("document.querySelector('.scroller') !== null")


def test_the_order_can_be_copied_as_commands(browser: Browser, change: Path) -> None:
    browser.open(change, "#/plan")
    browser.run("document.querySelector('.order + details summary').click()")
    browser.settle()
    text = browser.run("document.querySelector('.order + details code').textContent")
    lines = text.split("\n")
    assert [each for each in lines if each.startswith("kubectl ")]
    assert lines.count("EOF") == sum(each.endswith("<<'EOF'") for each in lines)
    browser.run(
        "navigator.clipboard.writeText = (text) => { globalThis.taken = text;"
        " return Promise.resolve(); }"
    )
    browser.run("document.querySelector('.order + details button').click()")
    browser.settle()
    assert browser.run("globalThis.taken") == text
    assert browser.text(".order + details button") == "copied"


def test_a_pair_of_a_workload_that_goes_is_told_where_it_is_shown(
    browser: Browser, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "new")
    (tmp_path / "new/db.yaml").unlink()
    page = write(tmp_path, "-f", str(tmp_path / "new"), "--plan", "examples/shop")
    browser.open(page, "#/map?side=before&pair=shop/backend~shop/db")
    browser.wait("document.querySelector('.panel') !== null")
    assert "Allowed before: TCP/5432" in browser.text(".panel")
    assert "There is no such pair" not in browser.text("main")
    browser.go("#/map?pair=shop/backend~shop/db")
    assert "There is no such pair" in browser.text("main")
    assert browser.run("document.querySelector('.panel')") is None
