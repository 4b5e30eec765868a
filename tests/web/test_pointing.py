"""Whom a selector means is lit on the map below the text: by the pointer, and by the cursor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.session import ROOT
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.editscenes import DB, in_editor
from tests.web.pages import served_copy

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

LIT = "[...document.querySelectorAll('.edited-map .rows .lit')].map((e) => e.title).join()"
POINTED = "document.querySelector('.pointed')?.innerText"


@pytest.fixture
def server(tmp_path: Path, browser: Browser) -> Iterator[Serving]:
    with served_copy(browser, tmp_path, "--edit") as found:
        yield found


def at_line(browser: Browser, path: str, line: int) -> None:
    browser.go(f"#/edit?file={path}&line={line}")
    in_editor(browser, path)


def test_the_cursor_lights_what_its_selector_means(browser: Browser, server: Serving) -> None:
    at_line(browser, DB, 8)
    browser.wait(f"{LIT} === 'shop/db'")
    assert browser.run(POINTED) == "Line 8, spec.podSelector of shop/db: 1 pod, shop/db-0"
    browser.press("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown")
    browser.wait(f"{LIT} === 'shop/backend'")
    assert "spec.ingress[0].from[0] of shop/db: 1 pod" in browser.run(POINTED)
    browser.press("ArrowDown")
    browser.wait(f"{LIT} === '' && {POINTED} === undefined")


def test_the_pointer_goes_before_the_cursor(browser: Browser, server: Serving) -> None:
    at_line(browser, DB, 8)
    browser.wait(f"{LIT} === 'shop/db'")
    box = (
        "(() => { const { x, y } = [...document.querySelectorAll('.cm-line')][12]"
        ".getBoundingClientRect(); return [x + 60, y + 8]; })()"
    )
    x, y = browser.run(box)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    browser.wait(f"{LIT} === 'shop/backend'")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
    browser.wait(f"{LIT} === 'shop/db'")


def test_what_is_typed_is_meant(browser: Browser, server: Serving) -> None:
    at_line(browser, DB, 8)
    browser.wait(f"{LIT} === 'shop/db'")
    browser.press("End", "ArrowLeft", "Backspace", "Backspace")
    browser.type("frontend")
    browser.press("Escape")
    browser.wait(f"{LIT} === 'shop/frontend'")
    assert "2 pods" in browser.run(POINTED)
    browser.press("Backspace")
    browser.wait(f"{POINTED}?.endsWith('no pod') === true")
    assert browser.run(LIT) == ""


def test_a_block_lights_the_addresses_that_it_holds(browser: Browser, server: Serving) -> None:
    path = "shop/policies/backend.yaml"
    text = (ROOT / "examples" / path).read_text().split("\n")
    line = 1 + next(at for at, each in enumerate(text) if "203.0.113.0" in each)
    at_line(browser, path, line)
    browser.wait(f"{LIT}.includes('203.0.113.0/25')")
    assert "addresses 203.0.113.0/25" in browser.run(POINTED)


def test_a_folded_namespace_is_lit_for_its_workloads(browser: Browser, server: Serving) -> None:
    browser.go(f"#/edit?file={DB}&line=8&open=-")
    in_editor(browser, DB)
    browser.wait(f"{LIT} === 'shop'")


def test_what_is_lit_follows_the_files(browser: Browser, server: Serving, tmp_path: Path) -> None:
    """The cursor stays, but its selector means others than before."""
    at_line(browser, DB, 8)
    browser.wait(f"{LIT} === 'shop/db'")
    file = tmp_path / "shop/db.yaml"
    file.write_text(file.read_text().replace("replicas: 1", "replicas: 2"))
    browser.wait(f"{POINTED}?.endsWith('2 pods, shop/db-0, shop/db-1') === true")
    assert browser.run(LIT) == "shop/db"


def test_another_file_has_its_own_line(browser: Browser, server: Serving) -> None:
    at_line(browser, DB, 8)
    browser.wait(f"{LIT} === 'shop/db'")
    other = "shop/policies/backend.yaml"
    files = "[...document.querySelectorAll('.files a')]"
    browser.run(f"{files}.find((e) => e.innerText === '{other}').click()")
    browser.wait(f"document.querySelector('.text h2').innerText.trim() === '{other}'")
    browser.wait(f"{LIT} === '' && {POINTED} === undefined")
