"""The page of drops in a browser: what is told, what is not there, and names that are hostile."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from podfence.drops.record import FlowEnd
from podfence.render.drops import page_data
from podfence.web.agentnews import AgentNews
from tests.cli.test_serve_drops import DB, DROP, LATER, WEB, serving_news, told
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.test_page import MARKUP

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]


def test_of_files_it_says_what_is_not_there(browser: Browser) -> None:
    with Serving("-f", "examples/shop") as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        browser.visit(server.address)
        browser.go("#/drops")
        browser.wait(
            "document.querySelector('main h2')?.textContent === 'There are no drops to show'"
        )
        assert "shows files" in browser.text("main")
        browser.leave()


def test_drops_are_told_with_their_causes(browser: Browser, tmp_path: Path) -> None:
    hostile = [
        replace(DROP, serial=n, source=FlowEnd("10.0.0.9", (f"shop/{markup}",)), destination=DB)
        for n, markup in enumerate(MARKUP)
    ]
    data = page_data([told("n1", DROP, *hostile), told("n2\x1b", LATER, lost=2)])
    with serving_news(tmp_path, AgentNews("drops", lambda: data)) as bound:
        browser.own = (f"http://127.0.0.1:{bound.port}/",)
        browser.visit(bound.address)
        browser.go("#/drops")
        browser.wait("document.querySelectorAll('.drops tbody tr').length > 1")
        rows = browser.run(
            "[...document.querySelectorAll('.drops tbody tr')].map((e) => e.innerText)"
        )
        assert len(rows) == len(hostile) + 2
        assert "shop/db" in rows[0]
        assert "isolated by shop/db, no rule matches" in browser.text(".drops")
        assert "2 logged packets could not be examined" in browser.text(".drops")
        assert browser.run("globalThis.sprung") is None
        assert WEB.pods[0] in browser.text(".drops")
        browser.leave()
