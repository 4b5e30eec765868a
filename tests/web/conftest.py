"""One browser for all tests of a module; every test must leave its console silent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.chromium import Browser


@pytest.fixture(scope="module")
def one_browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(one_browser: Browser) -> Iterator[Browser]:
    """The browser; afterwards no error was said, nothing was refused and nothing was fetched."""
    one_browser.console.clear()
    one_browser.requests.clear()
    one_browser.own = ()
    one_browser.resize(1280, 800)
    one_browser.theme("light")
    yield one_browser
    allowed = ("file:", "about:", "data:", *one_browser.own)
    fetched = [url for url in one_browser.requests if not url.startswith(allowed)]
    assert (one_browser.console, fetched) == ([], [])
