"""What a page says that only one policy allows is what the engine allows for its rules alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import pytest

from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.report import Report, report
from tests.cli.session import ROOT
from tests.support.random_clusters import TIERS, Size, random_cluster
from tests.web.chromium import Browser
from tests.web.pages import EXAMPLES, answers, indices, write, write_cluster
from tests.web.test_answers import all_pairs_of

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

ALL = """
podfence.rules().then(({ policies }) => Promise.all(policies.map(async (each) => [
  each.namespace ? `${each.namespace}/${each.name}` : each.name,
  await podfence.owed(each.kind, each.namespace, each.name),
])))
"""
Probe = tuple[str, str, int, int]
"""From, to, IP version and index on the line of ports."""


def expected(found: Report, asked: list[int]) -> dict[str, set[Probe]]:
    """By policy: the connections that are allowed, and in one direction by its rules alone."""
    owed: dict[str, set[Probe]] = defaultdict(set)
    for each in answers(found, all_pairs_of(found), asked):
        if not each["allowed"]:
            continue
        probe = each["from"], each["to"], each["family"], each["index"]
        for _, reason, origins in (each["egress"], each["ingress"]):
            policies = {policy for policy, _ in origins}
            if reason == "rule" and len(policies) == 1:
                owed[policies.pop()].add(probe)
    return dict(owed)


def shown(browser: Browser, found: Report, asked: list[int]) -> dict[str, set[Probe]]:
    known = {(a, b, c, d) for a, b, c, d in _asked(found, asked)}
    said: dict[str, set[Probe]] = defaultdict(set)
    for policy, owed in browser.run(ALL):
        for each in owed:
            for family in (4, 6):
                if each["family"] in (0, family):
                    said[policy] |= {
                        (each["from"], each["to"], family, at)
                        for at in asked
                        if _holds(each["ports"], at)
                        and (each["from"], each["to"], family, at) in known
                    }
    return {policy: found for policy, found in said.items() if found}


def _asked(found: Report, asked: list[int]) -> list[Probe]:
    said = answers(found, all_pairs_of(found), asked)
    return [(each["from"], each["to"], each["family"], each["index"]) for each in said]


def _holds(ports: list[int], at: int) -> bool:
    return any(low <= at <= high for low, high in zip(ports[::2], ports[1::2], strict=True))


def compare(browser: Browser, found: Report) -> int:
    rules: dict[str, Any] = browser.run("podfence.rules()")
    asked = indices(rules, 16)
    wanted = expected(found, asked)
    assert shown(browser, found, asked) == wanted
    return len(wanted)


@pytest.mark.parametrize("example", EXAMPLES)
def test_of_every_example(browser: Browser, tmp_path: Path, example: str) -> None:
    browser.open(write(tmp_path, "-f", example))
    found = report(compile_cluster(load([str(ROOT / example)]).cluster))
    compare(browser, found)


@pytest.mark.parametrize("size", [Size(3, 8, 6), TIERS], ids=["policies", "tiers"])
@pytest.mark.parametrize("seed", range(4))
def test_of_random_clusters(browser: Browser, tmp_path: Path, seed: int, size: Size) -> None:
    page, found = write_cluster(tmp_path, random_cluster(Random(seed), size))
    browser.open(page)
    compare(browser, found)


def test_a_policy_of_the_shop_says_what_hangs_on_it(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path, "-f", "examples/shop"), "#/policies?policy=NetworkPolicy/shop/db")
    browser.wait("document.querySelector('.policy h3') !== null")
    owed = "[...document.querySelectorAll('.policy tbody tr')].map((e) => e.innerText)"
    assert browser.run(owed) == ["shop/backend\tshop/db\tTCP/5432"]
    browser.run("document.querySelector('.policy tbody a').click()")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    assert browser.text(".panel .verdict") == "yes: TCP/5432"


def test_a_policy_without_rules_owes_nothing_to_say(browser: Browser, tmp_path: Path) -> None:
    page = write(tmp_path, "-f", "examples/shop")
    browser.open(page, "#/policies?policy=NetworkPolicy/shop/default-deny")
    browser.wait("document.querySelector('.policy h3') !== null")
    assert "Only it allows" not in browser.text(".policy")


NONE = "\N{EN DASH}"


def test_the_list_counts_what_hangs_on_each(browser: Browser, tmp_path: Path) -> None:
    """As many as the page of the policy has lines; none where no rule allows anything."""
    browser.open(write(tmp_path, "-f", "examples/shop"), "#/policies")
    cells = (
        "[...document.querySelectorAll('tbody tr')]"
        ".map((e) => [e.cells[0].innerText, e.cells[4].innerText])"
    )
    browser.wait(f"{cells}.length > 0 && {cells}.every(([, owed]) => owed !== '…')")
    counted = dict(browser.run(cells))
    assert counted["shop/default-deny"] == NONE
    assert counted["shop/db"] == "1"
    for name, owed in counted.items():
        if owed == NONE:
            continue
        browser.go(f"#/policies?policy=NetworkPolicy/{name}")
        browser.wait("document.querySelector('.policy h3') !== null")
        lines = browser.run("document.querySelectorAll('.policy tbody tr').length")
        assert int(owed) == lines
        assert int(owed) <= 20
