"""Files that change or go while somebody edits them, and a server that is slow."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli.session import ROOT
from tests.support.serving import Serving
from tests.web.chromium import Browser, is_asked_again
from tests.web.editscenes import DB, FRONTEND, in_editor
from tests.web.pages import served_copy
from tests.web.scene import BANNER
from tests.web.test_edit import opened, said

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

NOTE = "document.querySelector('.said')?.innerText"
NOTED = f"({NOTE} ?? '')"
HELD = """
(() => {
  const before = fetch;
  globalThis.asked = [];
  globalThis.open = globalThis.most = 0;
  const waited = new Promise((done) => (globalThis.goOn = done));
  globalThis.fetch = async (url, more) => {
    if (!url.endsWith('evaluate')) return before(url, more);
    asked.push(JSON.parse(more.body).files[0].text);
    most = Math.max(most, open += 1);
    await waited;
    return before(url, more).finally(() => (open -= 1));
  };
})()
"""
"""Judging takes until the test lets it go on: what was asked, and how much at once."""


@pytest.fixture
def server(tmp_path: Path, browser: Browser) -> Iterator[Serving]:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    (tmp_path / "shop/windows.yaml").write_bytes(b"# one\r\n# caf\xc3\xa9\t \r\n\r\n# last")
    with served_copy(browser, tmp_path, "--edit") as found:
        yield found


def noted(browser: Browser, text: str) -> None:
    browser.wait(f"{NOTED}.includes({json.dumps(text)})")


def choose(browser: Browser, button: str) -> None:
    browser.run(
        "[...document.querySelectorAll('.edit button')]"
        f".find((each) => each.innerText === {json.dumps(button)}).click()"
    )
    browser.settle()


# -- files that go


def test_a_text_whose_file_is_deleted_is_kept_and_can_make_it_anew(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    opened(browser, server)
    browser.type("# mine ")
    (tmp_path / DB).unlink()
    browser.wait(BANNER)
    assert "The file is not on disk any more." in browser.text(".edit .banner")
    assert DB in browser.text(".edit .files")
    choose(browser, "Keep my text")
    choose(browser, "Save")
    noted(browser, "is saved")
    assert (tmp_path / DB).read_text().startswith("# mine ")


def test_a_text_whose_file_is_deleted_can_be_given_up(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    opened(browser, server)
    browser.type("# mine ")
    (tmp_path / DB).unlink()
    browser.wait(BANNER)
    choose(browser, "Give up my text")
    noted(browser, f"{DB} is not on disk any more.")
    assert DB not in browser.text(".edit .files")
    assert not (tmp_path / DB).exists()


def test_a_file_that_is_renamed_is_said_and_found_under_its_new_name(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    opened(browser, server)
    (tmp_path / DB).rename(tmp_path / "shop/policies/database.yaml")
    noted(browser, f"{DB} is not on disk any more.")
    browser.wait("document.querySelector('.files').innerText.includes('database.yaml')")


def test_the_only_file_of_a_folder_is_missed_too(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    path = tmp_path / "one/pod.yaml"
    path.write_text("{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: a}}\n")
    (tmp_path / "one/inner").mkdir()
    inner = tmp_path / "one/inner/pod.yaml"
    inner.write_text("{apiVersion: v1, kind: Pod, metadata: {name: q, namespace: a}}\n")
    with Serving("-f", "one", "--edit", directory=tmp_path) as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        opened(browser, server, "one/inner/pod.yaml")
        browser.type("# mine ")
        shutil.rmtree(inner.parent)
        browser.wait(BANNER)
        choose(browser, "Keep my text")
        choose(browser, "Save")
        noted(browser, "is not saved: no file of the input")
        assert "# mine" in browser.text(".cm-content")
        browser.leave(refused=True)


# -- saving


def test_saving_twice_at_once_is_no_conflict(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    opened(browser, server)
    browser.type("# one ")
    chord = "new KeyboardEvent('keydown', {key: 's', ctrlKey: true, bubbles: true})"
    browser.run(f"for (const n of [1, 2, 3]) document.activeElement.dispatchEvent({chord})")
    browser.type("# two ")
    browser.press("Control+s")
    browser.wait(f"{NOTED}.includes('is saved') && document.querySelector('.edit .chip') === null")
    assert browser.run(f"!({BANNER})")
    assert (tmp_path / DB).read_text().startswith("# one # two ")


def test_another_tab_that_saves_is_seen_by_this_one(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    """The other one is asked for by its requests: a clean text follows, a typed one is kept."""
    opened(browser, server, FRONTEND)
    for path, mark in ((FRONTEND, "# theirs\n"), (DB, "# theirs too\n")):
        old = server.get(f"file?path={quote(path)}")
        body = json.dumps({**old, "text": mark + old["text"]}).encode()
        if path == DB:
            browser.go(f"#/edit?file={DB}&line=1")
            in_editor(browser, DB)
            browser.type("# mine ")
        answer = server.ask(
            "/api/v1/file", "PUT", body=body, also={"Content_Type": "application/json"}
        )
        assert answer.status == 200
        browser.wait(f"document.querySelector('.cm-content').innerText.includes({mark.strip()!r})")
    assert "changed on disk" in browser.text(".edit .banner")
    assert "# mine" in browser.text(".cm-content")
    assert (tmp_path / DB).read_text().startswith("# theirs too\n")


def test_lines_that_end_as_on_windows_stay_so_to_the_byte(
    browser: Browser, server: Serving, tmp_path: Path
) -> None:
    opened(browser, server, "shop/windows.yaml")
    browser.press("End")
    browser.type(" and more")
    browser.press("Escape", "Control+s")
    noted(browser, "is saved")
    saved = (tmp_path / "shop/windows.yaml").read_bytes()
    assert saved == b"# one and more\r\n# caf\xc3\xa9\t \r\n\r\n# last"


def test_a_file_is_made_by_its_name(browser: Browser, server: Serving, tmp_path: Path) -> None:
    opened(browser, server)
    browser.run("document.querySelector('.files input').focus()")
    browser.type("more.yaml")
    browser.press("Enter")
    noted(browser, "shop/policies/more.yaml is not on disk yet. Save makes it.")
    assert not (tmp_path / "shop/policies/more.yaml").exists()
    browser.run("document.querySelector('.cm-content').focus()")
    browser.type("# new")
    browser.press("Control+s")
    noted(browser, "is saved")
    assert (tmp_path / "shop/policies/more.yaml").read_text() == "# new"


def test_what_is_said_of_one_file_is_not_said_of_another(browser: Browser, server: Serving) -> None:
    opened(browser, server)
    browser.go("#/edit?file=nowhere.yaml")
    noted(browser, "no file of the input")
    browser.go(f"#/edit?file={DB}")
    browser.wait(f"{NOTED} === ''")
    browser.leave(refused=True)


# -- a server that is slow


def test_typing_asks_one_question_at_a_time_and_the_last_text_is_answered(
    browser: Browser, server: Serving
) -> None:
    opened(browser, server, line=13)
    browser.run(HELD)
    browser.press("End", "ArrowLeft", *["Backspace"] * len("backend"))
    browser.wait("asked.length === 1")
    for letter in "frontend":
        browser.type(letter)
        assert browser.run("asked.length") == 1
    browser.run("goOn()")
    said(browser, "PF330")
    first, *later = browser.run("asked")
    assert "{app: frontend}" not in first
    # Once, or twice where the pause after the last letter had not passed yet.
    assert 1 <= len(later) <= 2
    assert all("{app: frontend}" in text for text in later)
    assert browser.run("most") == 1


def test_an_answer_that_never_comes_is_said_and_asked_for_again(
    browser: Browser, server: Serving
) -> None:
    opened(browser, server)
    browser.run("globalThis.before = fetch; globalThis.fetch = () => Promise.reject(TypeError())")
    browser.type("# mine ")
    said(browser, "This could not be judged: the server does not answer")
    browser.run("globalThis.fetch = before")
    browser.type("# more ")
    said(browser, "Not valid yet")  # the first line is a comment now


def test_a_part_of_an_input_that_has_changed_again_is_no_error_of_the_page(
    browser: Browser, server: Serving
) -> None:
    opened(browser, server)
    headers = json.dumps({"headers": {"Authorization": f"Bearer {server.token}"}})
    statuses = [
        browser.run(f"fetch('api/v1/{part}', {headers}).then((answer) => answer.status)")
        for part in ("findings?revision=old", "tests?revision=old", "file?path=none")
    ]
    assert statuses == [409, 409, 404]
    while not browser.console:
        browser.settle()
    assert "404" in browser.console.pop(0)  # what the page should not have asked for is kept


@pytest.mark.parametrize(
    ("path", "status", "kept"),
    [
        ("api/v1/select", 503, False),
        ("api/v1/newcomers?revision=old", 409, False),
        ("api/v1/evaluate", 409, True),
        ("api/v1/select", 500, True),
        ("static/page.js", 503, True),
    ],
)
def test_only_what_the_page_asks_for_again_is_no_error(path: str, status: int, kept: bool) -> None:
    text = f"Failed to load resource: the server responded with a status of {status} (Because)"
    entry = {"url": f"http://127.0.0.1:1/{path}", "text": text}
    assert is_asked_again(entry) is not kept
