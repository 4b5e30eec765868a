"""axe-core finds nothing serious on any page, in any state, in either theme."""

from __future__ import annotations

import pytest

from tests.cli.session import ROOT
from tests.web.chromium import Browser
from tests.web.gallery import SCENES, views
from tests.web.scene import Scene

AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = (
    "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.filter("
    "v => ['serious', 'critical'].includes(v.impact)).map("
    "v => [v.id, v.nodes.slice(0, 3).map(n => n.html + ' ' + n.failureSummary)]))"
)
"""What axe finds, once it is in the page."""

# A busy machine starts a browser late.
pytestmark = [
    pytest.mark.web,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not AXE.exists(), reason="browser tests cannot run: axe-core (./dev web)"),
]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_nothing_serious_is_found_by_axe(browser: Browser, scene: Scene) -> None:
    axe = AXE.read_text("utf-8")
    found = {}
    browser.call("Page.setBypassCSP", enabled=True)  # axe writes styles of its own
    try:
        for name, _ in views(browser, scene):
            browser.run(axe + "; 0")
            found[name] = browser.run(SERIOUS)
    finally:
        browser.call("Page.setBypassCSP", enabled=False)
    assert {name: each for name, each in found.items() if each} == {}
    assert len(found) == 2 * len(scene.views)
    if scene.refused:
        browser.console.clear()  # the browser logs what was refused
