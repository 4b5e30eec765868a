"""What the page of a server shows until there is something to show, and beside an error."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.session import ROOT
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.serverscenes import HELD

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

WAITING = "document.querySelector('.skeleton .waiting')?.innerText"
CLIPBOARD = """
navigator.clipboard.writeText = (text) => { globalThis.taken = text; return Promise.resolve(); }
"""


@pytest.fixture
def server(tmp_path: Path, browser: Browser) -> Iterator[Serving]:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    with Serving("-f", "shop", "--edit", directory=tmp_path) as found:
        browser.own = (f"http://127.0.0.1:{found.port}/",)
        yield found
        browser.leave(refused=True)


def test_a_page_that_waits_says_how_far_the_server_is(browser: Browser, server: Serving) -> None:
    with browser.running_first(HELD):
        browser.visit(server.address)
        browser.wait(f"{WAITING} === 'Reading files: 120 of 300 …'")
        assert browser.run("document.querySelector('.skeleton [role=status]') !== null")
        browser.run("globalThis.go()")
        browser.wait("document.documentElement.dataset.state === 'ready'")
        assert browser.run("document.querySelector('.skeleton')") is None
        assert "4 workloads" in browser.text("footer")


def test_the_server_tells_how_far_it_is_while_it_makes_the_map(
    browser: Browser, server: Serving
) -> None:
    """The real steps of a real server, as the page hears them."""
    script = """
    const before = TextDecoder.prototype.decode;
    globalThis.heard = "";
    TextDecoder.prototype.decode = function (...given) {
      const text = before.apply(this, given);
      globalThis.heard += text;
      return text;
    };
    """
    with browser.running_first(script):
        browser.visit(server.address)
        browser.wait("globalThis.heard.includes('event: progress')")
        browser.wait('globalThis.heard.includes(\'"doing":""\')')


def test_an_error_is_copied_with_what_helps_and_without_the_token(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    browser.visit(server.address)
    browser.go("#/map?q=db")
    browser.run(CLIPBOARD)
    (tmp_path / "shop").rename(tmp_path / "gone")  # in one step, unlike a removal
    button = "document.querySelector('.banner[role=alert] button')"
    browser.wait(f"{button} !== null")
    browser.run(f"{button}.focus()")
    browser.press("Enter")
    browser.wait(f"{button}.innerText === 'Copied'")
    taken = browser.run("globalThis.taken").split("\n")
    assert taken[0] == "The input cannot be read any more"
    assert "no such file or directory" in taken[1]
    assert taken[2] == "page: #/map?q=db"
    assert taken[3].startswith("browser: Mozilla/")
    assert server.token not in "".join(taken)


def test_a_page_that_cannot_be_shown_can_be_told_to_others(
    browser: Browser, server: Serving
) -> None:
    browser.visit(f"http://127.0.0.1:{server.port}/")
    browser.run(CLIPBOARD)
    browser.run("document.querySelector('.failure button').click()")
    browser.wait("document.querySelector('.failure button').innerText === 'Copied'")
    assert browser.run("globalThis.taken").startswith("This page needs its token\n")
