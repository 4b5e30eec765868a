"""What fails, under traffic: no packet passes that should not, and none is lost that should pass.

``PODFENCE_FAULTS``: rounds of each fault (a few by default); ``atlength`` mixes them for as long as
one likes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.agent.cluster import Cluster
from tests.agent.faults import FAULTS, Day, Fault
from tests.agent.network import PATIENCE, Node, node
from tests.agent.traffic import Flow, Traffic, traffic
from tests.agent.watched import DB, FAR, WEB
from tests.apiserver.server import ApiServer
from tests.support.tableedits import EDITS

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(1200)]

ROUNDS = int(os.environ.get("PODFENCE_FAULTS", "2"))
MANY = 1000
MINUTE = 60.0


@pytest.fixture
def day(here: Node, cluster: Cluster, apiserver: ApiServer) -> Iterator[Day]:
    made = Day(here, cluster, apiserver, Random(7))
    yield made
    made.end()


def assert_right(found: Traffic, *, at_least: int = 200) -> None:
    wrong = found.wrong()
    print(f"\n{found.judged()} packets judged, {sum(wrong.values())} wrong")
    assert not wrong, (wrong, found.judged())
    assert found.judged() > at_least


CASES = [
    pytest.param(fault, id=fault.name, marks=[pytest.mark.slow] if fault.slow else [])
    for fault in FAULTS
]


@pytest.mark.parametrize("fault", CASES)
def test_a_fault(day: Day, fault: Fault) -> None:
    if fault.needs is not None and (missing := fault.needs(day)):
        pytest.skip(missing)
    with traffic(*day.flows()) as packets:
        day.settle()
        for _ in range(1 if fault.slow else ROUNDS):
            fault.do(day)
            day.settle()
            time.sleep(0.2)
    assert_right(packets)
    found = {line["condition"] for line in day.agent.lines("condition")}
    assert found <= fault.conditions


@pytest.mark.parametrize("edit", EDITS, ids=" ".join)
def test_rules_that_are_edited_by_hand(day: Day, edit: tuple[str, ...]) -> None:
    with traffic(*day.flows()) as packets:
        day.settle()
        with day.unknown():
            day.watched.after_commit(partial(day.node.nft, *edit))
        time.sleep(0.5)
    assert_right(packets)


@pytest.mark.slow
def test_the_server_is_away_for_a_minute(day: Day) -> None:
    """What changes meanwhile is not known here; afterwards it is taken in, and people were told."""
    with traffic(*day.flows()) as packets:
        day.settle()
        day.node.relay.cut()
        day.cluster.policy("db", DB, FAR)
        time.sleep(MINUTE)
        day.cluster.policy("db", DB, WEB)
        day.node.relay.mend()
        day.agent.wait_for("condition ended")
        day.settle()
    assert_right(packets)
    assert {line["condition"] for line in day.agent.lines("condition")} == {"ApiUnreachable"}


@pytest.mark.slow
def test_a_thousand_pods_are_created_and_deleted_at_once(day: Day) -> None:
    """A quarter of them here; nobody else notices."""
    flows = (day.watched.kept, day.watched.denied, day.extra)
    with traffic(*flows) as packets, ThreadPoolExecutor(8) as threads:
        day.settle()
        clusters = [Cluster(day.server.admin, day.cluster.namespace) for _ in range(8)]

        def create(lane: int) -> None:
            for number in range(lane, MANY, 8):
                where = day.node.name if number % 4 == 0 else "another"
                address = f"{day.node.prefix}.{2 + number // 200}.{1 + number % 200}"
                clusters[lane].pod(f"many-{number}", where, address, WEB if number % 2 else FAR)

        def delete(lane: int) -> None:
            for number in range(lane, MANY, 8):
                clusters[lane].delete_pod(f"many-{number}")

        for work in (create, delete):
            for done in [threads.submit(work, lane) for lane in range(8)]:
                done.result()
        day.watched.until_same(day.base)
        time.sleep(0.5)
        for each in clusters:
            each.admin.close()
    assert_right(packets)
    assert day.agent.lines("condition") == []


def test_a_node_is_torn_down_and_comes_up_while_the_server_is_away(
    here: Node, cluster: Cluster, tmp_path: Path
) -> None:
    """Its pods run before anybody can say what they may: they are closed until somebody does."""
    cluster.policy("db", DB, WEB)
    here.agent("--http-port", "0")
    here.becomes(True, "web", "db")
    here.becomes(False, "far", "db")
    here.close()
    with node(here.name, tmp_path / "again", here.kubeconfig) as again:
        again.relay.cut()
        prefix = here.prefix
        agent = again.agent("--http-port", "0", "--pod-cidr", f"{prefix}.0.0/24", wait=False)
        until = time.monotonic() + PATIENCE
        while again.rules() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(0.1)
        pods = [again.add(n, f"{prefix}.{a}") for n, a in (("web", "0.1"), ("db", "0.2"))]
        far = again.add("far", f"{prefix}.1.1")
        kept, denied = Flow(1, *pods), Flow(2, far, pods[1])
        with traffic(kept, denied) as packets:
            kept.expect(False)
            denied.expect(False)
            time.sleep(0.5)
            kept.expect(None)
            again.relay.mend()
            agent.wait_for("in sync")
            kept.expect(True)
            time.sleep(0.5)
        assert_right(packets)
