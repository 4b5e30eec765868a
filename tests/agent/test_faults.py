"""What fails, under traffic: no packet passes that should not, and none is lost that should pass.

``PODFENCE_FAULTS``: rounds of each fault (a few by default).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from podfence.nft.lowering.lower import TABLE
from tests.agent.cluster import Cluster
from tests.agent.network import Node
from tests.agent.traffic import Traffic, traffic
from tests.agent.watched import DB, FAR, WEB, Watched, same
from tests.apiserver.server import ApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(1200)]

ROUNDS = int(os.environ.get("PODFENCE_FAULTS", "3"))


@pytest.fixture
def watched(here: Node, cluster: Cluster) -> Iterator[Watched]:
    cluster.policy("db", DB, WEB)
    made = Watched(here, cluster)
    yield made
    made.end()


def assert_right(found: Traffic, *, at_least: int = 200) -> None:
    wrong = found.wrong()
    print(f"\n{found.judged()} packets judged, {sum(wrong.values())} wrong")
    assert not wrong, (wrong, found.judged())
    assert found.judged() > at_least


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "rolling update"])
def test_an_agent_that_is_started_again(watched: Watched, number: signal.Signals) -> None:
    agent = watched.node.agent()
    with traffic(*watched.flows) as packets:
        watched.settle()
        for _ in range(ROUNDS):
            agent.end(number)
            agent = watched.node.agent()
            assert agent.wait_for("in sync")["operations"] == 0
        time.sleep(0.2)
    assert_right(packets)


def test_changes_while_no_agent_is_there(watched: Watched) -> None:
    """What ended meanwhile ends with the first write of the next agent."""
    extra = watched.flow("far", "web")
    watched.node.agent().end(signal.SIGKILL)
    with traffic(*watched.flows) as packets:
        watched.settle()
        extra.expect(True)
        for _ in range(ROUNDS):
            watched.cluster.policy("web", WEB, None)
            time.sleep(0.2)
            extra.expect(None)
            agent = watched.node.agent()
            extra.expect(False)
            time.sleep(0.3)
            extra.expect(None)
            watched.after_commit(lambda: watched.cluster.delete_policy("web"))
            extra.expect(True)
            time.sleep(0.2)
            agent.end(signal.SIGKILL)
    assert_right(packets)


def test_the_server_is_away(watched: Watched) -> None:
    watched.node.agent()
    with traffic(*watched.flows) as packets:
        watched.settle()
        for _ in range(ROUNDS):
            watched.node.relay.cut()
            watched.cluster.policy("db", DB, FAR)
            time.sleep(2)
            watched.cluster.policy("db", DB, WEB)
            watched.node.relay.mend()
            time.sleep(1)
    assert_right(packets)


def test_the_server_is_killed_and_compacted(watched: Watched, apiserver: ApiServer) -> None:
    agent = watched.node.agent()
    with traffic(*watched.flows) as packets:
        watched.settle()
        for _ in range(max(1, ROUNDS // 3)):
            apiserver.kill_apiserver()
            apiserver.compact()
            apiserver.start_apiserver()
            watched.cluster.pod(f"late-{time.monotonic_ns()}", "another", "10.99.0.1")
            time.sleep(1)
    assert_right(packets)
    assert agent.end() == 0


def test_a_policy_is_replaced_again_and_again(watched: Watched) -> None:
    """Each time one permission ends and another begins; the one of both never pauses."""
    both = watched.flow("web", "far")
    watched.node.add("late", f"{watched.node.prefix}.0.3")
    watched.cluster.pod("late", watched.node.name, f"{watched.node.prefix}.0.3", {"app": "late"})
    late = watched.flow("late", "db")
    agent = watched.node.agent()
    with traffic(*watched.flows) as packets:
        watched.denied.expect(False)
        both.expect(True)
        allowed, other = watched.kept, late
        allowed.expect(True)
        other.expect(False)
        for _ in range(10 * ROUNDS):
            allowed.expect(None)
            other.expect(None)
            app = "late" if allowed is watched.kept else "web"
            watched.after_commit(partial(watched.cluster.policy, "db", DB, {"app": app}))
            allowed, other = other, allowed
            allowed.expect(True)
            other.expect(False)
            time.sleep(0.02)
    assert_right(packets)
    assert agent.lines("condition") == []


def test_labels_change(watched: Watched) -> None:
    watched.node.agent()
    with traffic(*watched.flows) as packets:
        watched.settle()
        for _ in range(3 * ROUNDS):
            watched.kept.expect(None)
            watched.after_commit(lambda: watched.cluster.relabel("web", {"app": "other"}))
            watched.kept.expect(False)
            time.sleep(0.05)
            watched.kept.expect(None)
            watched.after_commit(lambda: watched.cluster.relabel("web", {"app": "web"}))
            watched.kept.expect(True)
            time.sleep(0.05)
    assert_right(packets)


def test_an_address_is_given_to_another_pod(watched: Watched) -> None:
    """Whoever has the address now, connections of the pod that had it end."""
    node, cluster = watched.node, watched.cluster
    address = f"{node.prefix}.0.7"
    node.add("mover", address)
    mover = watched.flow("mover", "db")
    cluster.pod("friend", node.name, address, WEB)
    node.agent()
    with traffic(*watched.flows) as packets:
        watched.settle()
        for _ in range(ROUNDS):
            mover.expect(True)
            time.sleep(0.2)
            mover.expect(None)
            watched.after_commit(lambda: cluster.delete_pod("friend"))
            cluster.pod("stranger", node.name)
            watched.after_commit(lambda: cluster.address("stranger", address))
            mover.expect(False)
            time.sleep(0.2)
            cluster.delete_pod("stranger")
            time.sleep(0.2)
            mover.expect(None)
            cluster.pod("friend", node.name, address, WEB)
            node.becomes(True, "mover", "db", 8999)
    assert_right(packets)


def test_many_pods_come_and_go_at_once(watched: Watched) -> None:
    node, cluster = watched.node, watched.cluster
    agent = node.agent()
    count = 100 * ROUNDS
    with traffic(*watched.flows) as packets:
        watched.settle()
        for number in range(count):
            where = node.name if number % 4 == 0 else "another"
            low = f"{node.prefix}.{2 + number // 200}.{1 + number % 200}"
            cluster.pod(f"many-{number}", where, low, WEB if number % 2 else FAR)
        for number in range(count):
            cluster.delete_pod(f"many-{number}")
    assert_right(packets)
    assert agent.lines("condition") == []


def test_a_table_that_is_deleted_by_hand(watched: Watched) -> None:
    """Until it is mended nothing is enforced; what was allowed all along never pauses."""
    watched.node.agent()
    opened: list[float] = []
    delete = partial(watched.node.nft, "delete", "table", "inet", TABLE)
    with traffic(*watched.flows) as packets:
        watched.settle()
        for _ in range(ROUNDS):
            time.sleep(0.3)
            watched.denied.expect(None)
            begin = time.monotonic()
            watched.after_commit(delete)
            opened.append(time.monotonic() - begin)
            watched.denied.expect(False)
        time.sleep(0.3)
    print(
        f"\nmended after {sorted(round(1000 * each) for each in opened)} ms, nft's start included"
    )
    assert_right(packets)


def test_rules_that_are_edited_by_hand(watched: Watched) -> None:
    watched.node.agent()
    edits = [
        ("add", "rule", "inet", TABLE, "input", "counter"),
        ("insert", "rule", "inet", TABLE, "forward", "accept"),
        ("flush", "chain", "inet", TABLE, "ingress"),
        ("flush", "table", "inet", TABLE),
        ("flush", "map", "inet", TABLE, "in4"),
    ]
    with traffic(*watched.flows) as packets:
        watched.settle()
        expected = watched.node.rules()
        assert expected is not None
        for edit in edits:
            for flow in watched.flows:
                flow.expect(None)
            watched.after_commit(partial(watched.node.nft, *edit))
            watched.settle()
            assert same(watched.node, expected), edit
            time.sleep(0.2)
    assert_right(packets)
