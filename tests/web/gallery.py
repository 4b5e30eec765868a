"""Pictures of every page and state, in both themes.

    python -m tests.web.gallery FOLDER [SCENE ...]

Rule: pictures are for people. What is compared is words and widths, never pixels.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.web.barriers import AXE, barriers
from tests.web.chromium import Browser
from tests.web.editscenes import EDITS
from tests.web.reportscenes import REPORTS
from tests.web.scene import THEMES, Scene, View
from tests.web.serverscenes import SERVERS

PATIENCE: Final = 120.0
"""Seconds until a page must say what it is to say."""
SCENES: Final = (*REPORTS, *EDITS, *SERVERS)


def take(browser: Browser, scene: Scene, shots: Path) -> list[str]:
    """Every view of a scene in both themes; what is not as it should be."""
    wrong = []
    for name, view in views(browser, scene):
        wrong += [f"{name}: lacks {word!r}" for word in lacking(browser, view.words)]
        if browser.run("document.documentElement.scrollWidth - innerWidth") > 0:
            wrong.append(f"{name}: wider than its window")
        if AXE.exists():
            wrong += [f"{name}: {each}" for each in barriers(browser)]
        browser.screenshot(shots / f"{name}.png")
    return wrong


def lacking(browser: Browser, words: Iterable[str]) -> list[str]:
    """What a page does not say, though it was waited for: some of it comes from a server."""
    until = time.monotonic() + PATIENCE
    while True:
        text = " ".join(browser.text("body").split())
        left = [word for word in words if word not in text]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def views(browser: Browser, scene: Scene) -> Iterator[tuple[str, View]]:
    """The browser at each view of a scene in both themes, with a name for it."""
    for themes in ((theme,) for theme in THEMES) if scene.anew else (THEMES,):
        yield from _views(browser, scene, themes)


def _views(browser: Browser, scene: Scene, themes: tuple[str, ...]) -> Iterator[tuple[str, View]]:
    with (
        tempfile.TemporaryDirectory(prefix="podfence-shots-") as folder,
        scene.address(Path(folder)) as address,
        browser.running_first(scene.script),
    ):
        browser.own = (*browser.own, address.partition("#")[0])
        for theme in themes:
            browser.theme(theme)
            for view in scene.views:
                browser.resize(view.width, view.height, view.scale)
                opened(browser, address, view)
                yield f"{scene.name}-{view.name}-{theme}", view
        browser.leave()


def opened(browser: Browser, address: str, view: View) -> None:
    """A view, from nothing; what was typed before is given up."""
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
