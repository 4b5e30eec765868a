"""Where events come from: the watches of a cluster, turned into facts, and how each kind stands.

Rule: what the server cannot be asked changes nothing that is enforced. Objects are decoded once,
by the thread that reads them; what is handed over decides nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from podfence.agent.conditions import Conditions, Kind
from podfence.agent.inbox import Heard, Part, part_of
from podfence.agent.status import Source
from podfence.errors import ClusterError
from podfence.kube.follow import Change, Item, Standing, State
from podfence.kube.resource import Resource, pods_for, resources_of
from podfence.kube.watch import Watch
from podfence.live import wire
from podfence.live.wire import Reading
from podfence.model.facts import Gone, NamespaceFacts, NodeFacts, PodFacts, PolicyFacts, Put

KINDS = (
    "Namespace",
    "Node",
    "NetworkPolicy",
    "ClusterNetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
)
"""What is watched as a whole, before the pods: there are few of them."""
UNREACHABLE = 30.0
"""Seconds of silence after which people are told."""
_POLL = 0.5


def resources(node: str) -> tuple[tuple[Resource, ...], ...]:
    """What an agent watches: its own pods, of the others those that have an address, and all else
    that policies depend on."""
    return (*map(resources_of, KINDS), *pods_for(node))


def read(resource: Resource, text: msgspec.Raw) -> Item[Reading]:
    """What the index is to know of an object. Raises ClusterError for one without a name."""
    found = wire.read(resource.kind, text, resource.api_version)
    match found.facts:
        case PodFacts(namespace, name) | PolicyFacts(_, namespace, name):
            return Item(namespace, name, found.version, found)
        case NamespaceFacts(name) | NodeFacts(name):
            return Item("", name, found.version, found)
    raise ClusterError(f"the API server sent a {resource.kind} without a name")


def heard(changes: Iterable[Change[Reading]]) -> Iterator[Heard]:
    """What changes of the API are to the index."""
    for change in changes:
        if change.data is None:
            yield Gone(change.kind, change.namespace, change.name), ""
        elif change.data.facts is not None:
            yield Put(change.data.facts), change.data.fault


class Ear(Protocol):
    """Who is told what the API says (``Inbox``, ``PodStarts``)."""

    def tell(self, heard: Iterable[Heard], at: float) -> None:
        """Events, in their order."""

    def stand(self, state: State) -> None:
        """How a kind stands, after the events that led there."""


def feed(watch: Watch[Reading], inbox: Ear, stopped: threading.Event) -> None:
    """Hand over what a watch brings, until it is to stop. Raises what ended a thread of it."""
    told: dict[Part, State] = {}
    with watch:
        while not stopped.is_set():
            batch = watch.next(_POLL)
            if batch is None:
                continue
            if batch.changes:
                inbox.tell(heard(batch.changes), batch.at)
            if told.get(part_of(batch.state)) != batch.state:
                told[part_of(batch.state)] = batch.state
                inbox.stand(batch.state)


def sources(watch: Watch[Reading]) -> tuple[Source, ...]:
    """How each kind stands now, or each part of one."""
    return tuple(
        Source(
            each.state.kind,
            _part_name(each.state),
            each.state.standing.value,
            each.state.message,
            each.heard,
            each.relists,
        )
        for each in watch.standings()
    )


def _part_name(state: State) -> str:
    if not state.only:
        return ""
    return "own" if state.only.startswith("spec.nodeName=") else "other"


class Standings:
    """What of the standings of kinds is a condition. For one thread."""

    def __init__(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self._states: dict[Part, State] = {}
        self._ill_since: dict[Part, float] = {}

    def take(self, states: Iterable[State], now: float) -> None:
        """Kinds that stand otherwise now."""
        for state in states:
            self._states[part_of(state)] = state
            if state.standing in (Standing.LIVE, Standing.ABSENT):
                self._ill_since.pop(part_of(state), None)
            else:
                self._ill_since.setdefault(part_of(state), now)

    def look(self, now: float) -> None:
        """Raise and end conditions."""
        for part, state in self._states.items():
            kind = f"{state.kind} ({name})" if (name := _part_name(state)) else state.kind
            if state.standing is Standing.FORBIDDEN:
                self._conditions.hold(Kind.FORBIDDEN, kind, state.message, now)
            else:
                self._conditions.end(Kind.FORBIDDEN, kind)
            since = self._ill_since.get(part)
            late = since is not None and now - since > UNREACHABLE
            if late and state.message and state.standing is not Standing.FORBIDDEN:
                self._conditions.hold(Kind.API_UNREACHABLE, kind, state.message, now)
            elif not late:
                self._conditions.end(Kind.API_UNREACHABLE, kind)
