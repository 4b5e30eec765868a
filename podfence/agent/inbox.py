"""The inbox of the thread that enforces: other threads put in the latest state of each object.

Rule: an object that changes again while it waits is one event, the latest. The order between
objects means nothing, since what is enforced follows from the objects that are there. What the pods
of this node depend on goes first, from a queue of its own: a storm of other nodes' pods cannot hold
it up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import islice

from msgspec import Struct

from podfence.agent.revisions import SelectedPods
from podfence.kernel.nftables.notices import Notice
from podfence.kube.follow import KindState, SyncState
from podfence.model.facts import Event, Gone, NameFacts, NamespaceFacts, NodeFacts, PodFacts, Put
from podfence.model.meta import ObjectRef

KindPart = tuple[str, str]
"""A kind, and the field selector of the part of it that is meant."""
MOST = 500
"""Events of one batch."""
EventKey = tuple[str, str, str]
"""Kind, namespace, name."""


HeardEvent = tuple[Event, str]
"""An event, and why its object is known by its name alone; "" where it could be read."""


class ArrivedEvent(Struct, frozen=True):
    """An event that waits. ``at`` is when it arrived, in monotonic seconds; where several became
    one, when the first did. ``fault``: as in ``HeardEvent``."""

    key: EventKey
    event: Event
    at: float
    fault: str = ""


class InboxBatch(Struct, frozen=True):
    """What was waiting. ``whole``: every kind was listed to its end, and all that was listed has
    been taken. ``standings``: the kinds whose state changed."""

    events: tuple[ArrivedEvent, ...] = ()
    standings: tuple[KindState, ...] = ()
    notices: tuple[Notice, ...] = ()
    inquiries: tuple[Inquiry, ...] = ()
    whole: bool = False
    ended: bool = False


class Inbox:
    """``parts`` must be known before anything is whole. ``node`` is the node whose pods go
    first."""

    def __init__(self, node: str, parts: Iterable[KindPart]) -> None:
        self._node = node
        self._missing = set(parts)
        self._changed = threading.Condition()
        self._near: dict[EventKey, ArrivedEvent] = {}
        self._far: dict[EventKey, ArrivedEvent] = {}
        self._here: set[EventKey] = set()
        self._standings: dict[KindPart, KindState] = {}
        self._notices: list[Notice] = []
        self._inquiries: list[Inquiry] = []
        self._ended = False

    def tell(self, heard: Iterable[HeardEvent], at: float) -> None:
        """Events, in their order."""
        found = [*heard]  # decoded before the lock is held
        with self._changed:
            for event, fault in found:
                self._put(event, at, fault)
            self._changed.notify()

    def stand(self, state: KindState) -> None:
        """How a kind stands, after the events that led there."""
        with self._changed:
            self._standings[part_of(state)] = state
            if state.standing in (SyncState.LIVE, SyncState.ABSENT):
                self._missing.discard(part_of(state))
            self._changed.notify()

    def need(self, part: KindPart) -> None:
        """One more part has to be known before anything is whole."""
        with self._changed:
            self._missing.add(part)

    def notice(self, notice: Notice) -> None:
        """Somebody else changed our table."""
        with self._changed:
            self._notices.append(notice)
            self._changed.notify()

    def ask(self, inquiry: Inquiry) -> None:
        """Put a question to the thread that enforces; it answers with its next batch."""
        with self._changed:
            self._inquiries.append(inquiry)
            self._changed.notify()

    def end(self) -> None:
        """No more is to be done."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def take(self, seconds: float) -> InboxBatch:
        """What waits, at most ``MOST`` events; where nothing does, what comes within the time."""
        with self._changed:
            self._changed.wait_for(self._has_anything, seconds)
            events = self._pick(self._near, MOST)
            events += self._pick(self._far, MOST - len(events))
            standings, self._standings = tuple(self._standings.values()), {}
            notices, self._notices = tuple(self._notices), []
            inquiries, self._inquiries = tuple(self._inquiries), []
            whole = not (self._missing or self._near or self._far)
            return InboxBatch(tuple(events), standings, notices, inquiries, whole, self._ended)

    def __len__(self) -> int:
        """How many events wait."""
        return len(self._near) + len(self._far)

    def _has_anything(self) -> bool:
        waiting = self._near or self._far or self._standings or self._notices or self._inquiries
        return bool(waiting or self._ended)

    def _put(self, event: Event, at: float, fault: str) -> None:
        key = key_of(event)
        near = self._is_near(key, event)
        known = self._near.pop(key, None) or self._far.pop(key, None)
        told = ArrivedEvent(key, event, at if known is None else known.at, fault)
        (self._near if near else self._far)[key] = told

    def _is_near(self, key: EventKey, event: Event) -> bool:
        if key[0] != "Pod":
            return True
        was_here = key in self._here
        facts = event.facts if isinstance(event, Put) else None
        if isinstance(facts, PodFacts) and facts.node == self._node:
            self._here.add(key)
            return True
        self._here.discard(key)
        return was_here

    @staticmethod
    def _pick(lane: dict[EventKey, ArrivedEvent], count: int) -> list[ArrivedEvent]:
        keys = [*islice(lane, count)]
        return [lane.pop(key) for key in keys]


def part_of(state: KindState) -> KindPart:
    """What a state is about."""
    return state.kind, state.only


def key_of(event: Event) -> EventKey:
    """The object that an event is about."""
    if isinstance(event, Gone):
        return event.kind, event.namespace, event.name
    facts = event.facts
    if isinstance(facts, NodeFacts):
        return "Node", "", facts.name
    if isinstance(facts, NamespaceFacts):
        return "Namespace", "", facts.name
    if isinstance(facts, NameFacts):
        return "DomainName", "", facts.name
    kind = "Pod" if isinstance(facts, PodFacts) else facts.kind
    return kind, facts.namespace, facts.name


# -- A question that only the thread that enforces can answer, asked by another thread
# Rule: the thread that asks waits for a while and no longer. The thread that enforces never waits.


class Inquiry:
    """Whom a policy selects here."""

    def __init__(self, policy: ObjectRef) -> None:
        self.policy = policy
        self._answered = threading.Event()
        self._answer: SelectedPods | None = None

    def answer(self, found: SelectedPods) -> None:
        """For the thread that enforces."""
        self._answer = found
        self._answered.set()

    def wait(self, seconds: float) -> SelectedPods | None:
        """The answer; None where there is none within the time."""
        self._answered.wait(seconds)
        return self._answer
