"""Where events come from: watches of a cluster, turned into facts, and the state of each kind.

Rule: when the server cannot be asked, nothing that is enforced changes. The thread that reads an
object decodes it, once. What is handed over decides nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from podfence.agent.conditions import ConditionKind, Conditions
from podfence.agent.inbox import HeardEvent, KindPart, part_of
from podfence.agent.status import WatchedKind
from podfence.errors import ClusterError
from podfence.kube.follow import Item, KindState, ObjectChange, SyncState
from podfence.kube.resource import Resource, other_nodes, own_node, pods_for, resources_of
from podfence.kube.watch import Batch, Watch
from podfence.live import wire
from podfence.live.wire import ReadObject
from podfence.model.facts import Event, Gone, NamespaceFacts, NodeFacts, PodFacts, PolicyFacts, Put

KINDS = (
    "Namespace",
    "NetworkPolicy",
    "ClusterNetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
)
"""What is watched as a whole, before the pods: there are few of them."""
UNREACHABLE = 30.0
"""Seconds of silence after which people are told."""
_POLL = 0.5
_OWN = ("spec.nodeName=", "metadata.name=")


def resources(node: str) -> tuple[tuple[Resource, ...], ...]:
    """What an agent watches: its own pods, other pods that have an address, its own Node, other
    Nodes (``nodes_of_others``), and all else that policies depend on."""
    return (*map(resources_of, KINDS), own_node(node), other_nodes(node), *pods_for(node))


def nodes_of_others(node: str) -> KindPart:
    """The part that is watched only when a policy asks for Nodes. The agent's own Node always is:
    its pod ranges are closed, and its addresses are let in (NP-52)."""
    resource = other_nodes(node)[0]
    return resource.kind, resource.only


def pods_of_others(node: str) -> KindPart:
    """The part that a mirror may tell instead of the API server."""
    resource = pods_for(node)[1][0]
    return resource.kind, resource.only


def asks_for_nodes(event: Event) -> bool:
    """Whether it is a policy whose peers are Nodes (CNP-18), or may be."""
    if not isinstance(event, Put) or not isinstance(event.facts, PolicyFacts):
        return False
    return event.facts.kind != "NetworkPolicy" and b'"nodes"' in event.facts.document


def read(resource: Resource, text: msgspec.Raw) -> Item[ReadObject]:
    """What the index is to know of an object. Raises ClusterError for one without a name."""
    found = wire.read(resource.kind, text, resource.api_version)
    match found.facts:
        case PodFacts(namespace, name) | PolicyFacts(_, namespace, name):
            return Item(namespace, name, found.version, found)
        case NamespaceFacts(name) | NodeFacts(name):
            return Item("", name, found.version, found)
    raise ClusterError(f"the API server sent a {resource.kind} without a name")


def heard(changes: Iterable[ObjectChange[ReadObject]]) -> Iterator[HeardEvent]:
    """What changes of the API are to the index."""
    for change in changes:
        if change.data is None:
            yield Gone(change.kind, change.namespace, change.name), ""
        elif change.data.facts is not None:
            yield Put(change.data.facts), change.data.fault


class ChangeListener(Protocol):
    """Who is told what the API says (``Inbox``, ``PodStarts``)."""

    def tell(self, heard: Iterable[HeardEvent], at: float) -> None:
        """Events, in their order."""

    def stand(self, state: KindState) -> None:
        """How a kind stands, after the events that led there."""

    def need(self, part: KindPart) -> None:
        """One more part has to be known before anything is whole."""


def feed(
    watch: Watch[ReadObject], inbox: ChangeListener, stopped: threading.Event, nodes: KindPart
) -> None:
    """Have a watch tell what it brings, until ``stopped`` is set. ``nodes`` is the part that begins
    with the first policy that asks for it, before that policy is told. Raises what ended a
    thread."""
    watch.tell(_Feed(watch, inbox, nodes).take)
    with watch:
        while not stopped.is_set():
            watch.next(_POLL)


class _Feed:
    """Passes on what the threads of a watch read, one batch at a time."""

    def __init__(self, watch: Watch[ReadObject], inbox: ChangeListener, nodes: KindPart) -> None:
        self._watch, self._inbox, self._nodes = watch, inbox, nodes
        self._later = True
        self._told: dict[KindPart, KindState] = {}

    def take(self, batch: Batch[ReadObject]) -> None:
        """One batch."""
        if batch.changes:
            found = [*heard(batch.changes)]
            if self._later and any(asks_for_nodes(event) for event, _ in found):
                self._later = False
                self._inbox.need(self._nodes)
                self._watch.begin(*self._nodes)
            self._inbox.tell(found, batch.at)
        part = part_of(batch.state)
        if self._told.get(part) != batch.state:
            self._told[part] = batch.state
            self._inbox.stand(batch.state)


def sources(watch: Watch[ReadObject]) -> tuple[WatchedKind, ...]:
    """How each kind stands now, or each part of one."""
    return tuple(
        WatchedKind(
            each.state.kind,
            _part_name(each.state),
            each.state.standing.value,
            each.state.message,
            each.heard,
            each.relists,
        )
        for each in watch.standings()
    )


def _part_name(state: KindState) -> str:
    if not state.only:
        return ""
    return "own" if state.only.startswith(_OWN) else "other"


class KindConditions:
    """Turns the states of kinds into conditions. One thread uses it."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._states: dict[KindPart, KindState] = {}
        self._ill_since: dict[KindPart, float] = {}

    def take(self, states: Iterable[KindState], now: float) -> None:
        """Kinds that stand otherwise now."""
        for state in states:
            self._states[part_of(state)] = state
            if state.standing in (SyncState.LIVE, SyncState.ABSENT):
                self._ill_since.pop(part_of(state), None)
            else:
                self._ill_since.setdefault(part_of(state), now)

    def look(self, now: float) -> None:
        """Raise and end conditions."""
        for part, state in self._states.items():
            kind = f"{state.kind} ({name})" if (name := _part_name(state)) else state.kind
            if state.standing is SyncState.FORBIDDEN:
                self._conditions.hold(ConditionKind.FORBIDDEN, kind, state.message, now)
            else:
                self._conditions.end(ConditionKind.FORBIDDEN, kind)
            if state.standing is SyncState.LIVE:
                if state.message:
                    self._conditions.hold(ConditionKind.MIRROR_AWAY, kind, state.message, now)
                else:
                    self._conditions.end(ConditionKind.MIRROR_AWAY, kind)
            since = self._ill_since.get(part)
            late = since is not None and now - since > UNREACHABLE
            if late and state.message and state.standing is not SyncState.FORBIDDEN:
                self._conditions.hold(ConditionKind.API_UNREACHABLE, kind, state.message, now)
            elif not late:
                self._conditions.end(ConditionKind.API_UNREACHABLE, kind)
