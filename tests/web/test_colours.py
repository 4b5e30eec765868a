"""Colours that a system forces on a page: what is drawn has them too, at once, and stays apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_report import CHANGE
from tests.web.chromium import Browser
from tests.web.pages import write

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

PIXEL = """
(() => {
  const canvas = document.querySelector('.window canvas');
  const copy = document.createElement('canvas');
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext('2d', {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  const drawn = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const found = new Set();
  for (let at = 0; at < drawn.length; at += 4) {
    found.add(`rgb(${drawn[at]}, ${drawn[at + 1]}, ${drawn[at + 2]})`);
  }
  return [...found];
})()
"""
"""All colours of the matrix."""
SYSTEM = """
['Canvas', 'CanvasText'].map((name) => {
  const probe = document.createElement('p');
  probe.style.forcedColorAdjust = 'none';
  probe.style.color = name;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
})
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_matrix_takes_colours_that_are_forced(
    browser: Browser, tmp_path: Path, theme: str
) -> None:
    browser.theme(theme)
    browser.open(write(tmp_path, *CHANGE), "#/map?pair=shop/frontend~shop/db")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    before = set(browser.run(PIXEL))
    browser.theme(theme, forced=True)
    paper, ink = browser.run(SYSTEM)
    browser.wait(f"{PIXEL}.includes({ink!r})")
    drawn = set(browser.run(PIXEL))
    assert paper in drawn
    assert not drawn & {"rgb(76, 134, 207)", "rgb(74, 134, 216)"}  # else of some ports
    browser.theme(theme)
    browser.wait(f"{PIXEL}.some((each) => !{sorted(drawn)}.includes(each))")
    assert set(browser.run(PIXEL)) == before


def test_what_only_a_background_marks_is_framed(browser: Browser, tmp_path: Path) -> None:
    browser.theme("light", forced=True)
    browser.open(write(tmp_path, *CHANGE), "#/map?pair=shop/frontend~shop/db")
    browser.wait("document.querySelector('.yaml .deciding') !== null")
    outlines = browser.run(
        "['.yaml .deciding', '.rail [aria-current]', '.ports .port.on']"
        ".map((each) => getComputedStyle(document.querySelector(each)).outlineStyle)"
    )
    assert outlines == ["solid", "solid", "solid"]
