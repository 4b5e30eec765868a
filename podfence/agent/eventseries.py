"""Which Kubernetes Events are written about objects, and when. Pure.

Rule: the same words about the same object are one Event, whose series counts. A node writes few
Events: some at once, then one every few seconds. The queue is bounded, and so are the Events about
one object. An Event about a policy, which all nodes would write, has one name: the first node
writes it. Source: KEP-383 (events.k8s.io/v1), for series and for what a field may hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from hashlib import sha256
from typing import Final

from msgspec import Struct

from podfence.agent.conditions import Condition, ConditionKind
from podfence.model.meta import ObjectRef
from podfence.text import printable

FOLD = 300.0
"""Seconds between two writes of one Event."""
FORGET = 3600.0
"""Seconds of silence after which the same is another Event; servers forget as soon."""
BURST = 10
"""Writes at once."""
REFILL = 10.0
"""Seconds after which there may be one more."""
MOST = 1000
"""Events that are known at a time."""
MOST_OF_ONE = 10
"""And those about one object."""
CONTROLLER = "podfence.dev/agent"
_LONGEST_NOTE = 1024
_LONGEST_INSTANCE = 128
_LONGEST_PAUSE = 300.0
_FORBIDDEN_PAUSE = 600.0


class EventContent(Struct, frozen=True):
    """What an Event says. ``reason`` is one word of ours. ``note`` is a sentence that may hold any
    text. ``action`` is what was done. Two that are equal are one Event."""

    about: ObjectRef
    reason: str
    note: str
    action: str = "Enforcing"
    warning: bool = True


class Create(Struct, frozen=True):
    """An Event to be written. ``name``: its own."""

    said: EventContent
    name: str


class SeriesCount(Struct, frozen=True):
    """An Event whose series now counts so many."""

    said: EventContent
    name: str
    count: int


class WriteOutcome(Enum):
    """What became of a write."""

    WRITTEN = "written"
    THERE = "there"
    """One of that name is there, which another node wrote."""
    GONE = "gone"
    """The Event, or the object that it is about, is not there any more."""
    FORBIDDEN = "forbidden"
    FAILED = "failed"
    """The server could not be asked, or had something against it."""


class _Series:
    __slots__ = ("count", "last", "ours", "told", "told_at")

    def __init__(self) -> None:
        self.count = 0
        self.told = 0
        self.told_at = 0.0
        self.last = 0.0
        self.ours = False


class EventSeries:
    """The Events of one process. ``origin`` tells the process from others, and from itself before a
    restart. Times are monotonic seconds. ``passed_over`` counts what will not be written."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._known: dict[EventContent, _Series] = {}
        self._of_one: dict[ObjectRef, int] = {}
        self._spent = 0.0
        self._spent_at = 0.0
        self._not_before = 0.0
        self._failures = 0
        self.passed_over = 0

    def __len__(self) -> int:
        return len(self._known)

    def say(self, said: EventContent, now: float) -> None:
        """Count one more occurrence of an event, at ``now``."""
        series = self._known.get(said)
        if series is None:
            count = self._of_one.get(said.about, 0)
            if count >= MOST_OF_ONE or len(self._known) >= MOST:
                self.passed_over += 1
                return
            series = self._known[said] = _Series()
            self._of_one[said.about] = count + 1
        series.count += 1
        series.last = now

    def next(self, now: float) -> Create | SeriesCount | None:
        """What is to be written now; ask again once it is answered. None: nothing yet."""
        self._forget(now)
        self._spent = max(0.0, self._spent - (now - self._spent_at) / REFILL)
        self._spent_at = now
        if now < self._not_before or self._spent > BURST - 1:
            return None
        due = (said for said, series in self._known.items() if _is_due(series, now))
        said = next(due, None)
        if said is None:
            return None
        self._spent += 1
        series, name = self._known[said], self._name(said)
        return SeriesCount(said, name, series.count) if series.ours else Create(said, name)

    def answered(self, write: Create | SeriesCount, outcome: WriteOutcome, now: float) -> None:
        """What became of the write that ``next`` gave."""
        if outcome in (WriteOutcome.FAILED, WriteOutcome.FORBIDDEN):
            self._failures += 1
            pause = min(REFILL * 2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE)
            self._not_before = now + (
                _FORBIDDEN_PAUSE if outcome is WriteOutcome.FORBIDDEN else pause
            )
            return
        self._failures = 0
        series = self._known.get(write.said)
        if series is None:
            return
        if outcome is WriteOutcome.GONE:
            if isinstance(write, Create):  # nobody is there to read it
                self._drop(write.said)
            else:
                series.count, series.told, series.ours = series.count - series.told, 0, False
            return
        series.ours = outcome is WriteOutcome.WRITTEN
        # A new Event tells of one; what was said more often meanwhile is counted next.
        series.told = write.count if isinstance(write, SeriesCount) else 1
        if outcome is WriteOutcome.THERE:
            series.told = series.count
        series.told_at = now

    def _forget(self, now: float) -> None:
        old = [said for said, series in self._known.items() if now - series.last > FORGET]
        for said in old:
            self._drop(said)

    def _drop(self, said: EventContent) -> None:
        del self._known[said]
        left = self._of_one[said.about] - 1
        if left:
            self._of_one[said.about] = left
        else:
            del self._of_one[said.about]

    def _name(self, said: EventContent) -> str:
        """The same for what is the same on every node; no word of it comes from outside."""
        about = said.about
        origin = self._origin if about.kind in ("Pod", "Node") else ""
        parts = (about.kind, about.namespace, about.name, said.reason, said.note, origin)
        digest = sha256("\0".join(parts).encode("utf-8", "backslashreplace")).hexdigest()
        return f"podfence.{digest[:24]}"


def _is_due(series: _Series, now: float) -> bool:
    if series.told == 0:
        return True
    return series.count > series.told and now >= series.told_at + FOLD


def namespace_of(about: ObjectRef) -> str:
    """Where an Event about an object lies."""
    return about.namespace or "default"


def event(write: Create, api_version: str, uid: str, node: str, time: str) -> dict[str, object]:
    """An object of events.k8s.io/v1. ``time``: RFC 3339 with microseconds."""
    said = write.said
    regarding = {"apiVersion": api_version, "kind": said.about.kind, "name": said.about.name}
    if said.about.namespace:
        regarding["namespace"] = said.about.namespace
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": write.name, "namespace": namespace_of(said.about)},
        "eventTime": time,
        "reportingController": CONTROLLER,
        "reportingInstance": f"podfence-{node}"[:_LONGEST_INSTANCE],
        "action": said.action,
        "reason": said.reason,
        "regarding": {**regarding, "uid": uid},
        "note": _cut(printable(said.note)),
        "type": "Warning" if said.warning else "Normal",
    }


def counted(write: SeriesCount, time: str) -> dict[str, object]:
    """What changes of an Event."""
    return {"series": {"count": write.count, "lastObservedTime": time}}


def _cut(text: str) -> str:
    """At most so many bytes as a note may have."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= _LONGEST_NOTE:
        return text
    return data[: _LONGEST_NOTE - 3].decode("utf-8", "ignore") + "..."


# -- Conditions as Events: what people read who ask about a policy, a pod or a node
# Rule: an Event is written when a condition begins, when its message changes, and now and then
# while it holds.


AGAIN: Final = FORGET / 2
"""Seconds after which what still holds is said again, before servers forget it."""
OF_NODE: Final = frozenset(
    {
        ConditionKind.DRIFT,
        ConditionKind.TABLE_REFUSED,
        ConditionKind.SWEEP_FAILED,
        ConditionKind.NOT_FAIL_CLOSED,
        ConditionKind.BYPASSED,
        ConditionKind.MARK_IN_USE,
        ConditionKind.SECOND_ENFORCER,
        ConditionKind.CONNTRACK_FULL,
        ConditionKind.NAMES_UNREAD,
    }
)
"""Conditions of the node itself. That the API cannot be asked is not said through the API."""


class ConditionEvents:
    """The Events of one node. Times are monotonic seconds."""

    def __init__(self, node: str) -> None:
        self._node = ObjectRef("Node", "", node)
        self._said: dict[EventContent, float] = {}

    def look(self, conditions: Sequence[Condition], now: float) -> list[EventContent]:
        """What is to be said of those that hold now."""
        held = {said: None for each in conditions for said in self._of(each)}
        self._said = {said: at for said, at in self._said.items() if said in held}
        found = [said for said in held if now - self._said.get(said, now - AGAIN) >= AGAIN]
        self._said.update(dict.fromkeys(found, now))
        return found

    def _of(self, condition: Condition) -> Iterator[EventContent]:
        if condition.about is not None:
            yield EventContent(condition.about, condition.kind.value, condition.message)
        elif condition.kind in OF_NODE:
            yield EventContent(self._node, condition.kind.value, condition.message)
        for pod in condition.closed:
            namespace, _, name = pod.partition("/")
            note = f"nothing of this pod passes: {condition.message}"
            yield EventContent(ObjectRef("Pod", namespace, name), "Closed", note)
