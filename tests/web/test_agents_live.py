"""The pages of drops and of counters with real agents: two nodes of a real API server, asked
through its proxy, and packets that their kernels deny."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from podfence.kernel import netns
from podfence.kernel.rtnetlink import Rtnetlink, link_up
from tests.agent.cluster import POLICIES, Cluster
from tests.agent.conftest import admin, apiserver, cluster, crds, kubeconfig, namespace, newest
from tests.agent.network import PATIENCE
from tests.agent.test_status import Fleet, fleet
from tests.support.serving import Serving
from tests.web.chromium import Browser

__all__ = ["admin", "apiserver", "cluster", "crds", "fleet", "kubeconfig", "namespace", "newest"]
pytestmark = [
    pytest.mark.web,
    pytest.mark.apiserver,
    pytest.mark.kernel,
    pytest.mark.timeout(300),
]

ALLOWED = 5433
DENIED = 5432


def policy(cluster: Cluster) -> None:
    """Nobody may send anything but to one port."""
    rule = {"ports": [{"protocol": "UDP", "port": ALLOWED}]}
    spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}
    body = {"metadata": {"name": "closed"}, "spec": spec}
    cluster.admin.create(POLICIES.format(cluster.namespace), body)


@pytest.fixture
def page(fleet: Fleet, cluster: Cluster, browser: Browser) -> Iterator[Browser]:
    """The served page of a cluster of two nodes, each with two pods that are told apart."""
    policy(cluster)
    for number, node in enumerate((fleet.one, fleet.two)):
        for last in (1, 2):
            cluster.pod(f"p{number}{last}", node, f"127.1.{number}.{last}")
    where = ["--agent-namespace", cluster.namespace, "-n", cluster.namespace]
    with Serving(*where, "--kubeconfig", str(fleet.kubeconfig)) as server:
        browser.own = (f"http://127.0.0.1:{server.port}/",)
        browser.visit(server.address)
        yield browser
        browser.leave()


def send(fleet: Fleet, node: int, port: int) -> None:
    """A packet between two pods of a node that are its own addresses."""
    with netns.inside(fleet.namespaces[node]), Rtnetlink() as links:
        links.apply([link_up(1)], of="node")
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender, suppress(OSError):  # nobody listens there
        sender.bind((f"127.1.{node}.1", 0))
        sender.sendto(b"x", (f"127.1.{node}.2", port))


def until(page: Browser, fleet: Fleet, cluster: Cluster, condition: str) -> None:
    """Packets are sent until the page says so."""
    end = time.monotonic() + PATIENCE
    while not page.run(condition):
        assert time.monotonic() < end, page.text("main")
        for number in (0, 1):
            for port in (DENIED, ALLOWED):
                send(fleet, number, port)
        time.sleep(0.5)


def test_what_two_kernels_deny_is_on_the_page_with_its_reason(
    page: Browser, fleet: Fleet, cluster: Cluster
) -> None:
    page.go("#/drops")
    rows = (
        "[...document.querySelectorAll('.drops tbody tr')]"
        ".map((row) => [...row.cells].slice(2).map((each) => each.innerText))"
    )
    until(page, fleet, cluster, f"{rows}.length >= 2")
    space = cluster.namespace
    told = page.run(rows)
    ends = {(f"{space}/p{number}1", f"{space}/p{number}2", f"UDP/{DENIED}") for number in (0, 1)}
    assert {tuple(row[:3]) for row in told} == ends
    assert all(f"isolated by {space}/closed" in row[3] for row in told)
    page.run("document.querySelector('.drops tbody a').click()")
    page.wait("document.querySelector('.panel .verdict') !== null")
    assert page.text(".panel .verdict") == f"no: UDP/{DENIED}"
    assert f"{space}/closed" in page.text(".panel .deciding")


def test_what_two_kernels_count_is_on_the_page_by_node_and_by_rule(
    page: Browser, fleet: Fleet, cluster: Cluster
) -> None:
    page.go("#/counters")
    leaving = "[...document.querySelectorAll('.counters table')][0]"
    counted = (
        f"{leaving} !== undefined && [...{leaving}.querySelectorAll('tbody tr')]"
        ".every((row) => parseInt(row.cells[7].innerText) > 0)"
    )
    until(page, fleet, cluster, counted)
    text = page.text(".counters")
    for node in (fleet.one, fleet.two):
        assert node in text
    assert "in sync" in text
    used = (
        "[...document.querySelectorAll('.counters table')[1].querySelectorAll('tbody tr')]"
        ".map((row) => [...row.cells].slice(0, 3).map((each) => each.innerText))"
    )
    until(page, fleet, cluster, f"{used}.some(([, , uses]) => uses !== '0')")
    [[name, path, _]] = page.run(used)
    assert (name, path) == (f"{cluster.namespace}/closed", "spec.egress[0]")


def test_an_agent_that_ends_is_said(page: Browser, fleet: Fleet, cluster: Cluster) -> None:
    page.go("#/counters")
    page.wait(f"document.querySelector('.counters')?.innerText.includes({fleet.two!r})")
    agent = fleet.agents[fleet.two].process
    agent.kill()
    agent.wait()
    page.wait("document.querySelector('.counters').innerText.includes('no answer')")
    assert fleet.two in page.text(".counters .unwell")
