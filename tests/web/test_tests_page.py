"""The page of tests in a browser: what it says, where it leads, and that no name of it acts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.session import ROOT
from tests.cli.test_hostile import NAMES
from tests.cli.test_report_tests import PROMISES, named
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.pages import write
from tests.web.test_page import MARKUP

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

SHOP = ("-f", "examples/shop")
BADGE = "document.querySelector('.rail a[href^=\"#/tests\"] small')?.innerText"


def test_from_the_list_of_pages_to_the_reason_without_a_pointer(
    browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "promises.yaml").write_text(PROMISES)
    browser.open(write(tmp_path, *SHOP, "--tests", str(tmp_path / "promises.yaml")))
    assert browser.run(BADGE) == "✗ 6"
    tab_to(browser, "Tests")
    browser.press("Enter")
    heads = "[...document.querySelectorAll('.tests-page h3')].map((e) => e.innerText)"
    browser.wait(f"{heads}.length > 0")
    assert [each.split(maxsplit=1)[0] for each in browser.run(heads)] == [
        "Failed",
        "Vacuous:",
        "Passed",
        "Skipped",
    ]
    first = [line for line in browser.text(".tests li").splitlines() if line]
    assert first[0] == "fail the frontend reads the database 1 pair"
    assert first[1] == "shop/frontend → shop/db TCP/5432 is denied"
    assert first[-1].endswith("/promises.yaml:7")
    tab_to(browser, "shop/frontend → shop/db")
    browser.press("Enter")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    assert browser.text(".panel .verdict") == "no: TCP/5432"
    browser.run("document.querySelector('.panel button').focus()")
    browser.press("Escape")
    browser.wait("document.querySelector('.panel') === null")
    assert browser.run("document.activeElement.id") == "main"
    assert browser.run("location.hash") == "#/tests"


def tab_to(browser: Browser, words: str) -> None:
    for _ in range(40):
        browser.press("Tab")
        if browser.run("document.activeElement.innerText").startswith(words):
            return
    raise AssertionError(f"Tab never comes to {words!r}")


def test_every_failure_leads_to_a_panel_that_says_the_same(
    browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "promises.yaml").write_text(PROMISES)
    browser.open(write(tmp_path, *SHOP, "--tests", str(tmp_path / "promises.yaml")), "#/tests")
    links = browser.run(
        "[...document.querySelectorAll('.tests p:has(> a)')].map((e) =>"
        " [e.querySelector('a').getAttribute('href'), e.innerText])"
    )
    assert len(links) == 3
    for link, said in links:
        browser.go(link)
        browser.wait("document.querySelector('.panel .verdict') !== null")
        word = "yes" if said.endswith("is allowed") else "no"
        assert browser.text(".panel .verdict").startswith(f"{word}: {said.split()[-3]}")


@pytest.mark.parametrize("name", [*MARKUP, *NAMES.values()], ids=lambda name: ascii(name)[:30])
def test_no_name_of_a_test_is_run_or_obeyed(browser: Browser, tmp_path: Path, name: str) -> None:
    (tmp_path / "named.yaml").write_text(named(name))
    browser.open(write(tmp_path, *SHOP, "--tests", str(tmp_path / "named.yaml")), "#/tests")
    assert browser.run("globalThis.sprung") is None
    assert browser.run("document.querySelectorAll('main :is(script, img, svg, b)').length") == 0
    text = browser.run("document.querySelector('.tests li').innerText")
    assert text.startswith("skip ")
    assert not set(text) & set("\u202e\u2066\u2067\u200f\u200b\x00\x1b\x9b")
    assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_served_page_follows_its_tests_and_what_they_are_about(
    browser: Browser, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    file = tmp_path / "promises.yaml"
    file.write_text(PROMISES)
    with Serving("-f", "shop", "--tests", "promises.yaml", directory=tmp_path) as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        browser.visit(server.address)
        browser.wait(f"{BADGE} === '✗ 6'")
        file.write_text(PROMISES.replace("expect: deny", "expect: allow", 1))
        browser.wait(f"{BADGE} !== '✗ 6'")
        file.write_text(PROMISES)
        browser.wait(f"{BADGE} === '✗ 6'")
        (tmp_path / "shop/policies/db.yaml").unlink()
        browser.wait(f"{BADGE} !== '✗ 6'")
        file.write_text("apiVersion: podfence.io/v1alpha1\nkind: PolicyTests\ntests: 5\n")
        banner = "document.querySelector('.banner[role=alert]').innerText"
        browser.wait(f"{banner}.includes('promises.yaml:3')")
        browser.leave()


def test_tests_are_run_again_at_a_click(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "promises.yaml").write_text(PROMISES)
    with Serving(*SHOP, "--tests", str(tmp_path / "promises.yaml")) as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        browser.visit(server.address)
        browser.wait(f"{BADGE} === '✗ 6'")
        tab_to(browser, "Tests")
        browser.press("Enter")
        before = browser.run("document.documentElement.dataset.revision")
        tab_to(browser, "Run again")
        browser.press("Enter")
        browser.wait("document.querySelector('.tests-page h2').innerText.includes('run again')")
        browser.wait(f"document.documentElement.dataset.revision !== {before!r}")
        browser.wait(f"{BADGE} === '✗ 6'")
        browser.leave()
