"""Pods to come on the map: the engine's cells for them, behind a switch that the address holds."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from podfence.manifests.load import load
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.questions.plan.newcomers import with_newcomers
from podfence.questions.report import Report, report
from tests.cli.session import ROOT
from tests.support.random_clusters import TIERS, Size, random_cluster
from tests.web.chromium import Browser
from tests.web.pages import EXAMPLES, served_copy, write, write_cluster
from tests.web.test_answers import CELLS, Cell, cells_of, cells_shown

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

LATER = CELLS.replace("(() => {", "(async () => {", 1).replace(
    "const { world } = podfence;", "const world = await podfence.later();"
)
ROWS = "[...document.querySelectorAll('.rows .end')].map((each) => each.title)"
SWITCH = "document.querySelector('.switch input')"
NEW = {"+/+", "monitoring/+", "shop/+"}


def with_pods_to_come(cluster: Cluster) -> Report:
    return report(compile_cluster(with_newcomers(cluster, cluster.namespaces.keys())))


def later_cells(browser: Browser) -> set[Cell]:
    return {(a, b, tuple(ports), family) for a, b, ports, family in browser.run(LATER)}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_cell_of_every_example_is_the_engines(
    browser: Browser, tmp_path: Path, example: str
) -> None:
    browser.open(write(tmp_path, "-f", example))
    cluster = load([str(ROOT / example)]).cluster
    wanted = cells_of(with_pods_to_come(cluster))
    assert later_cells(browser) == wanted
    assert any("+/+" in cell for cell in wanted)
    assert cells_shown(browser) == cells_of(report(compile_cluster(cluster)))


@pytest.mark.parametrize("size", [Size(3, 8, 6), TIERS], ids=["policies", "tiers"])
@pytest.mark.parametrize("seed", range(5))
def test_every_cell_of_random_clusters_is_the_engines(
    browser: Browser, tmp_path: Path, seed: int, size: Size
) -> None:
    cluster = random_cluster(Random(seed), size)
    page, found = write_cluster(tmp_path, cluster)
    browser.open(page)
    assert later_cells(browser) == cells_of(with_pods_to_come(cluster))
    assert cells_shown(browser) == cells_of(found)


BLOCKS = b"""
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: empty}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out, namespace: empty}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]
"""


def test_a_block_that_only_pods_to_come_name_cuts_the_outside(
    browser: Browser, tmp_path: Path
) -> None:
    """Today nobody is asked about it, so the map has one line for everything outside."""
    (tmp_path / "in.yaml").write_bytes(BLOCKS)
    browser.open(write(tmp_path, "-f", str(tmp_path / "in.yaml")))
    wanted = cells_of(with_pods_to_come(load([str(tmp_path / "in.yaml")]).cluster))
    assert later_cells(browser) == wanted
    assert [name for _, name, *_ in wanted if "192.0.2.0/24" in name]
    assert not [name for _, name, *_ in cells_shown(browser) if "192.0.2.0/24" in name]


# -- the switch


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shop"), "-f", "examples/shop")


def test_they_are_shown_at_a_switch(browser: Browser, shop: Path) -> None:
    browser.open(shop)
    before = set(browser.run(ROWS))
    assert not before & NEW
    browser.run(f"{SWITCH}.focus()")
    browser.press(" ")
    browser.wait(f"{ROWS}.includes('+/+')")
    assert set(browser.run(ROWS)) == before | NEW
    assert browser.run("location.hash") == "#/map?new=1"
    assert "4 workloads" in browser.text("footer")
    browser.press(" ")
    browser.wait(f"!{ROWS}.includes('+/+')")
    assert set(browser.run(ROWS)) == before


def test_a_pair_with_one_says_what_it_may_do(browser: Browser, shop: Path) -> None:
    browser.open(shop, "#/map?new=1&pair=monitoring/prometheus~shop/+")
    browser.wait("document.querySelector('.panel') !== null")
    assert "Allowed: TCP/9100-9110" in browser.text(".panel")
    assert "podfence find to shop/+" in browser.text(".panel")
    browser.run("document.querySelector('.panel button').focus()")
    browser.press("Escape")
    assert browser.run("location.hash") == "#/map?new=1"
    browser.go("#/map?new=1&pair=shop/backend~shop/db")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    assert browser.text(".panel .verdict") == "yes: TCP/5432"


def test_filters_and_views_hold_for_them(browser: Browser, shop: Path) -> None:
    browser.open(shop, "#/map?new=1&ns=shop&order=alike")
    browser.wait(f"{ROWS}.includes('shop/+')")
    assert set(browser.run(ROWS)) & NEW == {"shop/+"}
    browser.go("#/map?new=1&view=table&q=monitoring/prometheus")
    assert "shop/+" in browser.text(".table-view")


@pytest.mark.parametrize("left_out", ["--no-newcomers", "--anonymise"])
def test_where_they_are_left_out_there_is_no_switch(
    browser: Browser, tmp_path: Path, left_out: str
) -> None:
    browser.open(write(tmp_path, "-f", "examples/shop", left_out), "#/map?new=1")
    assert browser.run(SWITCH) is None
    assert not set(browser.run(ROWS)) & NEW


def test_a_link_shows_them_in_the_page_of_a_server(browser: Browser, tmp_path: Path) -> None:
    with served_copy(browser, tmp_path):
        browser.go("#/map?new=1")
        browser.wait(f"{ROWS}.includes('shop/+')")
        assert set(browser.run(ROWS)) >= NEW
