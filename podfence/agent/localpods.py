"""The pods of this node by name: which have an address, and which wait for one.

Rule: this is what people are told of pods. What is enforced follows from the index.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from podfence.live.pods import At
from podfence.model.facts import NO_ADDRESS, Event, Gone, PodFacts, Put


class LocalPod(Struct, frozen=True):
    """A pod here that policies see. ``since``: monotonic seconds from which it was known as it is
    now, with or without an address."""

    namespace: str
    name: str
    addresses: tuple[At, ...]
    since: float

    @property
    def text(self) -> str:
        """namespace/name."""
        return f"{self.namespace}/{self.name}"


class LocalPods:
    """All of them."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._pods: dict[tuple[str, str], LocalPod] = {}

    def take(self, event: Event, at: float) -> None:
        """An event about anything."""
        match event:
            case Put(PodFacts() as pod):
                if pod.node == self._node and pod.seen:
                    self._put(pod, at)
                else:
                    self._pods.pop((pod.namespace, pod.name), None)
            case Gone("Pod", namespace, name):
                self._pods.pop((namespace, name), None)

    def __len__(self) -> int:
        return len(self._pods)

    def pending(self) -> Iterator[LocalPod]:
        """Those without address: nothing of theirs passes yet."""
        return (pod for pod in self._pods.values() if not pod.addresses)

    def at(self, addresses: frozenset[At]) -> tuple[str, ...]:
        """The names of those that have one of some addresses, sorted."""
        found = (pod.text for pod in self._pods.values() if not addresses.isdisjoint(pod.addresses))
        return tuple(sorted(found))

    def _put(self, pod: PodFacts, at: float) -> None:
        found = tuple((f, a) for f, a in ((4, pod.v4), (6, pod.v6)) if a != NO_ADDRESS)
        key = pod.namespace, pod.name
        known = self._pods.get(key)
        if known is None or known.addresses != found:
            self._pods[key] = LocalPod(*key, found, at)
