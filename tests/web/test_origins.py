"""Other sites in the same browser get nothing of a served page, and change nothing."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.session import ROOT
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.pages import write

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

ATTEMPTS = """
(async (to) => {
  const told = (promise) => promise.then((value) => `did: ${value}`, () => "refused");
  const element = (name, attribute, url) => new Promise((done, fail) => {
    const made = document.createElement(name);
    made.onload = () => done(name);
    made.onerror = fail;
    made[attribute] = url;
    document.body.append(made);
  });
  const post = (type) => fetch(`${to}/api/v1/evaluate`, {
    method: "POST", headers: {"Content-Type": type}, body: '{"tab": "t", "files": []}',
  }).then((answer) => answer.text());
  return {
    fetch: await told(fetch(`${to}/api/v1/state`).then((answer) => answer.text())),
    page: await told(fetch(`${to}/`).then((answer) => answer.text())),
    credentials: await told(fetch(`${to}/api/v1/map`, {credentials: "include"})
      .then((answer) => answer.text())),
    "post json": await told(post("application/json")),
    "post text": await told(post("text/plain")),
    put: await told(fetch(`${to}/api/v1/file`, {method: "PUT", body: "{}"})),
    blind: await fetch(`${to}/api/v1/map`, {mode: "no-cors"})
      .then(async (answer) => `${answer.type} ${(await answer.text()).length}`, () => "refused"),
    image: await told(element("img", "src", `${to}/api/v1/map`)),
    script: await told(element("script", "src", `${to}/static/serve.js`)),
    socket: await told(new Promise((done, fail) => {
      const socket = new WebSocket(`${to.replace("http", "ws")}/api/v1/events`);
      socket.onopen = () => done("open");
      socket.onerror = fail;
    })),
  };
})
"""


class Silent(http.server.SimpleHTTPRequestHandler):
    """Files, and no log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name above
        """Nothing."""


@contextmanager
def other_site(folder: Path) -> Iterator[str]:
    """A page of another origin on this machine."""
    (folder / "index.html").write_text('<!doctype html><html data-state="ready"><body>other')
    handler = functools.partial(Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def test_another_site_gets_nothing_and_changes_nothing(browser: Browser, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    site = tmp_path / "site"
    site.mkdir()
    before = {path: path.read_bytes() for path in (tmp_path / "shop").rglob("*.yaml")}
    with (
        Serving("-f", "shop", "--edit", directory=tmp_path) as server,
        other_site(site) as address,
    ):
        own = f"http://127.0.0.1:{server.port}"
        browser.own = (address, own, own.replace("http", "ws"))
        browser.visit(address)
        found = browser.run(f"({ATTEMPTS})({json.dumps(own)})")
        assert found.pop("blind") in ("refused", "opaque 0")
        assert found == dict.fromkeys(found, "refused")
        # A form of theirs leads away from their page, and says no.
        browser.run(
            f"(() => {{ const form = document.createElement('form'); form.method = 'POST';"
            f" form.action = '{own}/api/v1/read'; document.body.append(form); form.submit(); }})()"
        )
        browser.wait(f"location.href === '{own}/api/v1/read'")
        assert "another site may not ask this server" in browser.text()
        assert server.get("state")["problem"] == ""
        browser.leave(refused=True)
    assert {path: path.read_bytes() for path in (tmp_path / "shop").rglob("*.yaml")} == before


def test_a_report_from_disk_can_fetch_nothing(browser: Browser, tmp_path: Path) -> None:
    page = write(tmp_path, "-f", "examples/shop")
    with Serving("-f", "examples/shop") as server:
        browser.open(page)
        for url in (f"http://127.0.0.1:{server.port}/", page.resolve().as_uri(), "data:,x"):
            tried = f"fetch({json.dumps(url)}).then(() => 'did', () => 'refused')"
            assert browser.run(tried) == "refused"
    assert any("Content Security Policy" in each for each in browser.console)
    browser.leave(refused=True)
