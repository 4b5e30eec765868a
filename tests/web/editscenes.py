"""Every state of the editor of a server.

Rule: a state is made on purpose, and is one only if the page says its words.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from tests.cli.session import ROOT
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.scene import BANNER, Act, Scene, View, until

PROMISE: Final = """
apiVersion: podfence.io/v1alpha1
kind: PolicyTests
tests:
- {name: the frontend stays away, from: shop/frontend, to: 'shop/db:5432', expect: deny}
- {name: the backend reads, from: shop/backend, to: 'shop/db:5432', expect: allow}
"""
TEXT: Final = "document.querySelector('.cm-content')?.innerText.includes('kind')"
DB: Final = "shop/policies/db.yaml"
FRONTEND: Final = "shop/policies/frontend.yaml"


def served(*arguments: str) -> Callable[[Path], AbstractContextManager[str]]:
    """``podfence serve`` on a copy of the shop."""

    @contextmanager
    def made(folder: Path) -> Iterator[str]:
        shutil.copytree(ROOT / "examples/shop", folder / "shop")
        (folder / "shop/mixed.yaml").write_bytes(b"# one\r\n# two\n")
        (folder / "promise.yaml").write_text(PROMISE)
        _FOLDERS.append(folder)
        with Serving("-f", "shop", *arguments, directory=folder) as server:
            _SERVERS.append(server)
            yield server.address

    return made


@contextmanager
def mistaken(folder: Path) -> Iterator[str]:
    """``podfence serve --edit`` on policies with findings."""
    shutil.copytree(ROOT / "examples/gotchas", folder / "gotchas")
    with Serving("-f", "gotchas", "--edit", directory=folder) as server:
        yield server.address


@contextmanager
def without_policy(folder: Path) -> Iterator[str]:
    """``podfence serve --edit`` on workloads alone."""
    shutil.copytree(
        ROOT / "examples/shop", folder / "shop", ignore=shutil.ignore_patterns("policies")
    )
    with Serving("-f", "shop", "--edit", directory=folder) as server:
        yield server.address


_FOLDERS: list[Path] = []
_SERVERS: list[Serving] = []


def on_disk(change: Callable[[Path], None]) -> Act:
    """Somebody else changes the folder of the newest ``served``."""
    return lambda browser: change(_FOLDERS[-1])


def ended(browser: Browser) -> None:
    """The newest ``served`` ends."""
    _SERVERS[-1].stop()


def others_text(folder: Path) -> None:
    path = folder / DB
    path.write_text(path.read_text().replace("app: backend", "app: worker"))


def unwritable(folder: Path) -> None:
    (folder / DB).chmod(0o444)


SAID: Final = "document.querySelector('.this-edit')?.innerText"


def in_editor(browser: Browser, path: str) -> None:
    """Waits until what is typed goes into the text of a file."""
    browser.wait(f"document.activeElement?.ariaLabel === {f'Text of {path}'!r}")


def typed(line: int, path: str, *steps: Callable[[Browser], None]) -> Act:
    """In the editor, at the end of a line."""

    def act(browser: Browser) -> None:
        browser.go(f"#/edit?file={path}&line={line}")
        in_editor(browser, path)
        browser.press("End")
        for step in steps:
            step(browser)

    return act


def keys(*names: str) -> Act:
    return lambda browser: browser.press(*names)


def letters(text: str) -> Act:
    return lambda browser: browser.type(text)


def says(text: str) -> Act:
    """The panel beside the text does."""
    return until(f"{SAID}?.includes({text!r})")


def proposed(browser: Browser) -> None:
    """What allows a pair is typed, judged, and its order is found; by keys, as a person does it."""
    browser.wait("document.querySelector('.allow button') !== null")
    browser.run("document.querySelector('.allow button').focus()")
    browser.press("Enter")
    says("no longer passes")(browser)
    order = (
        "[...document.querySelectorAll('.edit button')].find((e) => e.innerText === 'Safe order')"
    )
    browser.wait(f"{order}.disabled === false")
    browser.run(f"{order}.focus()")
    browser.press("Enter")
    browser.wait("document.querySelector('.order') !== null")


def begin(browser: Browser) -> None:
    """The policy that the page has where there is none."""
    browser.run("document.querySelector('.banner button').focus()")
    browser.press("Enter")
    browser.wait("document.querySelector('.this-edit')?.innerText.includes('closes')")


BACK: Final = ("ArrowLeft", *["Backspace"] * len("backend"))
EDITS: Final = (
    Scene(
        "edit-no-policy",
        without_policy,
        (
            View("map", "#/map", ("There is no policy", "Type a default-deny")),
            View(
                "typed",
                "#/map",
                ("not on disk yet", "namespace: monitoring", "closes"),
                begin,
            ),
        ),
    ),
    Scene(
        "edit-fixes",
        mistaken,
        (
            View(
                "offered",
                "#/findings",
                ("Fix this …", "app=tellre becomes app=teller"),
                until("document.querySelector('.fix button') !== null"),
            ),
        ),
    ),
    Scene(
        "edit",
        served("--edit", "--tests", "promise.yaml"),
        (
            View(
                "saved",
                f"#/edit?file={DB}",
                ("Everything is saved.",),
                until("document.querySelector('.cm-content') !== null"),
            ),
            View(
                "pointed",
                "#/edit",
                ("Line 13, spec.ingress[0].from[0] of shop/db: 1 pod",),
                typed(13, DB, until("document.querySelector('.rows .lit') !== null")),
            ),
            View(
                "misspelt",
                "#/edit",
                ("PF320",),
                typed(13, DB, keys(*BACK), letters("frontned"), says("PF320")),
            ),
            View(
                "completion",
                "#/edit",
                ("2 pods",),
                typed(
                    13,
                    DB,
                    keys(*BACK, "f"),
                    until("document.querySelector('.cm-tooltip-autocomplete') !== null"),
                ),
            ),
            View(
                "invalid",
                "#/edit",
                ("Not valid yet",),
                typed(13, DB, keys("Backspace"), says("Not valid yet")),
            ),
            View(
                "one-sided",
                "#/edit",
                ("PF330",),
                typed(13, DB, keys(*BACK), letters("frontend"), says("PF330")),
            ),
            View(
                "differences",
                "#/edit",
                ("not saved",),
                typed(
                    13,
                    DB,
                    keys(*BACK),
                    letters("frontend"),
                    keys("Escape"),
                    lambda browser: browser.go(f"#/edit?file={DB}&diff=1"),
                    until("document.querySelector('.cm-deletedChunk') !== null"),
                    says("PF330"),
                ),
            ),
            View(
                "allowed",
                "#/map?pair=shop/frontend~shop/db&ask=tcp/5432",
                ("1 pair opened", "1 no longer passes", "no intermediate state"),
                proposed,
            ),
            View(
                "new-file",
                "#/edit?file=shop/policies/more.yaml",
                ("shop/policies/more.yaml is not on disk yet. Save makes it.",),
                until("document.querySelector('.cm-content') !== null"),
            ),
            View("narrow", f"#/edit?file={DB}", ("This edit",), until(TEXT), 360, 640),
            View("zoomed", f"#/edit?file={DB}", ("This edit",), until(TEXT), 640, 400, 2),
        ),
    ),
    Scene(
        "edit-no-such-file",
        served("--edit"),
        (
            View(
                "file",
                "#/edit?file=../secret.yaml",
                ("no file of the input that could be read is called so",),
                until("document.querySelector('.said')?.innerText.includes('no file')"),
            ),
        ),
        refused=True,
    ),
    Scene(
        "edit-mixed",
        served("--edit"),
        (
            View(
                "file",
                "#/edit?file=shop/mixed.yaml",
                ("lines that end in different ways",),
                until("document.querySelector('.said')?.innerText.includes('different ways')"),
            ),
        ),
        refused=True,
    ),
    Scene(
        "edit-changed",
        served("--edit"),
        (
            View(
                "conflict",
                "#/edit",
                ("The file has changed on disk", "Take the file", "Keep my text"),
                typed(
                    13, DB, letters(" # mine"), on_disk(others_text), until(BANNER), keys("Escape")
                ),
            ),
        ),
        anew=True,
    ),
    Scene(
        "edit-gone",
        served("--edit"),
        (
            View(
                "conflict",
                "#/edit",
                ("The file is not on disk any more.", "Give up my text", "Keep my text"),
                typed(
                    13,
                    DB,
                    letters(" # mine"),
                    on_disk(lambda folder: (folder / DB).unlink()),
                    until(BANNER),
                    keys("Escape"),
                ),
            ),
        ),
        anew=True,
    ),
    Scene(
        "edit-read-only",
        served("--edit"),
        (
            View(
                "refused",
                "#/edit",
                (f"{DB} is not saved: the file is read-only",),
                typed(
                    13,
                    DB,
                    letters(" # mine"),
                    on_disk(unwritable),
                    keys("Escape", "Control+s"),
                    until("document.querySelector('.said').innerText.includes('read-only')"),
                ),
            ),
        ),
        anew=True,
        refused=True,
    ),
    Scene(
        "edit-saved",
        served("--edit"),
        (
            View(
                "told",
                "#/edit",
                (f"{DB} is saved.",),
                typed(
                    13,
                    DB,
                    letters(" # mine"),
                    keys("Escape", "Control+s"),
                    until("document.querySelector('.said').innerText.includes('is saved')"),
                ),
            ),
        ),
        anew=True,
    ),
    Scene(
        "edit-ended",
        served("--edit"),
        (
            View(
                "failed",
                "#/edit",
                ("This could not be judged", "The server has ended"),
                typed(
                    13,
                    DB,
                    ended,
                    letters(" # mine"),
                    says("could not be judged"),
                ),
            ),
        ),
        anew=True,
        refused=True,
    ),
    Scene(
        "edit-slow",
        served("--edit"),
        (
            View(
                "judging",
                "#/edit",
                ("Judging …",),
                typed(13, DB, letters(" # mine"), says("Judging")),
            ),
        ),
        script=(
            "{const before = fetch; globalThis.fetch = (url, more) => url.endsWith('evaluate')"
            " ? new Promise(() => {}) : before(url, more)}"
        ),
    ),
)
