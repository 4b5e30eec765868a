"""The page of a server in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.report import report
from tests.cli.session import ROOT
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.test_answers import all_pairs_of, cells_of, cells_shown, compare

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]


@pytest.fixture
def shop(tmp_path: Path, browser: Browser) -> Iterator[Serving]:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    with Serving("-f", "shop", directory=tmp_path) as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        yield server
        browser.leave()


def test_the_page_says_what_the_engine_says(browser: Browser, shop: Serving) -> None:
    found = report(compile_cluster(load([str(ROOT / "examples/shop")]).cluster))
    browser.visit(shop.address)
    assert cells_shown(browser) == cells_of(found)
    assert compare(browser, found, all_pairs_of(found), 12) > 0


def test_the_token_leaves_the_address_and_a_reload_works(browser: Browser, shop: Serving) -> None:
    browser.visit(shop.address)
    assert browser.run("location.hash") == "#/map"
    browser.call("Page.reload")
    browser.wait("document.documentElement?.dataset.state === 'ready'")
    assert browser.run("document.cookie + JSON.stringify(localStorage)") == "{}"
    assert "4 workloads" in browser.text("footer")


def test_without_the_token_the_page_says_how_to_get_in(browser: Browser, shop: Serving) -> None:
    browser.visit(f"http://127.0.0.1:{shop.port}/")
    assert "Open the address that podfence serve has printed" in browser.text("#app")
    browser.leave(refused=True)


def test_a_saved_file_changes_the_page(browser: Browser, shop: Serving, tmp_path: Path) -> None:
    browser.visit(f"{shop.address}")
    browser.go("#/map?view=table&q=db")
    before = browser.text(".count")
    (tmp_path / "shop/policies/db.yaml").unlink()
    browser.wait(f"document.querySelector('.count').innerText !== {before!r}")
    assert browser.run("location.hash") == "#/map?view=table&q=db"
    (tmp_path / "shop").rename(tmp_path / "gone")  # in one step, unlike a removal
    browser.wait("document.querySelector('.banner[role=alert]') !== null")
    assert "The input cannot be read any more." in browser.text(".banner[role=alert]")


def test_a_server_that_ends_is_missed(browser: Browser, shop: Serving) -> None:
    browser.visit(shop.address)
    shop.stop()
    browser.wait("document.querySelector('.banner[role=alert]') !== null")
    assert "The server has ended" in browser.text(".banner[role=alert]")
    assert "4 workloads" in browser.text("footer")
    browser.leave(refused=True)


def test_a_new_address_in_the_same_tab_gives_access_and_keeps_the_view(
    browser: Browser, shop: Serving, tmp_path: Path
) -> None:
    """A browser takes it for a part of the page that is open, and loads nothing."""
    browser.visit(shop.address)
    browser.go("#/map?view=table&q=db")
    shop.stop()
    browser.wait("document.querySelector('.banner[role=alert]') !== null")
    with Serving("-f", "shop", "--port", str(shop.port), directory=tmp_path) as anew:
        browser.wait(
            "document.querySelector('.banner[role=alert]')?.innerText.includes('restarted')"
        )
        browser.run(f"location.hash = 'token={anew.token}.'")  # with a full stop of the sentence
        browser.wait("document.querySelector('.banner[role=alert]') === null")
        assert browser.run("location.hash") == "#/map?view=table&q=db"
        browser.leave(refused=True)


def test_an_address_with_a_wrong_token_is_in_no_details(browser: Browser, shop: Serving) -> None:
    for written in (f"{shop.token[:-2]}x", f"%20{shop.token}"):
        browser.visit(f"http://127.0.0.1:{shop.port}/?{written[:3]}#token={written}")
        assert "Open the address that podfence serve has printed" in browser.text("#app")
        assert browser.run("location.hash") == "#/map"
    browser.run("location.hash = 'token=" + shop.token + "'")
    browser.wait("document.documentElement?.dataset.state === 'ready'")
    browser.leave(refused=True)
