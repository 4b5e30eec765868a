"""On paper everything is a table, and nothing waits for a button."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.chromium import Browser
from tests.web.pages import write
from tests.web.reportscenes import pods
from tests.web.test_page import SHOP

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]
MOST = 3000
ROWS = "document.querySelectorAll('tbody tr').length"


def begin(browser: Browser) -> None:
    browser.run("dispatchEvent(new Event('beforeprint'))")
    browser.settle()


@pytest.mark.parametrize("view", ["matrix", "picture", "table"])
def test_every_view_of_the_map_is_a_table_on_paper(
    browser: Browser, tmp_path: Path, view: str
) -> None:
    browser.open(write(tmp_path, *SHOP), f"#/map?view={view}")
    begin(browser)
    assert browser.run(ROWS) == 10
    browser.run("dispatchEvent(new Event('afterprint'))")
    browser.settle()
    assert browser.run("document.querySelectorAll('table').length") == int(view == "table")


@pytest.mark.parametrize("fragment", ["#/map", "#/exposed"])
def test_a_long_list_is_printed_whole(browser: Browser, tmp_path: Path, fragment: str) -> None:
    browser.open(write(tmp_path, "-f", "-", stdin=pods(27, 4)), fragment)
    begin(browser)
    assert browser.run(ROWS) == {"#/map": MOST, "#/exposed": 216}[fragment]
    left = 108 * 107 + 216 - MOST
    assert (f"{left:,} more" in browser.text()) == (fragment == "#/map")


def test_the_browser_itself_prints_them(browser: Browser, tmp_path: Path) -> None:
    """Twice as many pairs as the page lists at first take twice as many pages."""
    browser.open(write(tmp_path, "-f", "-", stdin=pods(6, 4)), "#/map")
    assert browser.pdf().count(b"/Type /Page\n") > 15
