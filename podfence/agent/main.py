"""The agent as a process: its threads, its signals, its end.

Rule: there is no half agent. A thread that dies ends the process with status 1, and the table
stays. SIGTERM and SIGINT let the current write finish, and leave the table.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from podfence.agent.answers import routes
from podfence.agent.conditions import Condition
from podfence.agent.drops import Watcher
from podfence.agent.endpoint import HttpsServer
from podfence.agent.enforcer import Enforcer
from podfence.agent.eventwriter import EventWriter
from podfence.agent.inbox import Inbox, KindPart
from podfence.agent.keptfiles import NameFile, RuleFile, forget_rules
from podfence.agent.listening import BoundedServer, Listen
from podfence.agent.localsocket import LocalServer
from podfence.agent.log import EventLog
from podfence.agent.machine import Meter
from podfence.agent.mirrored import MirrorAddress, Mirrored
from podfence.agent.names import Names
from podfence.agent.names import delete as delete_names
from podfence.agent.nodefacts import foreign_facts, passing_facts
from podfence.agent.nri import Gate
from podfence.agent.outlook import Outlook, require_a_clear_way
from podfence.agent.podstarts import PodStarts
from podfence.agent.process import Threads, keep_giving_back, only_agent
from podfence.agent.resolvers import Resolvers
from podfence.agent.reviews import Reviewer
from podfence.agent.revisions import Revisions
from podfence.agent.rulecounts import RuleCounts
from podfence.agent.selfsigned import server_context
from podfence.agent.sources import (
    feed,
    nodes_of_others,
    pods_of_others,
    read,
    resources,
    sources,
)
from podfence.agent.status import NodeStatus
from podfence.agent.table import KernelTable
from podfence.agent.wanted import DesiredState, is_policy
from podfence.agent.web import PathResponses, WebServer
from podfence.kernel import netns
from podfence.kernel.ctlook import ConnectionTable
from podfence.kernel.nftables.notices import Notices
from podfence.kube.access import Access
from podfence.kube.client import Client
from podfence.kube.watch import Watch
from podfence.model.facts import Event
from podfence.nft.lowering.lower import TABLE, LocalNode
from podfence.policy.domains import At

RUN_DIR = Path("/run/podfence")
STATE_DIR = Path("/var/lib/podfence")
_POLL = 0.5
_PATIENCE = 30.0
"""Seconds that a write may take when the process is asked to end."""
_REVIEW = 5.0
"""Seconds of silence of the API server after which nobody's right is known."""


class Options(Struct, frozen=True):
    """What an agent is started with."""

    node: LocalNode
    """This node, with the pod ranges that are given by hand."""
    access: Access
    run_dir: Path = RUN_DIR
    """For the lock, the socket and what outlives a restart of the agent."""
    state_dir: Path = STATE_DIR
    """For what outlives a run of the machine; nodes may share it."""
    namespace_fd: int | None = None
    """The network namespace to enforce in, when it is not that of the process."""
    environment: Mapping[str, str] = {}
    listen: Listen | None = None
    """For health and metrics; None: nowhere."""
    https: Listen | None = None
    """For those who show a token; None: nowhere."""
    override: frozenset[str] = frozenset()
    """Names of obstacles that are none (``preflight``)."""
    nri: Path | None = None
    """The runtime's socket for plugins; None: starts of pods do not wait."""
    resolvers: Callable[[], frozenset[At]] = frozenset
    """Those whose answers about domain names are believed, beside the cluster's own."""
    mirror: MirrorAddress | None = None
    """Tells of pods of other nodes; None: the API server does."""


class Agent:
    """The parts of a running agent. ``status`` may be asked by any thread."""

    def __init__(self, options: Options, namespace: int, log: EventLog) -> None:
        """``namespace``: the inode of the network namespace that is enforced in. Raises NftError,
        and HostError where nothing can be listened on."""
        self._log = log
        self._threads = Threads()
        self._others = nodes_of_others(options.node.name)
        environment = options.environment or os.environ
        wanted = resources(options.node.name)
        parts = ((each[0].kind, each[0].only) for each in wanted)
        self._inbox = Inbox(options.node.name, (part for part in parts if part != self._others))
        self._notices = Notices(TABLE, options.namespace_fd)
        table = KernelTable(options.node.mark_mask, self._notices, options.namespace_fd)
        self._starts = PodStarts(options.node.name, self._inbox)
        self._resolvers = Resolvers(self._starts, options.resolvers)
        self._names = Names(
            self._inbox.tell,
            lambda: self._resolvers.addresses,
            options.node.log_group + 1,
            NameFile(options.run_dir, namespace),
            log,
            options.namespace_fd,
        )
        self._revisions = Revisions()
        self._gate = None if options.nri is None else Gate(options.nri, self._starts.start, log)
        self._enforcer = Enforcer(
            options.node, table, self._inbox, log, time.monotonic, arrived=self._arrived
        )
        self._watch = Watch(
            options.access,
            wanted,
            read,
            later=[self._others],
            environment=environment,
            instead=_instead(options),
        )
        self._events = EventWriter(options.access, options.node.name, log, environment)
        self._rules = RuleCounts(
            options.node.name,
            ConnectionTable(options.node.mark_mask, options.namespace_fd),
            RuleFile(options.state_dir, options.node.name, log),
            log,
        )
        self._drops = Watcher(
            options.node.name,
            options.node.log_group,
            log,
            options.namespace_fd,
            say=self._events.say,
            denied=self._rules.denied,
        )
        self._local = LocalServer(
            options.run_dir, namespace, self._drops.drops, self._rules.rules, log
        )
        meter = Meter(TABLE, options.namespace_fd)
        self._outlook = Outlook(
            log,
            lambda: self._enforcer.ranges,
            options.override,
            meter,
            lambda: passing_facts(options.namespace_fd),
            read_rules=lambda: foreign_facts(options.namespace_fd),
            mark_mask=options.node.mark_mask,
        )
        self._servers = dict(self._make_servers(options, environment, meter))

    def _make_servers(
        self, options: Options, environment: Mapping[str, str], meter: Meter
    ) -> Iterator[tuple[str, BoundedServer]]:
        """By the names of their threads. Raises HostError."""
        if options.listen is not None:
            yield "web", WebServer(options.listen, PathResponses(self.status, meter), self._log)
        if options.https is not None:
            client = Client(options.access, environment, tries=2, silence=_REVIEW)
            answers = routes(
                self.status,
                self._revisions,
                self._inbox,
                self._drops.drops,
                self._rules.rules,
                lambda: meter.read().denied,
            )
            reviewer = Reviewer(client, time.monotonic)
            yield (
                "endpoint",
                HttpsServer(options.https, server_context(), reviewer, answers, self._log),
            )

    def status(self) -> NodeStatus:
        """How the agent stands now."""
        found = self._enforcer.status
        return replace(
            found,
            sources=sources(self._watch),
            conditions=self._conditions(),
            runtime=self._gate.runtime if self._gate else "",
            starts=self._starts.counts,
            drops=self._drops.counts(),
            names=self._names.counts(),
        )

    def run(self) -> int:
        """Until a signal, or until a thread dies; the exit status."""
        self._threads.take_signals()
        self._names.begin()
        enforcer = self._threads.start("enforcer", lambda: self._enforcer.run(self._between))
        feeder = self._threads.start(
            "feed", lambda: feed(self._watch, self._resolvers, self._threads.stopped, self._others)
        )
        reader = self._threads.start("names", lambda: self._names.run(self._threads.stopped))
        self._threads.start("notices", self._notice)
        self._threads.start("drops", lambda: self._drops.run(self._threads.stopped))
        rules = self._threads.start("rules", lambda: self._rules.run(self._threads.stopped))
        self._threads.start("local socket", self._local.run)
        self._threads.start("outlook", lambda: self._outlook.run(self._threads.stopped))
        self._threads.start("heap", lambda: keep_giving_back(self._threads.stopped))
        self._threads.start(
            "events", lambda: self._events.run(self._threads.stopped, self._conditions)
        )
        if self._gate is not None:
            gate = self._gate
            self._threads.start("nri", lambda: gate.run(self._threads.stopped))
        for name, server in self._servers.items():
            self._threads.start(name, server.run)
        end = self._threads.end()
        self._inbox.end()
        if isinstance(end, BaseException):
            self._log.error("end", reason=f"{type(end).__name__}: {end}", table="stays")
            return 1
        enforcer.join(_PATIENCE)
        feeder.join(_PATIENCE)
        reader.join(_PATIENCE)
        rules.join(_PATIENCE)
        self._log.info("end", reason=signal.Signals(end).name, table="stays")
        return 0

    def _conditions(self) -> tuple[Condition, ...]:
        held = self._enforcer.status.conditions
        return (*held, *self._outlook.conditions, *self._names.conditions)

    def _between(self, wanted: DesiredState) -> None:
        """Between two turns of the thread that enforces."""
        self._drops.name(wanted.attribution)
        if wanted.in_sync:
            self._names.want(wanted.names)
            self._rules.name(wanted.credit, self._revisions.all)

    def _arrived(self, events: Sequence[Event]) -> None:
        """The kernel holds all that follows from these."""
        self._starts.arrived(events)
        self._revisions.arrived(events)
        if any(map(is_policy, events)):
            self._rules.changed()

    def _notice(self) -> None:
        while not self._threads.stopped.is_set():
            found = self._notices.wait(_POLL)
            if found is not None:
                self._inbox.notice(found)


def _instead(options: Options) -> Mapping[KindPart, Mirrored]:
    """Who is asked instead of the API server, by part."""
    if options.mirror is None:
        return {}
    node = options.node.name
    return {pods_of_others(node): Mirrored(options.mirror, node)}


def run(options: Options, log: EventLog) -> int:
    """Enforce until a signal; the exit status. Raises PodfenceError where nothing was begun."""
    fd = options.namespace_fd
    namespace = _inode(fd)
    node = options.node
    with only_agent(options.run_dir, namespace):
        require_a_clear_way(log, node.mark_mask, node.pod_cidrs, options.override, fd)
        return Agent(options, namespace, log).run()


def cleanup(
    mark_mask: int,
    run_dir: Path = RUN_DIR,
    state_dir: Path = STATE_DIR,
    namespace_fd: int | None = None,
    node: str = "",
) -> bool:
    """Delete our tables, take our marks off connections, and forget the names and the uses of rules
    that were kept for a restart, of ``node`` alone where one is given. A step that fails keeps no
    other step from being done. Returns whether there was a table.

    Raises NftError, and HostError for files that cannot be deleted.
    """
    found = []
    with ExitStack() as each:  # calls all of them, the last one first, and raises in the end
        each.callback(forget_rules, state_dir, node)
        each.callback(NameFile(run_dir, _inode(namespace_fd)).delete)
        each.callback(lambda: found.append(delete_names(namespace_fd)))
        table = KernelTable(mark_mask, None, namespace_fd)
        each.callback(table.close)
        each.callback(table.sweep_all)
        found.append(table.delete())
    return any(found)


def _inode(namespace_fd: int | None) -> int:
    """What files that belong to a network namespace are named by."""
    return netns.identity() if namespace_fd is None else os.fstat(namespace_fd).st_ino
