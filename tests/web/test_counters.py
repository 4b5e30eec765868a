"""The page of counters in a browser: what agents count, what is not there, and hostile names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podfence.agent.fleet import NodeReply
from podfence.agent.nodereport import ConditionReport, NodeReport, PacketTally
from podfence.render.counters import page_data
from podfence.usage.record import NodeUsage, PolicyUse, RuleUse
from podfence.web.agentnews import AgentNews
from tests.cli.test_serve_drops import serving_news
from tests.support.serving import Serving
from tests.web.chromium import Browser
from tests.web.test_page import MARKUP

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

DASH = "\u2013"
NODES = (
    NodeReport(
        "worker-1",
        in_sync=True,
        uptime=7300.0,
        epoch=3,
        pods=12,
        denied=(
            PacketTally("ingress", "policy", 1234, 74040),
            PacketTally("any", "closed", 3, 180),
            PacketTally("egress", "audit", 9, 540),
        ),
    ),
    NodeReport(
        "worker-2",
        in_sync=True,
        pods=4,
        conditions=(ConditionReport("KernelRefused", "i_1", "no", 130.0, ("shop/a",)),),
        denied=(PacketTally("ingress", "policy", 6, 360),),
    ),
)


RULES = NodeUsage(
    "worker-1",
    "2026-01-01T08:00:00.1Z",
    looks=9,
    cut=1,
    policies=(
        PolicyUse(
            "NetworkPolicy",
            "shop/db",
            "u",
            1,
            "2026-01-01T08:00:00.1Z",
            (
                RuleUse("spec.ingress[0]", 1021, "2026-01-01T10:00:00.1Z"),
                RuleUse("spec.ingress[1]"),
            ),
        ),
    ),
)


def lines(browser: Browser, table: int = 0) -> Any:
    return browser.run(
        f"[...document.querySelectorAll('.counters table')[{table}].rows]"
        ".map((row) => [...row.cells].map((cell) => cell.innerText.split('\\n')[0]))"
    )


def test_of_files_it_says_what_is_not_there(browser: Browser) -> None:
    with Serving("-f", "examples/shop") as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        browser.visit(server.address)
        browser.go("#/counters")
        browser.wait(
            "document.querySelector('main h2')?.textContent === 'There are no counters to show'"
        )
        assert "shows files" in browser.text("main")
        browser.leave()


def test_a_node_is_a_line_and_all_are_summed_below(browser: Browser, tmp_path: Path) -> None:
    told = [NodeReply(each.node, each) for each in NODES]
    data = page_data(
        [*told, NodeReply("worker-3", None, "no agent runs there")], [NodeReply("worker-1", RULES)]
    )
    with serving_news(tmp_path, AgentNews("counters", lambda: data)) as bound:
        browser.own = (f"http://127.0.0.1:{bound.port}/",)
        browser.visit(bound.address)
        browser.go("#/counters")
        browser.wait("document.querySelectorAll('.counters table').length === 2")
        _, ill, silent, well, total = lines(browser)
        assert (ill[0], ill[5], ill[6]) == ("worker-2", "1", "6")
        assert (silent[0], silent[1], silent[6:]) == ("worker-3", "no answer", [DASH] * 4)
        assert well[6:] == ["1,234", "0", "3", "9"]
        assert total == ["All nodes that report", "1,240", "0", "3", "9"]
        text = browser.text(".counters")
        assert "KernelRefused i_1 for 2m: no" in text
        assert "1 of 9 looks saw only a part of the connections" in text
        used, never = lines(browser, 1)[1:]
        assert used[:4] == ["shop/db", "spec.ingress[0]", "1,021", "2026-01-01T10:00:00Z"]
        assert never[:4] == ["shop/db", "spec.ingress[1]", "0", "never"]
        browser.go("#/counters?unused=1")
        assert lines(browser, 1)[1:] == [never]
        browser.go("#/counters?q=worker-1")
        assert [row[0] for row in lines(browser)[1:-1]] == ["worker-1"]
        browser.leave()


def test_words_of_agents_are_text(browser: Browser, tmp_path: Path) -> None:
    nodes = [
        NodeReply(f"{number}{each}", NodeReport(each, denied=(PacketTally(each, each, 1, 1),)))
        for number, each in enumerate(MARKUP)
    ]
    data = page_data(nodes)
    with serving_news(tmp_path, AgentNews("counters", lambda: data)) as bound:
        browser.own = (f"http://127.0.0.1:{bound.port}/",)
        browser.visit(bound.address)
        browser.go("#/counters")
        browser.wait(f"document.querySelectorAll('.counters tbody tr').length === {len(MARKUP)}")
        assert browser.run("globalThis.sprung") is None
        foreign = "document.querySelectorAll('#app :is(script, iframe, svg, style, img)').length"
        assert browser.run(foreign) == 0
        browser.leave()
