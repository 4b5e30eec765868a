"""A thread that writes Events of the Kubernetes API: callers ``say`` something and go on.

Rule: nothing waits for an Event, and nothing fails for one. An Event that cannot be written is
tried again, later and more slowly. An objection of the API server is one line of the log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
from msgspec import Struct

from podfence.agent.conditions import Condition, ConditionListener
from podfence.agent.eventseries import (
    ConditionEvents,
    Create,
    EventContent,
    EventSeries,
    SeriesCount,
    WriteOutcome,
    counted,
    event,
    namespace_of,
)
from podfence.errors import ClusterError
from podfence.kube.access import Access
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.resource import resources_of
from podfence.model.meta import ObjectRef

LOOK = 2.0
"""Seconds between two looks at what is to be written."""
SILENCE = 10.0
"""Seconds without an answer after which an Event is tried again later."""
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
_MERGE = "application/merge-patch+json"
_JSON = "application/json"
_OUTCOMES = {403: WriteOutcome.FORBIDDEN, 404: WriteOutcome.GONE, 409: WriteOutcome.THERE}


class _Meta(Struct, frozen=True):
    uid: str = ""


class _Item(Struct, frozen=True):
    metadata: _Meta = _Meta()


class _EventList(Struct, frozen=True):
    items: tuple[_Item, ...] = ()


_LIST = msgspec.json.Decoder(_EventList)


class EventWriter:
    """``node`` is the writer. ``environment`` is that of the process, for proxies. ``clock`` gives
    monotonic seconds. ``now`` gives the time of day that Events carry; nothing depends on it."""

    def __init__(
        self,
        access: Access,
        node: str,
        log: ConditionListener,
        environment: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = Client(access, environment, tries=1, silence=SILENCE)
        self._node = node
        self._log = log
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._series = EventSeries(f"{node} {self._time()}")
        self._held = ConditionEvents(node)
        self._trouble = ""

    def say(self, said: EventContent) -> None:
        """Tell people of an object; for any thread, and at once."""
        with self._lock:
            self._series.say(said, self._clock())

    def run(self, stopped: threading.Event, conditions: Callable[[], Sequence[Condition]]) -> None:
        """Write what is said, and say what ``conditions`` holds, until it is to stop."""
        while not stopped.wait(LOOK):
            for said in self._held.look(conditions(), self._clock()):
                self.say(said)
            self.write(stopped)
        self.close()

    def write(self, stopped: threading.Event) -> None:
        """Write what may be written now."""
        while not stopped.is_set():
            with self._lock:
                found = self._series.next(self._clock())
            if found is None:
                return
            outcome = self._do(found)
            with self._lock:
                self._series.answered(found, outcome, self._clock())

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _do(self, write: Create | SeriesCount) -> WriteOutcome:
        try:
            return self._send(write)
        except ServerRefusal as refusal:
            self._client.close()
            outcome = _OUTCOMES.get(refusal.status, WriteOutcome.FAILED)
            if outcome in (WriteOutcome.FORBIDDEN, WriteOutcome.FAILED):
                self._tell(refusal.message)
            return outcome
        except ClusterError as error:
            self._tell(error.message)
        except Exception as error:  # noqa: BLE001 - an Event is never worth the end of the agent
            self._client.close()
            self._tell(f"{type(error).__name__}: {error}")
        return WriteOutcome.FAILED

    def _send(self, write: Create | SeriesCount) -> WriteOutcome:
        collection = (
            f"/apis/events.k8s.io/v1/namespaces/{quote(namespace_of(write.said.about), '')}"
        )
        if isinstance(write, SeriesCount):
            body = msgspec.json.encode(counted(write, self._time()))
            self._client.write("PATCH", f"{collection}/events/{write.name}", body, _MERGE)
        else:
            found = self._find(write.said.about)
            if found is None:
                return WriteOutcome.GONE
            body = msgspec.json.encode(event(write, *found, self._node, self._time()))
            self._client.write("POST", f"{collection}/events", body, _JSON)
        self._trouble = ""
        return WriteOutcome.WRITTEN

    def _find(self, about: ObjectRef) -> tuple[str, str] | None:
        """The API version and the uid of an object: `kubectl describe` asks for Events by uid."""
        for resource in resources_of(about.kind):
            path = resource.path(quote(about.namespace, ""))
            try:
                text = self._client.get(
                    path, {"fieldSelector": f"metadata.name={about.name}"}, _METADATA
                )
            except ServerRefusal as refusal:
                if refusal.status != 404:
                    raise
                continue
            items = _LIST.decode(text).items
            return (resource.api_version, items[0].metadata.uid) if items else None
        return None

    def _tell(self, message: str) -> None:
        """Once a trouble, not once an Event."""
        if message != self._trouble:
            self._trouble = message
            self._log.warning("an Event could not be written", message=message)

    def _time(self) -> str:
        return self._now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
