"""The page says what the engine says: every cell, every verdict, every deciding origin."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.report import Report, report
from podfence.sets import PortSet
from tests.cli.session import ROOT, podfence
from tests.support.odd_clusters import LONG, odd_cluster
from tests.support.random_clusters import TIERS, Size, random_cluster
from tests.web.chromium import Browser
from tests.web.pages import ASK, EXAMPLES, answers, indices, write, write_cluster

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

CELLS = """
(() => {
  const { world } = podfence;
  const found = [];
  for (let from = 0; from < world.size; from += 1) {
    for (let to = 0; to < world.size; to += 1) {
      for (const [ports, family] of world.allowed(from, to)) {
        found.push([world.endpoints[from].name, world.endpoints[to].name, ports, family]);
      }
    }
  }
  return found;
})()
"""

Cell = tuple[str, str, tuple[int, ...], int]


def cells_of(found: Report) -> set[Cell]:
    return {
        (source.name, row.destination.name, _line(row.ports), row.family or 0)
        for row in found.map.rows()
        for source in row.sources
    }


def _line(ports: PortSet) -> tuple[int, ...]:
    return tuple(number for span in ports.line for number in span)


def cells_shown(browser: Browser) -> set[Cell]:
    return {(a, b, tuple(ports), family) for a, b, ports, family in browser.run(CELLS)}


def compare(browser: Browser, found: Report, pairs: list[tuple[int, int]], most: int) -> int:
    rules: dict[str, Any] = browser.run("podfence.rules()")
    asked = indices(rules, most)
    expected = answers(found, pairs, asked)
    argument = json.dumps({"pairs": pairs, "indices": asked})
    shown = browser.run(f"({ASK})({argument})")
    key = ("from", "to", "family", "index")
    by_question = {tuple(each[k] for k in key): each for each in shown}
    wrong = [
        (each, by_question.get(tuple(each[k] for k in key)))
        for each in expected
        if by_question.get(tuple(each[k] for k in key)) != each
    ]
    assert wrong[:3] == []
    return len(expected)


def all_pairs_of(found: Report) -> list[tuple[int, int]]:
    groups = found.map.groups
    return [
        (a.number, b.number)
        for a in groups
        for b in groups
        if a.workload is not None or b.workload is not None
    ]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_pair_of_an_example(browser: Browser, tmp_path: Path, example: str) -> None:
    found = report(compile_cluster(load([str(ROOT / example)]).cluster))
    browser.open(write(tmp_path, "-f", example))
    assert cells_shown(browser) == cells_of(found)
    assert compare(browser, found, all_pairs_of(found), 12) > 0


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [Size(), TIERS], ids=["networkpolicies", "tiers"])
def test_random_clusters(browser: Browser, tmp_path: Path, seed: int, size: Size) -> None:
    page, found = write_cluster(tmp_path, random_cluster(Random(seed), size))
    browser.open(page)
    assert cells_shown(browser) == cells_of(found)
    pairs = all_pairs_of(found)
    compare(browser, found, Random(seed).sample(pairs, min(len(pairs), 120)), 10)


@pytest.mark.parametrize("seed", range(6))
def test_odd_clusters(browser: Browser, tmp_path: Path, seed: int) -> None:
    page, found = write_cluster(
        tmp_path, odd_cluster(Random(seed), (Size(), TIERS, LONG)[seed % 3])
    )
    browser.open(page)
    assert cells_shown(browser) == cells_of(found)
    pairs = all_pairs_of(found)
    compare(browser, found, Random(seed).sample(pairs, min(len(pairs), 60)), 10)


def test_the_page_lists_the_pairs_that_map_prints(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path, "-f", "examples/shop"), "#/map?view=table")
    printed = json.loads(podfence(["map", "-f", "examples/shop", "-o", "json"]).out)
    expected = {(a, row["to"]) for row in printed["connections"] for a in row["from"]}
    rows = browser.run(
        "[...document.querySelectorAll('tbody tr')]"
        ".map((row) => [...row.cells].slice(0, 2).map((cell) => cell.textContent))"
    )
    assert {tuple(row) for row in rows} == expected


@pytest.mark.parametrize(("source", "verdict"), [("shop/backend", "yes"), ("shop/frontend", "no")])
def test_the_panel_shows_the_lines_that_why_prints(
    browser: Browser, tmp_path: Path, source: str, verdict: str
) -> None:
    page = write(tmp_path, "-f", "examples/shop")
    browser.open(page, f"#/map?pair={source}~shop/db")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    said = json.loads(
        podfence(["why", source, "shop/db:5432", "-f", "examples/shop", "-o", "json"]).out
    )
    positions_said = [
        f"{each['file']}:{each['line']}:{each['column']}"
        for direction in ("egress", "ingress")
        for each in said[direction]["policies"]
    ]
    shown = browser.run(
        "[...document.querySelectorAll('.deciding .where .file')].map((e) => e.textContent)"
    )
    assert shown == positions_said
    marked = browser.run(
        "[...document.querySelectorAll('.yaml .deciding .number')].map((e) => +e.textContent)"
    )
    assert {each["line"] for d in ("egress", "ingress") for each in said[d]["policies"]} <= set(
        marked
    )
    assert browser.text(".panel .verdict") == f"{verdict}: TCP/5432"


def test_other_protocols_can_be_asked_for(browser: Browser, tmp_path: Path) -> None:
    page = write(tmp_path, "-f", "examples/shop")
    browser.open(page, "#/map?pair=shop/backend~shop/db&ask=icmp")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    assert browser.text(".panel .verdict") == "no: ICMP and other protocols"
