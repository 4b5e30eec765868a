"""Every page and state that a server adds: editing, what agents tell, what may fail.

Rule: a state is made on purpose, and is one only if the page says its words.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from podfence.agent.fleet import Told
from podfence.render.counters import page_data as counters_data
from podfence.render.drops import page_data as drops_data
from podfence.web.agentnews import AgentNews
from tests.cli.session import ROOT
from tests.cli.test_live import shop as fake_shop
from tests.cli.test_serve_drops import DROP, LATER, serving_news, told
from tests.kube.fakecluster import kubeconfig, running
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.scene import SHOP, Act, Scene, View, until
from tests.web.test_counters import NODES, RULES

DB: Final = "shop/policies/db.yaml"
FRONTEND: Final = "shop/policies/frontend.yaml"


def served(*arguments: str) -> Callable[[Path], AbstractContextManager[str]]:
    """``podfence serve`` on a copy of the shop."""

    @contextmanager
    def made(folder: Path) -> Iterator[str]:
        shutil.copytree(ROOT / "examples/shop", folder / "shop")
        with Serving("-f", "shop", *arguments, directory=folder) as server:
            yield server.address

    return made


@contextmanager
def without_token(folder: Path) -> Iterator[str]:
    with Serving(*SHOP) as server:
        yield server.address.partition("#")[0]


@contextmanager
def unread_any_more(folder: Path) -> Iterator[str]:
    shutil.copytree(ROOT / "examples/shop", folder / "shop")
    with Serving("-f", "shop", directory=folder) as server:
        shutil.rmtree(folder / "shop")
        yield server.address


@contextmanager
def ended(folder: Path) -> Iterator[str]:
    """One that is ended once the page is open, by ``end_it``."""
    with Serving(*SHOP) as server:
        _ENDED.append(server)
        yield server.address


_ENDED: list[Serving] = []


def end_it(browser: Browser) -> None:
    """The server of ``ended`` ends."""
    _ENDED.pop().stop()
    browser.wait("document.querySelector('.banner[role=alert]') !== null")


def live(*forbidden: str) -> Callable[[Path], AbstractContextManager[str]]:
    """A cluster. ``forbidden``: kinds that may not be listed."""

    @contextmanager
    def made(folder: Path) -> Iterator[str]:
        cluster = fake_shop()
        cluster.forbidden = set(forbidden)
        with running(cluster) as api:
            config = str(kubeconfig(folder, api.url, ""))
            with Serving("--kubeconfig", config, "-A") as server:
                yield server.address

    return made


@contextmanager
def told_by_agents(folder: Path) -> Iterator[str]:
    """A page with what agents told once."""
    shutil.copytree(ROOT / "examples/shop", folder / "shop")
    drops = drops_data([told("worker-1", DROP, LATER)])
    nodes = [Told(each.node, each) for each in NODES]
    counters = counters_data(
        [*nodes, Told("worker-3", None, "no agent runs there")], [Told("worker-1", RULES)]
    )
    news = AgentNews("drops", lambda: drops), AgentNews("counters", lambda: counters)
    with serving_news(folder, *news) as bound:
        yield bound.address


SAID: Final = "document.querySelector('.this-edit')?.innerText"


def typed(line: int, path: str, *steps: Callable[[Browser], None]) -> Act:
    """In the editor, at the end of a line."""

    def act(browser: Browser) -> None:
        browser.go(f"#/edit?file={path}&line={line}")
        browser.wait(f"document.querySelector('.edit h2')?.innerText.includes({path!r})")
        browser.wait("document.activeElement?.className.includes('cm-content')")
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


BACK: Final = ("ArrowLeft", *["Backspace"] * len("backend"))
SERVERS: Final = (
    Scene(
        "edit",
        served("--edit"),
        (
            View(
                "saved",
                f"#/edit?file={DB}",
                ("Nothing is typed that is not saved.",),
                until("document.querySelector('.cm-content') !== null"),
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
                    lambda browser: browser.go(f"#/edit?file={DB}&diff=1"),
                    until("document.querySelector('.cm-deletedChunk') !== null"),
                ),
            ),
            View("narrow", f"#/edit?file={DB}", ("This edit",), None, 480),
        ),
    ),
    Scene(
        "serve",
        served(),
        (
            View("drops-of-files", "#/drops", ("No drops are told here", "shows files")),
            View("counters-of-files", "#/counters", ("Nothing is counted here", "shows files")),
        ),
    ),
    Scene("state-no-token", without_token, (View("page", "", ("has printed",)),), refused=True),
    Scene(
        "state-unread",
        unread_any_more,
        (
            View(
                "map",
                "#/map",
                ("The input cannot be read any more.",),
                until("document.querySelector('.banner[role=alert]') !== null"),
            ),
        ),
    ),
    Scene(
        "state-ended",
        ended,
        (View("map", "#/map", ("The server has ended",), end_it),),
        anew=True,
        refused=True,
    ),
    Scene(
        "agents",
        told_by_agents,
        (
            View(
                "drops",
                "#/drops",
                ("isolated by shop/db, no rule matches",),
                until("document.querySelectorAll('.drops tbody tr').length > 1"),
            ),
            View(
                "counters",
                "#/counters",
                ("All nodes that tell", "no agent runs there"),
                until("document.querySelector('.counters tfoot') !== null"),
            ),
            View(
                "counters-narrow",
                "#/counters",
                ("All nodes that tell",),
                until("document.querySelector('.counters tfoot') !== null"),
                480,
            ),
        ),
    ),
    Scene(
        "live",
        live(),
        (
            View("map", "#/map", ("read again each minute",)),
            View(
                "drops-without-agents",
                "#/drops",
                ("No drops are told here",),
                until("document.querySelector('main h2') !== null"),
            ),
        ),
    ),
    Scene(
        "state-forbidden",
        live("networkpolicies"),
        (View("map", "#/map", ("may be listed: any NetworkPolicy", "12 unknown pairs")),),
    ),
)
