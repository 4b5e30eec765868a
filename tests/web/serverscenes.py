"""Every page and state that a server adds, but for editing: what agents tell, what may fail.

Rule: a state is made on purpose, and is one only if the page says its words.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Final

from podfence.agent.fleet import NodeReply
from podfence.agent.nodereport import NodeReport
from podfence.render.counters import page_data as counters_data
from podfence.render.drops import page_data as drops_data
from podfence.web.agentnews import AgentNews
from tests.cli.liveshop import shop as fake_shop
from tests.cli.session import ROOT
from tests.cli.test_serve_drops import DROP, LATER, serving_news, told
from tests.kube.fakecluster import kubeconfig, running
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.editscenes import served
from tests.web.scene import BANNER, SHOP, Scene, View, until
from tests.web.test_counters import NODES, RULES

HELD: Final = """
{
  const before = fetch;
  const step = '{"doing": "files", "done": 120, "of": 300, "objects": 0}';
  let asked = false;
  globalThis.fetch = async (url, more) => {
    if (url.includes("events") && !asked) {
      asked = true;
      const text = `event: progress\\ndata: ${step}\\n\\n`;
      return new Response(text);
    }
    if (url.includes("v1/map")) {
      document.documentElement.dataset.state = "held";
      await new Promise((go) => (globalThis.go = go));
      delete document.documentElement.dataset.state;
    }
    return before(url, more);
  };
}
"""
"""The map is answered when a test says so; until then the server seems to read files."""


@contextmanager
def without_token(folder: Path) -> Iterator[str]:
    with Serving(*SHOP) as server:
        yield server.address.partition("#")[0]


@contextmanager
def with_another_token(folder: Path) -> Iterator[str]:
    with Serving(*SHOP) as server:
        yield f"{server.address.partition('=')[0]}=of-another-server"


@contextmanager
def unread_any_more(folder: Path) -> Iterator[str]:
    shutil.copytree(ROOT / "examples/shop", folder / "shop")
    with Serving("-f", "shop", directory=folder) as server:
        (folder / "shop").rename(folder / "gone")  # in one step, unlike a removal
        yield server.address


@contextmanager
def ended(folder: Path) -> Iterator[str]:
    """One that is ended once the page is open, by ``end_it`` or ``start_anew``."""
    with ExitStack() as stack:
        server = stack.enter_context(Serving(*SHOP))
        _ENDED.append((server, stack))
        yield server.address


_ENDED: list[tuple[Serving, ExitStack]] = []


def end_it(browser: Browser) -> None:
    """The server of ``ended`` ends."""
    _ENDED.pop()[0].stop()
    browser.wait(BANNER)


def start_anew(browser: Browser) -> None:
    """The server of ``ended`` ends, and another one takes its port."""
    old, stack = _ENDED.pop()
    old.stop()
    stack.enter_context(Serving(*SHOP, "--port", str(old.port)))
    browser.wait("document.querySelector('.banner')?.innerText.includes('restarted')")


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
    nodes = [NodeReply(each.node, each) for each in NODES]
    counters = counters_data(
        [*nodes, NodeReply("worker-3", None, "no agent runs there")], [NodeReply("worker-1", RULES)]
    )
    news = AgentNews("drops", lambda: drops), AgentNews("counters", lambda: counters)
    with serving_news(folder, *news) as bound:
        yield bound.address


@contextmanager
def with_nothing_told(folder: Path) -> Iterator[str]:
    """Agents that denied nothing and count nothing yet."""
    shutil.copytree(ROOT / "examples/shop", folder / "shop")
    drops = drops_data([told("worker-1")])
    counters = counters_data([NodeReply("worker-1", NodeReport("worker-1", in_sync=True))], [])
    news = AgentNews("drops", lambda: drops), AgentNews("counters", lambda: counters)
    with serving_news(folder, *news) as bound:
        yield bound.address


@contextmanager
def silent_agents(folder: Path) -> Iterator[str]:
    """Agents that take their time."""
    shutil.copytree(ROOT / "examples/shop", folder / "shop")
    done = Event()

    def ask() -> dict[str, object]:
        done.wait(60)
        return drops_data([])

    with serving_news(folder, AgentNews("drops", ask)) as bound:
        try:
            yield bound.address
        finally:
            done.set()


SERVERS: Final = (
    Scene(
        "serve",
        served("--tests", "promise.yaml"),
        (
            View("tests", "#/tests", ("2 tests: 2 passed", "Run again")),
            View("drops-of-files", "#/drops", ("There are no drops to show", "shows files")),
            View(
                "counters-of-files", "#/counters", ("There are no counters to show", "shows files")
            ),
        ),
    ),
    Scene(
        "state-waiting",
        served(),
        (View("skeleton", "", ("Reading files: 120 of 300 …",)),),
        script=HELD,
    ),
    Scene(
        "state-wrong-token",
        with_another_token,
        (View("page", "", ("This page needs its token", "another one at each start")),),
        refused=True,
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
        "state-started-anew",
        ended,
        (View("map", "#/map", ("The server has been restarted.",), start_anew),),
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
                ("All nodes that report", "no agent runs there"),
                until("document.querySelector('.counters tfoot') !== null"),
            ),
            View(
                "counters-narrow",
                "#/counters",
                ("All nodes that report",),
                until("document.querySelector('.counters tfoot') !== null"),
                360,
                640,
            ),
            View(
                "drops-narrow",
                "#/drops",
                ("isolated by shop/db",),
                until("document.querySelectorAll('.drops tbody tr').length > 1"),
                360,
                640,
            ),
            View(
                "counters-unused",
                "#/counters?unused=1",
                ("Show all", "never"),
                until("document.querySelector('.counters tfoot') !== null"),
            ),
            View(
                "drops-search-nothing",
                "#/drops?q=nobody",
                ("Nothing was denied that matches the search.",),
                until("document.querySelector('.drops') !== null"),
            ),
        ),
    ),
    Scene(
        "agents-nothing",
        with_nothing_told,
        (
            View(
                "drops",
                "#/drops",
                ("Nothing was denied since the agents started.",),
                until("document.querySelector('.drops') !== null"),
            ),
            View(
                "counters",
                "#/counters",
                ("No agent reports uses of rules.",),
                until("document.querySelector('.counters') !== null"),
            ),
        ),
    ),
    Scene(
        "agents-silent",
        silent_agents,
        (View("drops", "#/drops", ("Asking the agents of the cluster …",)),),
    ),
    Scene(
        "live",
        live(),
        (
            View("map", "#/map", ("read again each minute",)),
            View(
                "drops-without-agents",
                "#/drops",
                ("There are no drops to show", "they are not installed there"),
                until("document.querySelector('main h2') !== null"),
            ),
        ),
    ),
    Scene(
        "state-forbidden",
        live("networkpolicies"),
        (View("map", "#/map", ("may not be listed: any NetworkPolicy", "12 unknown pairs")),),
    ),
)
