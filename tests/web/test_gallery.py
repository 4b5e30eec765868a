"""Every page and state, in both themes: it says what it should, fits its window, axe finds nothing
serious in it, and it is kept as a picture where ``PODFENCE_SHOTS`` names a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.web.chromium import Browser
from tests.web.gallery import SCENES, take
from tests.web.scene import Scene

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_it_is_as_it_should_be(browser: Browser, tmp_path: Path, scene: Scene) -> None:
    shots = Path(os.environ.get("PODFENCE_SHOTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    assert take(browser, scene, shots) == []
    pictures = [
        shots / f"{scene.name}-{v.name}-{t}.png" for v in scene.views for t in ("light", "dark")
    ]
    assert all(each.stat().st_size > 1000 for each in pictures)
    if scene.refused:
        browser.console.clear()  # the browser logs what was refused
