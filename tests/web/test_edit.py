"""Editing in a browser: what is typed is judged beside it, saved as typed, and never lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.editscenes import DB, FRONTEND, SAID, in_editor
from tests.web.pages import served_copy
from tests.web.test_page import MARKUP, TRAP

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]


@pytest.fixture
def server(tmp_path: Path, browser: Browser) -> Iterator[Serving]:
    with served_copy(browser, tmp_path, "--edit") as found:
        yield found


def opened(browser: Browser, server: Serving, path: str = DB, line: int = 1) -> None:
    browser.visit(server.address)
    browser.go(f"#/edit?file={path}&line={line}")
    in_editor(browser, path)


def said(browser: Browser, text: str) -> None:
    """Waits until the panel says it."""
    browser.wait(f"{SAID}.includes({json.dumps(text)})")


def test_a_misspelt_label_is_typed_key_by_key(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    """Nothing is ever blank, the near miss is named, and the save writes what was typed."""
    before = (tmp_path / DB).read_text()
    opened(browser, server, line=13)
    browser.press("End", "Enter", "Home", "Shift+End", "Delete")
    browser.type("    - podSelector:")
    browser.press("Enter", "Home", "Shift+End", "Delete")
    for letter in "        matchLabels: {app: frontned}":
        browser.type(letter)
        assert browser.text(".this-edit") != ""
        assert browser.text("footer").startswith("4 workloads")
    said(browser, "PF320")
    assert "frontend" in browser.text(".this-edit .findings")
    assert browser.run("document.querySelectorAll('.cm-lintRange').length") > 0
    browser.press("ArrowLeft", "Backspace", "Backspace", "Backspace")
    browser.type("end")
    browser.wait(f"!{SAID}.includes('PF320') && {SAID}.includes('No verdict changes')")
    browser.press("Escape", "Control+s")
    browser.wait("document.querySelector('.said').innerText.includes('is saved')")
    lines = before.splitlines(keepends=True)
    typed = ["    - podSelector:\n", "        matchLabels: {app: frontend}\n"]
    assert (tmp_path / DB).read_text() == "".join([*lines[:13], *typed, *lines[13:]])


def test_a_rule_that_the_other_end_denies_is_said(browser: Browser, server: Serving) -> None:
    opened(browser, server, line=13)
    browser.press("End", "ArrowLeft", *["Backspace"] * len("backend"))
    browser.type("frontend")
    said(browser, "PF330")


def test_a_text_that_cannot_be_read_keeps_the_last_answer(
    browser: Browser, server: Serving
) -> None:
    opened(browser, server, line=13)
    browser.press("Control+a", "Delete")
    said(browser, "opened")
    before = browser.text(".this-edit .summary")
    browser.type("kind: [")
    said(browser, "Not valid yet")
    assert browser.text(".this-edit .summary") == before
    assert "PF1" in browser.text(".this-edit .findings")
    browser.press("Control+z", "Control+z", "Control+z")
    said(browser, "Everything is saved.")


def test_each_text_has_its_own_undo(browser: Browser, server: Serving) -> None:
    opened(browser, server)
    browser.type("# one ")
    browser.go(f"#/edit?file={FRONTEND}&line=1")
    in_editor(browser, FRONTEND)
    browser.type("# two ")
    browser.press("Control+z")
    assert "# two" not in browser.text(".cm-content")
    browser.go("#/map")
    browser.go(f"#/edit?file={DB}")
    browser.wait("document.querySelector('.cm-content')?.innerText.includes('# one')")
    assert browser.text(".dirty") == "● not saved"


def test_leaving_with_what_is_not_saved_asks(browser: Browser, server: Serving) -> None:
    opened(browser, server)
    browser.press("a")
    browser.dialogs.clear()
    browser.call("Page.reload")
    browser.wait("document.documentElement?.dataset.state === 'ready'")
    assert browser.dialogs == ["beforeunload"]


def test_a_file_that_changes_meanwhile_is_shown_and_kept(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    opened(browser, server)
    browser.type("# mine ")
    text = (tmp_path / DB).read_text() + "# theirs\n"
    (tmp_path / DB).write_text(text)
    browser.wait("document.querySelector('.edit .banner').innerText.includes('changed on disk')")
    browser.wait("document.querySelector('.cm-content').innerText.includes('# theirs')")
    assert "# mine" in browser.text(".cm-content")
    assert (tmp_path / DB).read_text() == text
    browser.run("document.querySelectorAll('.edit .banner button')[1].click()")
    browser.settle()
    browser.run("document.querySelector('.edit .actions button').click()")
    browser.wait("document.querySelector('.said').innerText.includes('is saved')")
    assert (tmp_path / DB).read_text().startswith("# mine ")


def test_labels_are_completed_with_the_pods_behind_them(browser: Browser, server: Serving) -> None:
    opened(browser, server, line=13)
    browser.press("End", "ArrowLeft", *["Backspace"] * 7)
    browser.press("f")
    browser.wait("document.querySelector('.cm-tooltip-autocomplete') !== null")
    assert "frontend" in browser.text(".cm-tooltip-autocomplete")
    assert "2 pods" in browser.text(".cm-tooltip-autocomplete")
    browser.wait("document.querySelector('[aria-selected=true]') !== null")
    # What has just come up is not taken by a key that was meant for something else: the editor lets
    # 75 ms pass. A longer wait takes nothing from what is shown here.
    browser.run("new Promise((done) => setTimeout(done, 200))")
    browser.press("Enter")
    assert "{app: frontend}" in browser.text(".cm-content")


def test_from_the_reason_to_the_saved_edit_without_a_pointer(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    browser.visit(server.address)
    browser.go("#/map?pair=shop/frontend~shop/db")
    browser.wait("document.querySelector('.panel a.file') !== null")
    browser.run("document.querySelector('.skip').focus()")
    for _ in range(80):
        browser.press("Tab")
        if browser.run("document.activeElement.className === 'file'"):
            break
    browser.press("Enter")
    browser.wait("document.activeElement?.className.includes('cm-content')")
    browser.press("Control+Home")
    browser.type("# by keyboard")
    browser.press("Enter")
    browser.press("Control+s")
    browser.wait("document.querySelector('.said').innerText.includes('is saved')")
    saved = [p for p in (tmp_path / "shop").rglob("*.yaml") if "# by keyboard\n" in p.read_text()]
    assert len(saved) == 1
    browser.press("Tab")  # the editor lets the keyboard go
    assert not browser.run("document.activeElement.className.includes('cm-content')")


@pytest.mark.parametrize("text", MARKUP, ids=lambda text: ascii(text)[:30])
def test_no_text_is_run_or_obeyed(browser: Browser, server: Serving, text: str) -> None:
    opened(browser, server)
    browser.press("Control+a", "Delete")  # typed over, Chromium itself would ask for inline styles
    browser.type(f"kind: {json.dumps(text)}\nmetadata: {{name: {json.dumps(text)}}}\n")
    browser.wait(f"!{SAID}.includes('Everything is saved')")
    assert browser.run(TRAP.partition(" =")[0]) is None
    foreign = "document.querySelectorAll('#app :is(script, iframe, svg, style)').length"
    assert browser.run(foreign) == 0
    assert not set(browser.text("body")) & set("\u202e\u2066\x1b")


@pytest.mark.parametrize("width", [360, 800])
def test_a_narrow_window_loses_nothing(browser: Browser, server: Serving, width: int) -> None:
    browser.resize(width, 800)
    opened(browser, server)
    assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0
