"""Pictures of every page and state, in both themes.

    python -m tests.web.gallery FOLDER [SCENE ...]

Rule: pictures are for people. What is compared is words and widths, never pixels.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.web.chromium import Browser
from tests.web.reportscenes import REPORTS
from tests.web.scene import THEMES, Scene, View
from tests.web.serverscenes import SERVERS

SCENES: Final = (*REPORTS, *SERVERS)


def take(browser: Browser, scene: Scene, shots: Path) -> list[str]:
    """Every view of a scene in both themes; what is not as it should be."""
    if not scene.anew:
        return _taken(browser, scene, THEMES, shots)
    return [line for theme in THEMES for line in _taken(browser, scene, (theme,), shots)]


def _taken(browser: Browser, scene: Scene, themes: tuple[str, ...], shots: Path) -> list[str]:
    wrong = []
    with (
        tempfile.TemporaryDirectory(prefix="podfence-shots-") as folder,
        scene.address(Path(folder)) as address,
    ):
        browser.own = (*browser.own, address.partition("#")[0])
        for theme in themes:
            browser.theme(theme)
            for view in scene.views:
                browser.resize(view.width, 800)
                name = f"{scene.name}-{view.name}-{theme}"
                opened(browser, address, view)
                text = " ".join(browser.text("body").split())
                wrong += [f"{name}: lacks {w!r}" for w in view.words if w not in text]
                if browser.run("document.documentElement.scrollWidth - innerWidth") > 0:
                    wrong.append(f"{name}: wider than its window")
                browser.screenshot(shots / f"{name}.png")
        browser.call("Page.navigate", url="about:blank")
    return wrong


def opened(browser: Browser, address: str, view: View) -> None:
    """A view, from nothing; what was typed before is given up."""
    browser.call("Page.navigate", url="about:blank")
    browser.wait("location.href === 'about:blank'")
    if "#token=" in address:
        browser.visit(address)
        if view.fragment:
            browser.go(view.fragment)
    else:
        browser.visit(f"{address}{view.fragment}")
    if view.act is not None:
        view.act(browser)
    browser.settle()


def main(arguments: list[str]) -> int:
    """Take all of them, and say which are not as they should be."""
    shots = Path(arguments[0])
    shots.mkdir(parents=True, exist_ok=True)
    wanted = arguments[1:]
    wrong = []
    with Browser() as browser:
        for scene in SCENES:
            if wanted and scene.name not in wanted:
                continue
            wrong += take(browser, scene, shots)
            print(scene.name, flush=True)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
