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
from tests.cli.test_report_tests import PROMISES
from tests.web.pages import write
from tests.web.scene import BANNER, PANEL, SHOP, Act, Scene, View, until

PAIR: Final = "#/map?pair=shop/backend~shop/db"
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
def promised(folder: Path) -> Iterator[str]:
    """A page with tests in every state."""
    (folder / "promises.yaml").write_text(PROMISES)
    (folder / "torn.yaml").write_text(TORN.replace("shop", "monitoring"))
    more = ("--tests", "examples/tests/shop.podfence.yaml", "-f", str(folder / "torn.yaml"))
    page = write(folder, *SHOP, "--tests", str(folder / "promises.yaml"), *more, expected=2)
    yield page.resolve().as_uri()


def broken(part: str) -> Callable[[Path], AbstractContextManager[str]]:
    """A page without one of its parts."""

    @contextmanager
    def made(folder: Path) -> Iterator[str]:
        page = write(folder, *SHOP)
        text = page.read_text("utf-8")
        page.write_text(text.replace(f'id="data-{part}"', 'id="data-gone"'), "utf-8")
        yield page.resolve().as_uri()

    return made


def opened(choice: int) -> Act:
    """One of the choices above the map is open."""
    return lambda browser: browser.run(
        f"document.querySelectorAll('.choice')[{choice}].open = true"
    )


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
        reported(*CHANGE, "--order"),
        (
            View("map", "#/map", ("allowed pair", "every port")),
            View("pair", "#/map?pair=monitoring/prometheus~shop/db", ("no:",), until(PANEL)),
            View("pair-allowed", PAIR, ("yes: TCP/5432",), until(PANEL)),
            View("picture", "#/map?view=picture", ("prometheus",)),
            View("neighbourhood", "#/map?view=picture&item=shop/db", ("shop/db", "reaches")),
            View("table", "#/map?view=table", ("allowed pair",)),
            View("search", "#/map?q=backend", ("backend",)),
            View("search-nothing", "#/map?q=nobody", ("Nothing matches “nobody”.",)),
            View("policies", "#/policies", ("default-deny",)),
            View(
                "policy",
                "#/policies?policy=NetworkPolicy/shop/db",
                ("shop/db", "Only it allows", "shop/backend"),
                until("document.querySelector('.yaml') !== null"),
            ),
            View("map-namespaces", "#/map?ns=shop", ("Namespaces shop", "monitoring"), opened(0)),
            View(
                "map-hidden",
                "#/map?hide=monitoring/prometheus",
                ("Hide monitoring/prometheus", " peer"),
                opened(1),
            ),
            View(
                "picture-hidden",
                "#/map?view=picture&hide=monitoring/prometheus",
                ("backend",),
            ),
            View("map-alike", "#/map?order=alike", ("of equal rows", "By namespace")),
            View(
                "map-newcomers",
                "#/map?new=1&pair=shop/+~shop/frontend",
                ("Pods to come", "shop/+ is a new pod"),
                until("document.querySelector('.panel') !== null"),
            ),
            View("map-nothing-left", "#/map?ns=gone", ("Nothing is left in 1 namespace (gone)",)),
            View(
                "map-hidden-narrow",
                "#/map?hide=monitoring/prometheus",
                (" peer",),
                opened(1),
                360,
                640,
            ),
            View("exposed", "#/exposed", ("outside",)),
            View("findings", "#/findings", ("PF3",)),
            View("change", "#/plan", ("opened", "shop/backup", "Safe order")),
            View(
                "change-commands",
                "#/plan",
                ("kubectl apply -n shop -f -", "EOF"),
                lambda browser: browser.run(
                    "document.querySelector('.order + details').open = true;"
                    "document.querySelector('.order').scrollIntoView()"
                ),
            ),
            View("map-before", "#/map?side=before", ("Before", "After", "the change opens")),
            View(
                "pair-before",
                "#/map?side=before&pair=monitoring/prometheus~shop/backend",
                ("Before the change: TCP/9100-9110",),
                until(PANEL),
            ),
            View("map-narrow", "#/map", ("allowed pair",), None, 360, 640),
            View("pair-narrow", PAIR, ("yes:",), until(PANEL), 360, 640),
            View("picture-narrow", "#/map?view=picture", ("prometheus",), None, 360, 640),
            View("policies-narrow", "#/policies", ("default-deny",), None, 360, 640),
            View("exposed-narrow", "#/exposed", ("outside",), None, 360, 640),
            View("findings-narrow", "#/findings", ("PF3",), None, 360, 640),
            View("change-narrow", "#/plan", ("opened",), None, 360, 640),
            View("pair-zoomed", PAIR, ("yes:",), until(PANEL), 640, 400, 2),
            View(
                "pair-gone", "#/map?pair=shop/gone~shop/db", ("There is no such pair.", "shop/gone")
            ),
            View("pair-self", "#/map?pair=shop/db~shop/db", ("a pod always reaches itself",)),
            View(
                "item-gone",
                "#/map?view=picture&item=shop/gone",
                ("“shop/gone” is not on this map",),
            ),
            View(
                "policy-gone", "#/policies?policy=NetworkPolicy/shop/gone", ("There is no policy",)
            ),
            View("no-tests", "#/tests", ("No test file was given.", "podfence report --tests")),
            View("edit-elsewhere", "#/edit", ("This page does not edit files.",)),
            View("drops-elsewhere", "#/drops", ("A report does not show denied packets.",)),
            View("port", "#/map?port=tcp/5432&view=table", ("2 allowed pairs",)),
            View("port-wrong", "#/map?port=sql", ("Write a port such as 443 or 53/udp.",)),
        ),
    ),
    Scene(
        "tests",
        promised,
        (
            View(
                "all",
                "#/tests",
                ("20 tests:", "look at nobody", "is denied", "PF501", "undecided", "✗"),
            ),
            View("search", "#/tests?q=office", ("2 match the search",)),
            View(
                "pair",
                "#/tests?pair=shop/frontend~shop/db&ask=tcp/5432",
                ("the frontend reads the database", "no: TCP/5432"),
                until(PANEL),
            ),
            View("narrow", "#/tests", ("is denied",), None, 360, 640),
            View("zoomed", "#/tests", ("is denied",), None, 640, 400, 2),
        ),
    ),
    Scene(
        "tests-kept",
        reported(*SHOP, "--tests", "examples/tests/shop.podfence.yaml"),
        (View("all", "#/tests", ("10 tests: 10 passed", "✓ 10")),),
    ),
    Scene(
        "unchanged",
        reported(*SHOP, "--plan", "examples/shop"),
        (
            View("change", "#/plan", ("No verdict changes",)),
            View("findings", "#/findings", ("podfence check found nothing.",)),
        ),
    ),
    Scene(
        "without-change",
        reported(*SHOP),
        (View("page", "#/plan", ("made without --plan",)),),
    ),
    Scene(
        "without-text",
        reported(*SHOP, "--no-text"),
        (View("pair", PAIR, ("yes:",), until(PANEL)),),
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
        broken("map"),
        (View("page", "", ("The report cannot be shown", "write the report")),),
    ),
    Scene(
        "state-broken-rules",
        broken("rules"),
        (View("pair", PAIR, ("The rules cannot be read,",), until(BANNER)),),
    ),
    Scene(
        "state-old-browser",
        reported(*SHOP),
        (View("page", "", ("This browser is too old", "a browser of 2023 or newer")),),
        script="delete globalThis.DecompressionStream",
    ),
    Scene(
        "hostile",
        reported("-f", "-", stdin=manifests("<svg onload=1>\u202egnp.exe\x1b[2J" * 3)),
        (View("map", "#/map", ("<svg onload=1>",)),),
    ),
    Scene(
        "anonymised",
        reported(*SHOP, "--anonymise"),
        (
            View(
                "map",
                "#/map?pair=namespace-2/workload-2~namespace-2/workload-3",
                ("namespace-2/workload-2", "Entering namespace-2/workload-3"),
                until(PANEL),
            ),
            View("tests", "#/tests", ("a page without names leaves them out",)),
        ),
    ),
)
