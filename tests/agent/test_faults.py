"""What fails, under traffic: no packet passes that should not, and none is lost that should pass.

Rule: a permission that ends, ends with the kernel's commit: from the moment in which the kernel
told of it, not one packet passes. ``PODFENCE_FAULTS``: rounds of each fault (a few by default).
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from podfence.kernel.nftables.notices import Notices
from podfence.nft.lowering.epoch import with_epoch
from podfence.nft.lowering.lower import TABLE
from podfence.nft.ruleset import Ruleset
from tests.agent.cluster import Cluster
from tests.agent.network import PATIENCE, Node
from tests.agent.traffic import Flow, Traffic, traffic
from tests.apiserver.server import ApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(1200)]

ROUNDS = int(os.environ.get("PODFENCE_FAULTS", "3"))
DB, WEB, FAR = {"app": "db"}, {"app": "web"}, {"app": "far"}


class Watched:
    """A node under traffic. Of the pods, ``web`` may reach ``db``, and ``far`` may not."""

    def __init__(self, node: Node, cluster: Cluster) -> None:
        self.node = node
        self.cluster = cluster
        pods = node.pods
        self.kept = Flow(1, pods["web"], pods["db"])
        self.denied = Flow(2, pods["far"], pods["db"])
        self.flows = [self.kept, self.denied]
        self._commits = 0
        self._seen = threading.Condition()
        self._notices = Notices(TABLE, node.namespace)
        self._ended = False
        self._counting = threading.Thread(target=self._count, daemon=True)
        self._counting.start()

    def flow(self, source: str, target: str) -> Flow:
        """One more, before the traffic starts."""
        found = Flow(len(self.flows) + 1, self.node.pods[source], self.node.pods[target])
        self.flows.append(found)
        return found

    def settle(self) -> None:
        """From now on what the policy says is expected."""
        self.kept.expect(True)
        self.denied.expect(False)

    def after_commit(self, change: Callable[[], object]) -> None:
        """Make a change, and wait until the kernel has told of a commit of the agent's.

        The table of a commit that is under way can be read before all of it holds.
        """
        with self._seen:
            before = self._commits
        change()
        with self._seen:
            assert self._seen.wait_for(lambda: self._commits > before, PATIENCE)

    def _count(self) -> None:
        while not self._ended:
            found = self._notices.wait(0.5)
            if found is not None and found.process != "nft":
                with self._seen:
                    self._commits += 1
                    self._seen.notify_all()

    def end(self) -> None:
        self._ended = True
        self._counting.join(PATIENCE)
        self._notices.close()


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
            assert _same(watched.node, expected), edit
            time.sleep(0.2)
    assert_right(packets)


def _same(node: Node, expected: Ruleset) -> bool:
    found = node.rules()
    return found is not None and with_epoch(found, 1) == with_epoch(expected, 1)
