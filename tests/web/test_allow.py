"""From a pair that is denied to the edit that allows it, and the order of what is typed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.session import ROOT, podfence
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.editscenes import DB, PROMISE, in_editor, says
from tests.web.pages import served_copy

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

CLOSED = """
apiVersion: policy.networking.k8s.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: closed}
spec:
  tier: Admin
  priority: 10
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}}
  ingress:
  - action: Deny
    from:
    - namespaces: {matchLabels: {kubernetes.io/metadata.name: monitoring}}
"""
DENIED = "#/map?pair=shop/frontend~shop/db&ask=tcp/5432"
SAID = "document.querySelector('.allow [role=status]')?.innerText ?? ''"

HELD = """
(() => {
  const before = fetch;
  globalThis.fetch = async (url, more) => {
    if (!url.includes('frontend.yaml')) return before(url, more);
    await new Promise((go) => (globalThis.go = go));
    const answer = await before(url, more);
    const read = answer.json.bind(answer);
    answer.json = () => read().finally(() => (globalThis.wasRead = true));
    return answer;
  };
})()
"""
"""The other of the two files is answered when the test says so."""


@pytest.fixture
def server(tmp_path: Path, browser: Browser) -> Iterator[Serving]:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    (tmp_path / "shop/closed.yaml").write_text(CLOSED)
    (tmp_path / "promise.yaml").write_text(PROMISE)
    with served_copy(browser, tmp_path, "--edit", "--tests", "promise.yaml") as found:
        yield found


def propose(browser: Browser, pair: str) -> None:
    browser.go(pair)
    browser.wait("document.querySelector('.allow button') !== null")
    browser.run("document.querySelector('.allow button').click()")


def click(browser: Browser, button: str) -> None:
    """A button of the editor, once it can be used."""
    found = (
        f"[...document.querySelectorAll('.edit button')].find((e) => e.innerText === {button!r})"
    )
    browser.wait(f"{found}?.disabled === false")
    browser.run(f"{found}.click()")


def test_what_is_proposed_is_typed_judged_and_saved_when_it_is_wanted(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    before = {path: path.read_text() for path in tmp_path.rglob("*.yaml")}
    propose(browser, DENIED)
    says("1 pair opened")(browser)
    browser.wait("podfence.turned.join() === 'shop/frontend,shop/db,opens'")
    says("1 no longer passes")(browser)
    assert "failed the frontend stays away" in browser.text(".turned")
    assert {path: path.read_text() for path in tmp_path.rglob("*.yaml")} == before
    click(browser, "Safe order")
    browser.wait("document.querySelector('.order') !== null")
    assert "no intermediate state cuts or opens more" in browser.text(".this-edit")
    typed = browser.run("document.querySelectorAll('.dirty').length")
    for _ in range(typed):
        browser.run("document.querySelector('.files a:has(.dirty)').click()")
        browser.settle()
        click(browser, "Save")
        browser.wait(f"document.querySelectorAll('.dirty').length < {typed}")
        typed -= 1
    asked = ["can", "shop/frontend", "shop/db:5432", "-f", "shop"]
    assert podfence(asked, directory=tmp_path).status == 0
    browser.go(DENIED)
    browser.wait("document.querySelector('.panel .verdict')?.innerText === 'yes: TCP/5432'")
    assert browser.run("document.querySelector('.allow')") is None


def test_text_that_is_not_saved_is_not_typed_over(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    browser.go(f"#/edit?file={DB}&line=1")
    in_editor(browser, DB)
    browser.type("# mine\n")
    propose(browser, DENIED)
    browser.wait(f"({SAID}).includes('has text that is not saved')")
    assert browser.run("location.hash") == DENIED
    browser.go(f"#/edit?file={DB}")
    browser.wait("document.querySelector('.cm-content')?.innerText.includes('# mine')")
    assert "frontend" not in browser.text(".cm-content")


def test_text_that_is_typed_while_another_file_is_read_is_not_typed_over(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    browser.go(f"#/edit?file={DB}&line=1")
    in_editor(browser, DB)
    browser.run(HELD)
    propose(browser, DENIED)
    browser.wait("globalThis.go !== undefined")
    browser.go(f"#/edit?file={DB}&line=1")
    in_editor(browser, DB)
    browser.type("# mine\n")
    browser.run("go()")
    browser.wait("globalThis.wasRead === true")
    for _ in range(5):
        browser.settle()
    assert "# mine" in browser.text(".cm-content")
    assert browser.run("document.querySelectorAll('.dirty').length") == 1


def test_what_no_edit_allows_is_told_why(browser: Browser, server: Serving) -> None:
    propose(browser, "#/map?pair=monitoring/prometheus~shop/db&ask=tcp/9100")
    browser.wait(f"({SAID}).startsWith('No edit is proposed: ')")
    assert "closed denies it" in browser.run(SAID)


def test_a_page_that_edits_nothing_proposes_nothing(browser: Browser) -> None:
    with Serving("-f", "examples/shop") as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        browser.visit(server.address)
        browser.go(DENIED)
        browser.wait("document.querySelector('.panel .verdict') !== null")
        assert browser.run("document.querySelector('.allow')") is None
        browser.leave()
