"""Where no policy is, the page has one to begin with: typed where files are edited, else shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.cli.session import ROOT
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.pages import served_copy, write

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

NAMES = ("shop", "true", "1e3", "0x1f", "~", "x: y", '"\\#', "a\nb", "-")
TEXT = "document.querySelector('.banner pre')?.textContent"
BUTTON = "document.querySelector('.banner button')"


def test_each_namespace_is_closed_whatever_its_name(browser: Browser, tmp_path: Path) -> None:
    pods = (
        json.dumps(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": name}}
        )
        for name in NAMES
    )
    browser.open(write(tmp_path, "-f", "-", stdin="\n---\n".join(pods).encode()))
    found = list(yaml.safe_load_all(browser.run(TEXT)))
    assert {each["metadata"]["namespace"] for each in found} == set(NAMES)
    assert {each["spec"]["podSelector"] == {} for each in found} == {True}
    assert found[0]["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_it_is_typed_and_not_saved_where_files_are_edited(browser: Browser, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    shutil.rmtree(tmp_path / "shop/policies")
    with Serving("-f", "shop", "--edit", directory=tmp_path) as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        browser.visit(server.address)
        browser.run(f"{BUTTON}.focus()")
        browser.press("Enter")
        browser.wait("location.hash.startsWith('#/edit?file=shop/default-deny.yaml')")
        browser.wait("document.querySelector('.this-edit')?.innerText.includes('closes')")
        assert "not on disk yet" in browser.text(".said")
        assert "Looking for" not in browser.text(".banner")
        assert not (tmp_path / "shop/default-deny.yaml").exists()
        browser.go("#/map")
        browser.run(f"{BUTTON}.click()")
        browser.wait("document.querySelector('.banner').innerText.includes('already has text')")
        browser.run("document.title = ''")
        server.stop()
        browser.leave(refused=True)


def test_a_server_that_edits_nothing_shows_it(browser: Browser, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    shutil.rmtree(tmp_path / "shop/policies")
    with served_copy(browser, tmp_path):
        assert "name: default-deny" in browser.run(TEXT)
