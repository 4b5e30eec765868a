"""A change on the map: the cells that it turns, in a report and while somebody types."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.connectivity import Group
from podfence.questions.report import Report, report
from podfence.sets import PortSet
from tests.cli.session import ROOT
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.editscenes import BACK, DB, FRONTEND, keys, letters, says, typed
from tests.web.pages import write

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

LABEL = "document.getElementById('focused-cell').getAttribute('aria-label')"


def without(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / f"policies/{name}.yaml").unlink()

    return change


def other_ports(folder: Path) -> None:
    path = folder / "policies/db.yaml"
    path.write_text(path.read_text().replace("{port: sql}", "{port: 5433}"))


CHANGES = {
    "a policy goes": without("db"),
    "nothing isolates": without(
        *(path.stem for path in ROOT.glob("examples/shop/policies/*.yaml"))
    ),
    "nothing changes": lambda folder: None,
    "other ports": other_ports,
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_cells_that_turn_are_those_in_which_two_maps_differ(
    browser: Browser, tmp_path: Path, name: str
) -> None:
    old, new = (tmp_path / each for each in ("old", "new"))
    for folder in (old, new):
        shutil.copytree(ROOT / "examples/shop", folder)
    CHANGES[name](new)
    browser.open(write(tmp_path, "-f", str(new), "--plan", str(old)))
    turned = {(a, b): turn for a, b, turn in browser.run("podfence.turned")}
    ways = {pair for pair in turned if any(end.startswith("outside ") for end in pair)}
    pairs = {pair: turn for pair, turn in turned.items() if pair not in ways}
    assert pairs == dict(differing(found_of(old), found_of(new)))
    assert bool(ways) == (name == "nothing isolates")


def found_of(folder: Path) -> Report:
    return report(compile_cluster(load([str(folder)]).cluster))


def differing(old: Report, new: Report) -> Iterator[tuple[tuple[str, str], str]]:
    """Pairs of workloads of which the ports differ, and how."""
    before, after = (allowed(each) for each in (old, new))
    for pair in before.keys() | after.keys():
        was, now = before.get(pair, PortSet()), after.get(pair, PortSet())
        if was != now:
            words = [word for word, more in (("opens", now - was), ("closes", was - now)) if more]
            yield pair, "both" if len(words) == 2 else words[0]


def allowed(found: Report) -> dict[tuple[str, str], PortSet]:
    ports: dict[tuple[str, str], PortSet] = {}
    for row in found.map.rows():
        for source in row.sources:
            if all(map(is_pod, (source, row.destination))):
                pair = source.name, row.destination.name
                ports[pair] = ports.get(pair, PortSet()) | row.ports
    return ports


def is_pod(group: Group) -> bool:
    return group.workload is not None


@pytest.fixture
def server(tmp_path: Path, browser: Browser) -> Iterator[Serving]:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    with Serving("-f", "shop", "--edit", directory=tmp_path) as found:
        browser.own = (f"http://127.0.0.1:{found.port}/",)
        browser.visit(found.address)
        yield found
        browser.leave()


def test_the_map_beside_the_text_turns_as_somebody_types(browser: Browser, server: Serving) -> None:
    """The matrix is never blank; a text that cannot be read leaves what turned before."""
    typed(13, DB, keys("ArrowLeft", *["Backspace"] * len("backend")))(browser)
    for letter in "frontend":
        browser.type(letter)
        assert browser.run("document.querySelector('.edited-map .window').innerText") != ""
    browser.wait("podfence.turned.join() === 'shop/backend,shop/db,closes'")
    browser.press("Escape")
    browser.go(f"#/edit?file={FRONTEND}")
    browser.wait(f"document.querySelector('.cm-content').ariaLabel === 'Text of {FRONTEND}'")
    text = (ROOT / "examples" / FRONTEND).read_text("utf-8")
    rule = text.rstrip("\n") + "\n  - to: [{podSelector: {matchLabels: {app: db}}}]\n"
    browser.run("document.querySelector('.cm-content').focus()")
    browser.press("Control+a", "Delete")
    browser.type(rule)
    both = ["shop/backend,shop/db,closes", "shop/frontend,shop/db,opens"]
    browser.wait(f"podfence.turned.map(String).sort().join(';') === {';'.join(both)!r}")
    browser.type("- [")
    says("Not valid yet")(browser)
    assert sorted(",".join(each) for each in browser.run("podfence.turned")) == both


def test_a_cell_that_turns_is_said_and_leads_to_the_map(browser: Browser, server: Serving) -> None:
    typed(13, DB, keys(*BACK), letters("frontned"))(browser)
    browser.wait("podfence.turned.length === 1")
    browser.press("Escape")
    browser.run("document.querySelector('[role=grid]').focus()")
    browser.press("Control+Home", *["ArrowDown"] * 3, *["ArrowRight"] * 4)
    assert browser.run(LABEL) == "shop/backend to shop/db: TCP/5432; the change closes some of it"
    browser.press("Enter")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    assert browser.run("location.hash") == "#/map?pair=shop/backend~shop/db"
    assert "+ the change opens" in browser.text(".legend")
