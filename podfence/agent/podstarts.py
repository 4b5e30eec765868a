"""Pods that start: the runtime tells their addresses before the API does.

Rule: only the API says what a pod is (labels, ports, host network). The runtime adds the address
and nothing else, and only until the API tells one. So a pod that starts is enforced by the same
policies as usual, a second or two earlier.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from podfence.agent.inbox import HeardEvent, Inbox, KindPart
from podfence.agent.nri import Sandbox
from podfence.kube.follow import KindState
from podfence.model.facts import NO_ADDRESS, Event, Gone, PodFacts, Put

PATIENCE = 1.0
"""Seconds that the start of a pod waits at the most; a runtime waits for two."""
KEPT = 60.0
"""Seconds that the address of a pod is kept of which the API tells nothing."""
StartingPod = tuple[str, str]


Address = tuple[int, int]
_NONE: Address = (NO_ADDRESS, NO_ADDRESS)


class _Given(Struct):
    """An address from the runtime. ``stale``: what the API had told before; any other address that
    it tells is newer. ``used``: a pod that the API knows has this address."""

    address: Address
    stale: Address
    at: float
    used: bool


class PodStarts:
    """Used by three threads: the one that hears the API (``tell``, ``stand``), the one that
    enforces (``arrived``), and that of the runtime (``start``)."""

    def __init__(
        self,
        node: str,
        inbox: Inbox,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._node = node
        self._inbox = inbox
        self._clock = clock
        self._patience = patience
        self._changed = threading.Condition()
        self._known: dict[StartingPod, PodFacts] = {}
        """Pods of this node, as the API tells them."""
        self._held: dict[StartingPod, PodFacts] = {}
        """Of these, what the kernel holds."""
        self._given: dict[StartingPod, _Given] = {}
        self._waiting: dict[StartingPod, Address] = {}
        """Starts that wait, with the address that is enforced so far."""
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """Starts by what became of them: in time, late, or without an address from the runtime."""
        with self._changed:
            return dict(self._counts)

    # -- the API

    def tell(self, heard: Iterable[HeardEvent], at: float) -> None:
        """What the API tells, as ``Inbox.tell``, with the addresses that only the runtime knows."""
        found = [*heard]  # decoded before the lock is held
        with self._changed:
            self._inbox.tell([(self._completed(event), fault) for event, fault in found], at)

    def stand(self, state: KindState) -> None:
        """As ``Inbox.stand``."""
        self._inbox.stand(state)

    def need(self, part: KindPart) -> None:
        """As ``Inbox.need``."""
        self._inbox.need(part)

    def _completed(self, event: Event) -> Event:
        match event:
            case Put(PodFacts() as pod) if pod.node == self._node:
                return Put(self._with_address(pod))
            case Gone("Pod", namespace, name):
                self._known.pop((namespace, name), None)
                given = self._given.get((namespace, name))
                if given is not None and given.used:  # else it is of one that is yet to come
                    del self._given[namespace, name]
        return event

    def _with_address(self, pod: PodFacts) -> PodFacts:
        key = pod.namespace, pod.name
        self._known[key] = pod
        given = self._given.get(key)
        if given is None or pod.deleting:
            return pod
        if not pod.seen or (pod.v4, pod.v6) != given.stale:
            del self._given[key]
            return pod
        given.used = True
        return replace(pod, v4=given.address[0], v6=given.address[1])

    # -- who enforces

    def arrived(self, events: Iterable[Event]) -> None:
        """The kernel holds all that follows from these."""
        with self._changed:
            for event in events:
                match event:
                    case Put(PodFacts() as pod):
                        self._hold((pod.namespace, pod.name), pod)
                    case Gone("Pod", namespace, name):
                        self._held.pop((namespace, name), None)
            self._changed.notify_all()

    def _hold(self, key: StartingPod, pod: PodFacts) -> None:
        if pod.node == self._node:
            self._held[key] = pod
        else:
            self._held.pop(key, None)
        if key in self._waiting:
            self._waiting[key] = pod.v4, pod.v6

    # -- the runtime

    def start(self, sandbox: Sandbox) -> None:
        """Returns when the pod is enforced with its address, or when it has waited long enough."""
        v4, v6 = (
            next((int(a) for a in sandbox.addresses if a.version == version), NO_ADDRESS)
            for version in (4, 6)
        )
        outcome = "no_address"
        if (v4, v6) != _NONE:
            is_done = self._enforce((sandbox.namespace, sandbox.name), (v4, v6))
            outcome = "in_time" if is_done else "late"
        with self._changed:
            self._counts[outcome] += 1

    def _enforce(self, key: StartingPod, address: Address) -> bool:
        now = self._clock()
        with self._changed:
            for old in [k for k, given in self._given.items() if now - given.at > KEPT]:
                del self._given[old]
            pod = self._known.get(key)
            if pod is not None and pod.deleting:
                pod = None  # the one that is to go; the new one has not been heard of yet
            stale = _NONE if pod is None else (pod.v4, pod.v6)
            earlier = self._given.pop(key, None)  # of another sandbox of the pod
            if pod is not None and not pod.seen:
                return True  # nothing that policies see
            is_held = pod is not None and self._held.get(key) == pod
            if stale == address and is_held and earlier is None:
                return True  # told by the API already, and enforced
            self._waiting[key] = _NONE
            if stale != address:
                self._given[key] = _Given(address, stale, now, used=pod is not None)
            if pod is not None:
                self._inbox.tell([(Put(replace(pod, v4=address[0], v6=address[1])), "")], now)
            try:
                return self._changed.wait_for(lambda: self._waiting[key] == address, self._patience)
            finally:
                del self._waiting[key]
