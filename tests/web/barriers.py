"""What axe-core finds serious in a page.

Rule: it runs beside the page, in a world of its own, so the page is looked at as it is: with its
content security policy, and with a console that stays silent.
"""

from __future__ import annotations

from typing import Final

from tests.cli.session import ROOT
from tests.web.chromium import Browser

AXE: Final = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
_SERIOUS: Final = (
    "axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations"
    ".filter((each) => ['serious', 'critical'].includes(each.impact))"
    ".map((each) => `${each.id}: ${each.nodes.slice(0, 3)"
    ".map((node) => `${node.html} ${node.failureSummary}`).join('; ')}`))"
)


def barriers(browser: Browser) -> list[str]:
    """Serious findings, each with a few elements. ``AXE`` has to be there."""
    found: list[str] = browser.run_beside(AXE.read_text("utf-8"), _SERIOUS)
    return found
