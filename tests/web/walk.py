"""A newcomer's walk, as the pictures of docs/web.md.

    python -m tests.web.walk [FOLDER]

Why can the frontend not reach the database? Repair it in the page, see what opened, save, and run
the lab. It needs chromium, pngquant to make the pictures small, and what a lab needs (root or user
namespaces, nft).
"""

from __future__ import annotations

import html
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cli.session import ROOT
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.editscenes import DB, FRONTEND, keys, letters, says, typed
from tests.web.gallery import opened
from tests.web.scene import PANEL
from tests.web.serverscenes import SERVERS

IMAGES = ROOT / "docs" / "images"
PEER = "    - podSelector:"
LABELS = "        matchLabels: {{app: {}}}"
RULE = (
    "  - to:",
    "    - podSelector:",
    "        matchLabels: {app: db}",
    "    ports:",
    "    - {port: sql}",
)
BARE = ("Enter", "Home", "Shift+End", "Delete")
"""A new line without the space that the editor puts before it."""


def line(browser: Browser, text: str) -> None:
    """A line more, below the cursor's."""
    browser.press(*BARE)
    browser.type(text)
    browser.press("Escape")  # no completion


def walk(browser: Browser, folder: Path, server: Serving) -> None:
    """All steps in the page; a picture of each into ``folder``."""

    def shot(name: str) -> None:
        browser.settle()
        browser.screenshot(folder / f"walk-{name}.png")

    browser.visit(server.address)
    shot("1-map")
    browser.go("#/map?pair=shop/frontend~shop/db&ask=tcp/5432")
    browser.wait(PANEL)
    shot("2-why")

    typed(13, DB)(browser)
    line(browser, PEER)
    line(browser, LABELS.format("frontned"))
    says("PF320")(browser)
    shot("3-misspelt")
    browser.theme("dark")
    shot("3-misspelt-dark")
    browser.theme("light")
    keys("ArrowLeft", "Backspace", "Backspace", "Backspace")(browser)
    letters("end")(browser)
    browser.press("Escape")
    says("No verdict changes")(browser)

    last = len((ROOT / "examples" / FRONTEND).read_text("utf-8").splitlines())
    typed(last, FRONTEND)(browser)
    for each in RULE:
        line(browser, each)
    says("1 pair opened")(browser)
    shot("4-opens")
    for path in (FRONTEND, DB):
        browser.go(f"#/edit?file={path}")
        browser.wait(f"document.querySelector('.edit h2')?.innerText.includes('{path}')")
        browser.wait("!document.querySelector('.edit .actions button').disabled")
        browser.run("document.querySelector('.edit .actions button').click()")
        browser.wait("document.querySelector('.said').innerText.includes('is saved')")
    browser.go("#/map?pair=shop/frontend~shop/db&ask=tcp/5432")
    browser.wait("document.querySelector('.panel .verdict')?.innerText.startsWith('yes')")
    shot("5-saved")


def lab(browser: Browser, folder: Path, inputs: Path) -> None:
    """What ``podfence lab run`` prints of the saved files, as a picture of a terminal."""
    words = ["podfence", "lab", "run", "-f", "shop"]
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=inputs,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    page = inputs / "terminal.html"
    text = html.escape(f"$ {' '.join(words)}\n{done.stdout}")
    style = "margin:0;padding:12px 16px;background:#12161c;color:#e4e8ee;font:11.5px/1.5 monospace"
    page.write_text(
        f'<!doctype html><html data-state="ready"><meta charset="utf-8"><body style="margin:0">'
        f'<pre style="{style}">{text}</pre>',
        "utf-8",
    )
    browser.open(page)
    wide, high = browser.run("[document.body.scrollWidth + 16, document.body.scrollHeight]")
    browser.resize(wide, high)
    browser.screenshot(folder / "walk-6-lab.png")


def counters(browser: Browser, folder: Path) -> None:
    """The page that shows what agents count."""
    scene = next(each for each in SERVERS if each.name == "agents")
    with (
        tempfile.TemporaryDirectory(prefix="podfence-walk-") as made,
        scene.address(Path(made)) as address,
    ):
        browser.resize(1280, 860)
        opened(browser, address, next(each for each in scene.views if each.name == "counters"))
        browser.screenshot(folder / "counters.png")


def main(arguments: list[str]) -> int:
    """Make all pictures anew."""
    folder = Path(arguments[0]) if arguments else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="podfence-walk-") as name, Browser() as browser:
        inputs = Path(name)
        shutil.copytree(ROOT / "examples/shop", inputs / "shop")
        with Serving("-f", "shop", "--edit", directory=inputs) as server:
            walk(browser, folder, server)
            browser.leave()
        lab(browser, folder, inputs)
        counters(browser, folder)
    pictures = sorted(str(each) for each in folder.glob("*.png"))
    small = ["pngquant", "--force", "--ext", ".png", "--speed", "1", "--strip", "128"]
    subprocess.run([*small, *pictures], check=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
