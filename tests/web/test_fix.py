"""From a finding to its repair: what it opens is seen before anything is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.editscenes import says
from tests.web.pages import served_copy, write

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

BUTTONS = "[...document.querySelectorAll('.findings .fix button')]"


@pytest.fixture
def server(tmp_path: Path, browser: Browser) -> Iterator[Serving]:
    with served_copy(browser, tmp_path, "--edit", example="gotchas") as found:
        yield found


def of(code: str) -> str:
    """The button of the first finding of a code."""
    return f"{BUTTONS}.find((each) => each.closest('li').innerText.includes({code!r}))"


def ask(browser: Browser, code: str) -> None:
    """For the repair of the first finding of a code, from the keyboard."""
    browser.go("#/findings")
    browser.wait(f"{of(code)} !== undefined")
    browser.run(f"{of(code)}.focus()")
    browser.press("Enter")


def test_a_repair_is_typed_judged_and_saved_when_it_is_wanted(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    before = {path: path.read_text() for path in tmp_path.rglob("*.yaml")}
    ask(browser, "PF329")
    browser.wait("location.hash.startsWith('#/edit?file=gotchas/service-port.yaml&line=')")
    says("opened")(browser)
    browser.wait("document.querySelector('.this-edit .progress.judged') !== null")
    assert {path: path.read_text() for path in tmp_path.rglob("*.yaml")} == before
    save = "document.querySelector('.text .actions button')"
    browser.wait(f"{save}.disabled === false")
    browser.run(f"{save}.click()")
    browser.wait(f"{save}.disabled === true")
    changed = {path.name for path, text in before.items() if path.read_text() != text}
    assert changed == {"service-port.yaml"}
    browser.go("#/findings")
    browser.wait(f"document.querySelector('.findings') !== null && {of('PF329')} === undefined")


def test_a_report_offers_no_repair(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path, "-f", "examples/gotchas"), "#/findings")
    assert "PF329" in browser.text("main")
    assert browser.run(f"{BUTTONS}.length") == 0


def test_what_is_typed_already_is_not_typed_over(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    ask(browser, "PF329")
    browser.wait("location.hash.startsWith('#/edit')")
    ask(browser, "PF329")
    said = "[...document.querySelectorAll('.fix [role=status]')].map((e) => e.innerText).join()"
    browser.wait(f"{said}.includes('has text that is not saved')")
