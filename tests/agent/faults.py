"""Faults, one function each: what is done to a node under traffic, and what is expected meanwhile.

Rule: a fault leaves everything as it was: ``web`` reaches ``db``, ``far`` does not, and the table
is the one of before. What happens while nobody can know is not judged, and nothing else.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from random import Random

from msgspec import Struct

from podfence.nft.lowering.lower import TABLE
from podfence.nft.ruleset import Ruleset
from tests.agent import conntrack
from tests.agent.cluster import Cluster
from tests.agent.network import Agent, Node
from tests.agent.traffic import Flow
from tests.agent.watched import DB, FAR, WEB, Watched
from tests.apiserver.server import ApiServer
from tests.support.tableedits import EDITS

QUIET = 0.1
"""Seconds in which packets pass between two steps of a fault."""
CLOCKS = (0, 3600, -3600, 10 * 365 * 86400, -5 * 365 * 86400)
"""Seconds by which the time of the day may be off."""


class Day:
    """A node with an agent that runs, and one that has an address that others may get: ``mover``
    is what has it, whatever the API calls it."""

    def __init__(self, node: Node, cluster: Cluster, server: ApiServer, rng: Random) -> None:
        self.node, self.cluster, self.server, self.rng = node, cluster, server, rng
        node.clock.write_text("0")
        cluster.policy("db", DB, WEB)
        self.movers = f"{node.prefix}.0.7"
        node.add("mover", self.movers)
        cluster.pod("friend", node.name, self.movers, WEB)
        self.watched = Watched(node, cluster)
        self.mover = self.watched.flow("mover", "db")
        self.extra = self.watched.flow("far", "web")
        self.agent: Agent = self.new_agent()
        self.base = self._base()
        self.count = 0

    def new_agent(self) -> Agent:
        """Start one, and wait until it is in sync."""
        return self.node.agent("--http-port", "0", jumping=True)

    def start_again(self) -> None:
        """Start the next; nothing has changed, and it writes nothing."""
        self.agent = self.new_agent()
        assert self.agent.wait_for("in sync")["operations"] == 0, self.agent.log()

    def flows(self) -> dict[Flow, bool]:
        """What is to be expected of each while nothing happens."""
        watched = self.watched
        return {watched.kept: True, watched.denied: False, self.mover: True, self.extra: True}

    def settle(self) -> None:
        """Everything is as it was."""
        self.watched.until_same(self.base)
        for flow, value in self.flows().items():
            flow.expect(value)

    def become(self, expected: Mapping[Flow, bool], change: Callable[[], object]) -> None:
        """A change, and what is expected of flows from its commit on."""
        for flow in expected:
            flow.expect(None)
        self.watched.after_commit(change)
        for flow, value in expected.items():
            flow.expect(value)

    @contextmanager
    def unknown(self) -> Iterator[None]:
        """Nothing is expected for the time of a ``with``."""
        for flow in self.flows():
            flow.expect(None)
        yield
        self.settle()

    def _base(self) -> Ruleset:
        """The table once it moves no more."""
        before = None
        while (found := self.node.rules()) != before or found is None:
            before = found
            time.sleep(0.5)
        return found

    def end(self) -> None:
        self.watched.end()


def killed(day: Day) -> None:
    day.agent.end(signal.SIGKILL)
    day.start_again()


def ended(day: Day) -> None:
    assert day.agent.end() == 0
    day.start_again()


def updated(day: Day) -> None:
    """The new agent comes before the old one has gone: it is refused, and the old one goes on."""
    late = day.node.agent("--http-port", "0", wait=False, jumping=True)
    assert late.process.wait(60) == 2
    assert day.agent.process.poll() is None
    ended(day)


def changed_meanwhile(day: Day) -> None:
    """What ended while no agent was there ends with the first write of the next."""
    day.agent.end(signal.SIGKILL)
    day.cluster.policy("web", WEB, None)
    time.sleep(QUIET)
    day.extra.expect(None)
    day.mover.expect(None)
    day.agent = day.new_agent()
    day.extra.expect(False)
    day.mover.expect(True)
    time.sleep(QUIET)
    day.watched.becomes(day.extra, True, partial(day.cluster.delete_policy, "web"))


def server_away(day: Day) -> None:
    """What changes meanwhile is in force when it is back."""
    day.node.relay.cut()
    day.cluster.policy("db", DB, FAR)
    time.sleep(10 * QUIET)
    expected = {day.watched.kept: False, day.mover: False, day.watched.denied: True}
    day.become(expected, day.node.relay.mend)
    time.sleep(QUIET)
    expected = {flow: not value for flow, value in expected.items()}
    day.become(expected, partial(day.cluster.policy, "db", DB, WEB))


def compacted(day: Day) -> None:
    """While it is away etcd forgets what there was: all is listed again."""
    day.node.relay.cut()
    name = _name(day)
    day.cluster.pod(name, "another", "10.99.0.1")
    day.cluster.delete_pod(name)
    day.server.compact()
    time.sleep(QUIET)
    day.node.relay.mend()
    time.sleep(5 * QUIET)


def server_killed(day: Day) -> None:
    day.server.kill_apiserver()
    day.server.compact()
    time.sleep(QUIET)
    day.server.start_apiserver()


def policy_replaced(day: Day) -> None:
    """What ends, ends with the commit; what both allow never pauses."""
    for sources in (FAR, WEB):
        is_far = sources is FAR
        expected = {day.watched.kept: not is_far, day.mover: not is_far, day.watched.denied: is_far}
        day.become(expected, partial(day.cluster.policy, "db", DB, sources))
        time.sleep(QUIET / 2)


def labels_changed(day: Day) -> None:
    relabel = partial(day.cluster.relabel, "web")
    day.watched.becomes(day.watched.kept, False, partial(relabel, {"app": "other"}))
    time.sleep(QUIET / 2)
    day.watched.becomes(day.watched.kept, True, partial(relabel, WEB))


def namespace_changed(day: Day) -> None:
    """A policy asks for a label of the namespace, which gets it and loses it again."""
    label = {"team": _name(day)}
    cluster = day.cluster
    steps: tuple[tuple[bool, Callable[[], None]], ...] = (
        (False, partial(cluster.policy, "db", DB, WEB, label)),
        (True, partial(cluster.relabel_namespace, label)),
        (False, partial(cluster.relabel_namespace, {"team": None})),
        (True, partial(cluster.policy, "db", DB, WEB)),
    )
    for passes, change in steps:
        day.become({day.watched.kept: passes, day.mover: passes}, change)
        time.sleep(QUIET / 2)


def address_reused(day: Day) -> None:
    """Whoever has the address now, connections of the pod that had it end."""
    day.mover.expect(None)
    day.watched.after_commit(partial(day.cluster.delete_pod, "friend"))
    stranger = _name(day)
    day.cluster.pod(stranger, day.node.name)
    day.watched.after_commit(partial(day.cluster.address, stranger, day.movers))
    day.mover.expect(False)
    day.extra.expect(True)
    time.sleep(QUIET)
    day.watched.after_commit(partial(day.cluster.delete_pod, stranger))
    time.sleep(QUIET)
    day.mover.expect(None)
    day.cluster.pod("friend", day.node.name, day.movers, WEB)


def many_pods(day: Day) -> None:
    """Created at once, and deleted at once."""
    names = [f"{_name(day)}-{number}" for number in range(40)]
    for number, name in enumerate(names):
        where = day.node.name if number % 4 == 0 else "another"
        address = f"{day.node.prefix}.{2 + number // 200}.{1 + number % 200}"
        day.cluster.pod(name, where, address, WEB if number % 2 else FAR)
    for name in names:
        day.cluster.delete_pod(name)
    day.watched.rest()


def table_deleted(day: Day) -> None:
    """Until it is mended nothing is enforced; what was allowed never pauses. A packet may be lost
    in the moment of the deletion: for some 0.1 ms the kernel has the rules, and no elements."""

    def delete() -> None:
        day.node.nft("delete", "table", "inet", TABLE)
        for flow, value in day.flows().items():
            flow.expect(value or None)

    for flow in day.flows():
        flow.expect(None)
    day.watched.after_commit(delete)
    day.watched.denied.expect(False)


def table_edited(day: Day) -> None:
    with day.unknown():
        day.watched.after_commit(partial(day.node.nft, *day.rng.choice(EDITS)))


def edited_and_changed(day: Day) -> None:
    """What the agent is about to change is not what it believes: the kernel refuses the change,
    the table is read back, and the change is made after all."""
    with day.unknown():
        day.node.nft("flush", "map", "inet", TABLE, "in4")
        day.cluster.relabel("web", {"app": "other"})
        time.sleep(QUIET)
        day.cluster.relabel("web", WEB)
        time.sleep(QUIET)


def connections_full(day: Day) -> None:
    """The kernel loses new connections; nothing that is denied passes, and what is revoked ends."""
    namespace = day.node.namespace
    for flow, value in day.flows().items():
        flow.expect(None if value else False)
    conntrack.fill(namespace)
    try:
        time.sleep(QUIET)
        day.watched.after_commit(partial(day.cluster.relabel, "web", {"app": "other"}))
        day.watched.kept.expect(False)
        time.sleep(QUIET)
        day.watched.kept.expect(None)
        day.watched.after_commit(partial(day.cluster.relabel, "web", WEB))
    finally:
        conntrack.empty(namespace)
    time.sleep(QUIET)


def clock_jumps(day: Day) -> None:
    """The time of the day is another, by hours or years, back or forth; changes come as ever."""
    day.node.clock.write_text(str(day.rng.choice(CLOCKS)))
    time.sleep(QUIET)
    labels_changed(day)


class Fault(Struct, frozen=True):
    """``weight``: how often it is drawn. ``slow``: it takes many seconds. ``conditions``: what the
    agent may say of it. ``needs``: why a machine cannot have it, "" where it can."""

    name: str
    do: Callable[[Day], None]
    weight: int = 10
    slow: bool = False
    conditions: frozenset[str] = frozenset()
    needs: Callable[[Day], str] | None = None


_DRIFT = frozenset({"Drift"})


def _has_room(day: Day) -> str:
    most = conntrack.room(day.node.namespace)
    return "" if most <= conntrack.LARGEST else f"{most} connections are too many to make"


FAULTS = (
    Fault("agent killed, started", killed, 5),
    Fault("agent ended, started", ended, 5),
    Fault("agent updated, new before old is gone", updated, 5),
    Fault("changes without an agent", changed_meanwhile, 5),
    Fault("server away, with changes", server_away),
    Fault("server away, etcd compacted", compacted, 5),
    Fault("server killed, etcd compacted", server_killed, 1),
    Fault("policy replaced", policy_replaced, 20),
    Fault("labels of a pod changed", labels_changed, 20),
    Fault("labels of the namespace changed", namespace_changed, 10),
    Fault("address given to another pod", address_reused, 10),
    Fault("40 pods created and deleted at once", many_pods, 3),
    Fault("table deleted", table_deleted, 10, conditions=_DRIFT),
    Fault("table edited", table_edited, 10, conditions=_DRIFT),
    Fault("table edited while a change comes", edited_and_changed, 10, conditions=_DRIFT),
    Fault(
        "connections full",
        connections_full,
        1,
        slow=True,
        conditions=frozenset({"ConntrackFull"}),
        needs=_has_room,
    ),
    Fault("time of the day jumps", clock_jumps, 5),
)

RESTARTS = (killed, ended)
CHANGES = (
    policy_replaced,
    labels_changed,
    namespace_changed,
    address_reused,
    many_pods,
    table_edited,
    edited_and_changed,
    table_deleted,
    compacted,
)
"""After each of them everything is as it was before."""


def _name(day: Day) -> str:
    day.count += 1
    return f"x{day.count}"
