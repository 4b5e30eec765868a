"""What looks for barriers finds them where there are any: every page and state is asked by it
(``test_gallery``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.web.barriers import AXE, barriers
from tests.web.chromium import Browser
from tests.web.pages import write

# A busy machine starts a browser late.
pytestmark = [
    pytest.mark.web,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not AXE.exists(), reason="browser tests cannot run: axe-core (./dev web)"),
]

PLANTED = """
(() => {
  const words = document.createElement('p');
  words.textContent = 'pale words';
  words.style.color = '#dddddd';
  document.querySelector('main').append(words, document.createElement('button'));
})()
"""


def test_planted_barriers_are_found(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path, "-f", "examples/shop"))
    assert barriers(browser) == []
    browser.run(PLANTED)
    assert sorted(each.partition(":")[0] for each in barriers(browser)) == [
        "button-name",
        "color-contrast",
    ]
