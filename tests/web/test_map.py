"""What the map shows, and in which order: by its controls, and by its address."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.random_clusters import Size, random_cluster
from tests.web.chromium import Browser
from tests.web.pages import served_copy, write, write_cluster
from tests.web.reportscenes import pods

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

SHOP = ("-f", "examples/shop")
ROWS = "[...document.querySelectorAll('.rows .end')].map((each) => each.title)"
CHOICE = "document.querySelectorAll('.choice')[{}]"
OUTSIDE = "outside 203.0.113.0/25, 2001:db8:113::/48"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shop"), *SHOP)


def rows(browser: Browser) -> list[str]:
    found: list[str] = browser.run(ROWS)
    return found


# -- namespaces


def test_of_chosen_namespaces_their_workloads_and_outside_are_left(
    browser: Browser, shop: Path
) -> None:
    browser.open(shop, "#/map?ns=shop")
    assert [each for each in rows(browser) if not each.startswith("outside")] == [
        "shop/backend",
        "shop/db",
        "shop/frontend",
    ]
    assert OUTSIDE in rows(browser)
    browser.go("#/map?ns=monitoring")
    office = "outside 198.51.100.0/25, 198.51.100.128/26"  # the only one outside that reaches it
    assert rows(browser) == ["monitoring/prometheus", office]
    browser.go("#/map?ns=shop,monitoring")
    assert "monitoring/prometheus" in rows(browser)


def test_a_search_looks_in_the_chosen_namespaces(browser: Browser, shop: Path) -> None:
    browser.open(shop, "#/map?ns=shop&q=shop/db")
    assert rows(browser) == ["shop/backend", "shop/db"]


@pytest.mark.parametrize(
    ("fragment", "words"),
    [
        ("#/map?ns=gone", "Nothing is left in 1 namespace (gone)."),
        ("#/map?ns=shop&q=prometheus", "Nothing matches “prometheus” in 1 namespace (shop)."),
        ("#/map?ns=monitoring&hide=monitoring/prometheus", "without the hidden ones"),
    ],
)
def test_where_nothing_is_left_the_page_says_what_limits_it(
    browser: Browser, shop: Path, fragment: str, words: str
) -> None:
    browser.open(shop, fragment)
    assert words in browser.text("main")
    browser.run("document.querySelector('.plain a').click()")
    browser.settle()
    assert len(rows(browser)) == 7
    assert browser.run("location.hash") == "#/map"


def test_namespaces_are_chosen_from_the_keyboard(browser: Browser, shop: Path) -> None:
    browser.open(shop)
    browser.run(f"{CHOICE.format(0)}.querySelector('summary').focus()")
    browser.press("Enter")
    browser.press("Tab", "Tab", " ")
    assert browser.run("location.hash") == "#/map?ns=shop"
    assert browser.run(f"{CHOICE.format(0)}.open")  # several can be chosen
    assert "monitoring/prometheus" not in rows(browser)
    browser.press("Escape")
    assert not browser.run(f"{CHOICE.format(0)}.open")
    assert browser.run("document.activeElement.tagName") == "SUMMARY"
    assert browser.text(".choice summary") == "Namespaces shop"


def test_a_namespace_is_found_among_many(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path, "-f", "-", stdin=pods(150, 1)))
    browser.run(f"{CHOICE.format(0)}.open = true")
    browser.settle()
    listed = "document.querySelectorAll('.choices li').length"
    assert browser.run(listed) == 100
    assert browser.text(".choices .more") == "50 more"
    browser.run("document.querySelector('.choices input[type=search]').focus()")
    browser.type("team-14")
    assert browser.run(listed) == 11


# -- hidden


@pytest.mark.parametrize("view", ["matrix", "picture", "table"])
def test_who_is_hidden_is_in_no_view(browser: Browser, shop: Path, view: str) -> None:
    seen = (
        "document.querySelector('main').innerText"
        " + document.querySelector('.picture-scroll')?.textContent"
    )
    browser.open(shop, f"#/map?view={view}")
    assert "prometheus" in browser.run(seen)
    browser.go(f"#/map?view={view}&hide=monitoring/prometheus")
    browser.run("document.querySelectorAll('.choice').forEach((each) => each.remove())")
    assert "prometheus" not in browser.run(seen)
    assert "backend" in browser.run(seen)


def test_those_that_talk_most_are_proposed(browser: Browser, shop: Path) -> None:
    browser.open(shop)
    browser.run(f"{CHOICE.format(1)}.open = true")
    browser.settle()
    said = browser.run("[...document.querySelectorAll('.choices li')].map((e) => e.innerText)")
    assert [each.split("\n")[0] for each in said][:2] == ["shop/frontend", "monitoring/prometheus"]
    browser.run("document.querySelectorAll('.choices input')[1].click()")
    browser.settle()
    assert browser.run("location.hash") == "#/map?hide=monitoring/prometheus"
    browser.open(shop, "#/map?hide=shop/db,shop/gone")
    browser.run(f"{CHOICE.format(1)}.open = true")
    browser.settle()
    said = browser.run("[...document.querySelectorAll('.choices li')].map((e) => e.innerText)")
    assert said[:2] == ["shop/gone\nnot on this map", "shop/db\n2 peers"]


def test_an_end_whose_name_has_commas_can_be_hidden(browser: Browser, shop: Path) -> None:
    browser.open(shop)
    browser.run(f"{CHOICE.format(1)}.open = true")
    browser.settle()
    browser.run(
        "[...document.querySelectorAll('.choices label')]"
        f".find((each) => each.innerText.includes({OUTSIDE!r})).click()"
    )
    browser.settle()
    left = rows(browser)
    assert OUTSIDE not in left
    address = browser.run("location.hash")
    browser.go("#/policies")
    browser.go(address)
    assert rows(browser) == left


# -- alike first


def cells(browser: Browser) -> dict[str, dict[str, Any]]:
    """What each pair may do; of a pod alone, nothing is said about it with itself."""
    script = """
    (() => {
      const { world } = podfence;
      const names = world.endpoints.map((each) => each.name);
      const all = [...names.keys()];
      return Object.fromEntries(all.map((from) => [names[from], Object.fromEntries(all.map((to) =>
        [names[to], from === to && world.endpoints[from].pods?.length === 1
          ? null : JSON.stringify(world.allowed(from, to))]))]));
    })()
    """
    found: dict[str, dict[str, Any]] = browser.run(script)
    return found


Alike = Callable[[dict[str, dict[str, Any]], str, str], bool]


def same(a: Any, b: Any) -> bool:
    return a is None or b is None or a == b


def equal_rows(seen: dict[str, dict[str, Any]], one: str, other: str) -> bool:
    return all(same(seen[one][each], seen[other][each]) for each in seen)


def look_alike(seen: dict[str, dict[str, Any]], one: str, other: str) -> bool:
    columns = all(same(seen[each][one], seen[each][other]) for each in seen)
    return columns and equal_rows(seen, one, other)


def order(browser: Browser) -> list[str]:
    """The rows from top to bottom, however long the matrix is."""
    found: dict[str, None] = {}
    script = "document.querySelector('.scroller').scrollTo(0, {})"
    for top in range(0, 22 * len(browser.run("podfence.world.endpoints")) + 400, 300):
        browser.run(script.format(top))
        browser.settle()
        found.update(dict.fromkeys(rows(browser)))
    return list(found)


@pytest.mark.parametrize("seed", range(6))
def test_ends_that_look_alike_stand_side_by_side(
    browser: Browser, tmp_path: Path, seed: int
) -> None:
    """Ends with equal rows do, and among them those with equal columns as well."""
    size = Size(namespaces=3, pods=14, policies=4)
    page, _ = write_cluster(tmp_path, random_cluster(Random(seed), size))
    browser.open(page, "#/map?order=alike")
    shown, seen = order(browser), cells(browser)
    assert sorted(shown) == sorted(seen)
    assert apart(seen, shown, equal_rows) == []
    assert apart(seen, shown, look_alike) == []


def apart(
    seen: dict[str, dict[str, Any]], shown: list[str], alike: Alike
) -> list[tuple[str, str, str]]:
    """Ends that are alike, with one between them that is not."""
    return [
        (shown[first], shown[between], shown[last])
        for first, last in combinations(range(len(shown)), 2)
        if alike(seen, shown[first], shown[last])
        for between in range(first + 1, last)
        if not alike(seen, shown[first], shown[between])
    ]


def test_replicas_of_one_service_are_one_set(browser: Browser, tmp_path: Path) -> None:
    """Single pods that may all talk with one another: each row lacks another cell, its own."""
    text = pods(2, 3) + (
        b"\n---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, "
        b"metadata: {name: own, namespace: team-0}, "
        b"spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}}"
    )
    browser.open(write(tmp_path, "-f", "-", stdin=text), "#/map?order=alike")
    assert "2 sets of equal rows" in browser.text(".legend")
    names = [each for each in rows(browser) if not each.startswith("outside")]
    assert [name.split("/")[0] for name in names] in (
        ["team-0"] * 3 + ["team-1"] * 3,
        ["team-1"] * 3 + ["team-0"] * 3,
    )


def test_with_a_port_alike_is_what_looks_alike_on_it(browser: Browser, shop: Path) -> None:
    browser.open(shop, "#/map?order=alike")
    every = browser.text(".legend")
    browser.go("#/map?order=alike&port=tcp/5432")
    assert browser.text(".legend") != every


# -- the address


ASKED = "#/map?ns=shop&hide=shop/frontend&order=alike&q=back"


def test_a_link_restores_what_the_map_shows_in_a_report(browser: Browser, shop: Path) -> None:
    browser.open(shop, ASKED)
    assert sorted(rows(browser)) == [OUTSIDE, "shop/backend", "shop/db"]
    assert browser.run("location.hash") == ASKED
    browser.run("document.querySelector('.rail a[href*=policies]').click()")
    browser.settle()
    browser.run("document.querySelector('.rail a[href*=map]').click()")
    browser.settle()
    assert sorted(rows(browser)) == [OUTSIDE, "shop/backend", "shop/db"]


def test_a_link_restores_what_the_map_shows_in_a_server(browser: Browser, tmp_path: Path) -> None:
    with served_copy(browser, tmp_path):
        browser.go(ASKED)
        assert sorted(rows(browser)) == [OUTSIDE, "shop/backend", "shop/db"]
        browser.call("Page.reload")
        browser.wait("document.documentElement?.dataset.state === 'ready'")
        assert sorted(rows(browser)) == [OUTSIDE, "shop/backend", "shop/db"]
        assert browser.run("location.hash") == json.loads(json.dumps(ASKED))
