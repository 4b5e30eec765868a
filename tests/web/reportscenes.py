"""Every page of a report, and every state that it can be in.

Rule: a state is made on purpose, and is one only if the page says its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from tests.cli.test_hostile import manifests
from tests.cli.test_report import CHANGE
from tests.web.pages import write
from tests.web.scene import PANEL, SHOP, Scene, View, until

TORN: Final = (
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
    "metadata: {name: torn, namespace: shop}\nspec: {podSelector: 5}\n"
)


def reported(
    *arguments: str, stdin: bytes = b"", torn: bool = False
) -> Callable[[Path], AbstractContextManager[str]]:
    """The page of ``podfence report``. ``torn``: with a policy that cannot be read."""

    @contextmanager
    def made(folder: Path) -> Iterator[str]:
        more: tuple[str, ...] = ()
        if torn:
            (folder / "torn.yaml").write_text(TORN)
            more = ("-f", str(folder / "torn.yaml"))
        page = write(folder, *arguments, *more, stdin=stdin, expected=2 if torn else 0)
        yield page.resolve().as_uri()

    return made


@contextmanager
def broken(folder: Path) -> Iterator[str]:
    page = write(folder, *SHOP)
    text = page.read_text("utf-8")
    page.write_text(text.replace('id="data-map"', 'id="data-gone"'), "utf-8")
    yield page.resolve().as_uri()


def pods(namespaces: int, each: int) -> bytes:
    """Many workloads, without a policy."""
    names = ((n, p) for n in range(namespaces) for p in range(each))
    return "\n---\n".join(
        f"{{apiVersion: v1, kind: Pod, metadata: {{name: app-{p}, namespace: team-{n}}}}}"
        for n, p in names
    ).encode()


REPORTS: Final = (
    Scene(
        "report",
        reported(*CHANGE),
        (
            View("map", "#/map", ("allowed pair", "every port")),
            View("pair", "#/map?pair=monitoring/prometheus~shop/db", ("no:",), until(PANEL)),
            View(
                "pair-allowed", "#/map?pair=shop/backend~shop/db", ("yes: TCP/5432",), until(PANEL)
            ),
            View("picture", "#/map?view=picture", ("prometheus",)),
            View("neighbourhood", "#/map?view=picture&item=shop/db", ("shop/db", "reaches")),
            View("table", "#/map?view=table", ("allowed pair",)),
            View("search", "#/map?q=backend", ("backend",)),
            View("search-nothing", "#/map?q=nobody", ("Nothing is called “nobody”.",)),
            View("policies", "#/policies", ("default-deny",)),
            View(
                "policy",
                "#/policies?policy=NetworkPolicy/shop/db",
                ("shop/db",),
                until("document.querySelector('.yaml') !== null"),
            ),
            View("exposed", "#/exposed", ("outside",)),
            View("findings", "#/findings", ("PF3",)),
            View("change", "#/plan", ("opened", "shop/backup")),
            View("map-narrow", "#/map", ("allowed pair",), None, 480),
            View("pair-narrow", "#/map?pair=shop/backend~shop/db", ("yes:",), until(PANEL), 480),
        ),
    ),
    Scene(
        "tiers",
        reported("-f", "examples/tiers"),
        (
            View("map", "#/map", ("allowed pair",)),
            View("policies", "#/policies", ("Admin",)),
        ),
    ),
    Scene(
        "state-empty",
        reported("-f", "examples/shop/policies"),
        (View("map", "#/map", ("No pods and no workloads were read.",)),),
    ),
    Scene(
        "state-no-policy",
        reported(*SHOP, "--exclude", "policies/"),
        (
            View("map", "#/map", ("There is no policy",)),
            View("policies", "#/policies", ("every pod may talk to every other",)),
        ),
    ),
    Scene(
        "state-unreadable",
        reported(*SHOP, torn=True),
        (
            View("map", "#/map", ("1 object could not be read.", "NetworkPolicy shop/torn")),
            View("pair", "#/map?pair=shop/frontend~shop/db", ("Unknown:",), until(PANEL)),
        ),
    ),
    Scene(
        "state-many",
        reported("-f", "-", stdin=pods(12, 20)),
        (
            View("map", "#/map", ("240 workloads", "filled as far as pairs are allowed")),
            View("open", "#/map?open=team-3", ("240 workloads",)),
            View("picture", "#/map?view=picture", ("team-0/app-0",)),
        ),
    ),
    Scene(
        "state-broken",
        broken,
        (View("page", "", ("The report cannot be shown", "write the report")),),
    ),
    Scene(
        "hostile",
        reported("-f", "-", stdin=manifests("<svg onload=1>\u202egnp.exe\x1b[2J" * 3)),
        (View("map", "#/map", ("<svg onload=1>",)),),
    ),
    Scene(
        "anonymised",
        reported(*SHOP, "--anonymise"),
        (View("map", "#/map?pair=namespace-2/workload-1~namespace-2/workload-2", ()),),
    ),
)
