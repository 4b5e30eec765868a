"""The address is the state: back and forward, names that are gone, pages that are elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.pages import write
from tests.web.test_page import MARKUP, SHOP, TRAP

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]
FROM_TO = "document.querySelector('.panel')?.ariaLabel"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shop"), *SHOP)


def test_back_and_forward_go_through_what_was_seen(browser: Browser, shop: Path) -> None:
    steps = (
        "#/map",
        "#/map?view=table",
        "#/map?view=table&pair=shop/backend~shop/db",
        "#/policies?policy=NetworkPolicy/shop/db",
        "#/exposed",
    )
    browser.open(shop, steps[0])
    for step in steps[1:]:
        browser.go(step)
    seen = browser.text("main")
    for step in reversed(steps[:-1]):
        browser.run("history.back()")
        browser.wait(f"location.hash === {json.dumps(step)}")
    assert browser.run("document.querySelector('.scroller') !== null")
    for step in steps[1:]:
        browser.run("history.forward()")
        browser.wait(f"location.hash === {json.dumps(step)}")
    assert browser.text("main") == seen


def test_what_is_typed_into_the_search_is_one_step_back(browser: Browser, shop: Path) -> None:
    browser.open(shop, "#/map")
    browser.go("#/exposed")
    browser.run("document.getElementById('search').focus()")
    for letter in "backend":
        browser.type(letter)
    assert browser.run("location.hash") == "#/exposed?q=backend"
    browser.run("history.back()")
    browser.wait("location.hash === '#/map'")


@pytest.mark.parametrize(
    ("fragment", "said"),
    [
        ("#/map?pair=shop/gone~shop/db", "“shop/gone” to “shop/db”: this map does not have both"),
        ("#/map?pair=shop/db", "There is no such pair."),
        ("#/map?pair=shop/db~shop/db", "a pod always reaches itself"),
        ("#/map?view=picture&item=shop/gone", "“shop/gone” is not on this map"),
        ("#/policies?policy=NetworkPolicy/shop/gone", "There is no policy"),
        ("#/plan", "made without --plan"),
        ("#/edit", "podfence serve -f … --edit"),
        ("#/drops", "podfence serve"),
        ("#/counters", "podfence serve"),
        ("#/map?port=sql", "Write a port such as 443 or 53/udp."),
    ],
)
def test_what_is_not_here_is_said(browser: Browser, shop: Path, fragment: str, said: str) -> None:
    browser.open(shop, fragment)
    assert said in browser.text()


def test_a_pair_that_goes_while_it_is_shown_is_said(browser: Browser, tmp_path: Path) -> None:
    for name in ("a", "b"):
        pod = f"{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: one}}}}"
        (tmp_path / f"{name}.yaml").write_text(pod)
    with Serving("-f", str(tmp_path)) as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        browser.visit(server.address)
        browser.go("#/map?pair=one/a~one/b")
        browser.wait("document.querySelector('.panel .verdict') !== null")
        (tmp_path / "b.yaml").unlink()
        browser.wait("document.querySelector('.panel') === null")
        assert "There is no such pair. “one/a” to “one/b”" in browser.text("main")
        browser.leave()


def test_names_that_hold_the_signs_of_addresses_are_found(browser: Browser, tmp_path: Path) -> None:
    """None of these can be in a cluster, but all of them can stand in a file."""
    names = ("a~b", "a", "b~a", "c&pair=x", "d?e#f", "g%2Fh", "i,j")
    pods = "\n---\n".join(
        json.dumps(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "n,m"}}
        )
        for name in names
    )
    browser.open(write(tmp_path, "-f", "-", stdin=pods.encode()), "#/map?view=table")
    links = browser.run(
        "[...document.querySelectorAll('tbody a')].map((each) => each.getAttribute('href'))"
    )
    shown = set()
    for link in links:
        browser.go(link)
        browser.wait("document.querySelector('.panel .verdict') !== null")
        shown.add(browser.run(FROM_TO))
    pairs = {f"n,m/{a} to n,m/{b}" for a in names for b in names if a != b}
    assert pairs <= shown
    browser.go("#/map?open=-")
    browser.run("document.querySelector('.rows .folded').click()")
    browser.wait(f"document.querySelectorAll('.rows .end').length === {len(names)}")


@pytest.mark.parametrize("text", MARKUP, ids=lambda text: ascii(text)[:30])
@pytest.mark.parametrize("name", ["pair", "item", "policy", "q", "port", "ask", "open", "view"])
def test_no_address_is_run_or_obeyed(browser: Browser, shop: Path, text: str, name: str) -> None:
    asked = f"{name}={quote(text)}~{quote(text)}"
    browser.open(shop, f"#/map?{asked}")
    for page in ("map", "policies", "exposed", "findings", text):
        browser.go(f"#/{quote(page)}?{asked}")
        assert browser.run(TRAP.partition(" =")[0]) is None
        assert browser.run("document.querySelectorAll('#app :is(script, iframe, img)').length") == 0
        assert not set(browser.text("main")) & set("\u202e\u2066\x00\x1b")
