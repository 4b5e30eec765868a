"""Whose DNS answers are believed: those of resolvers that were given, and those of the cluster.

Rule: the cluster's resolvers are the pods of ``kube-system`` with the label ``k8s-app: kube-dns``,
which installers of Kubernetes keep. Somebody who can make such pods rules the cluster anyway.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from ipaddress import ip_address
from math import inf
from pathlib import Path

from msgspec.json import Decoder

from podfence.agent.inbox import HeardEvent, KindPart
from podfence.agent.sources import ChangeListener
from podfence.errors import UNREADABLE
from podfence.kube.follow import KindState
from podfence.model.facts import NO_ADDRESS, Event, Gone, PodFacts, Put
from podfence.policy.domains import At

NAMESPACE, KEY, VALUE = "kube-system", "k8s-app", "kube-dns"
_NAMESERVER = re.compile(r"^nameserver\s+([^\s%#;]+)", re.MULTILINE)
_LOOK = 1.0
_labels = Decoder(dict[str, str])


class Resolvers:
    """Hears what the API tells, and passes it on. Several threads may use it."""

    def __init__(self, ear: ChangeListener, given: Callable[[], frozenset[At]] = frozenset) -> None:
        """``given``: tells those that are not the cluster's, as they are now."""
        self._ear = ear
        self._given = given
        self._pods: dict[str, frozenset[At]] = {}
        self._lock = threading.Lock()
        self._of_pods: frozenset[At] = frozenset()

    @property
    def addresses(self) -> frozenset[At]:
        """Those that are believed now."""
        return self._given() | self._of_pods

    def tell(self, heard: Iterable[HeardEvent], at: float) -> None:
        """As ``Inbox.tell``."""
        found = [*heard]
        with self._lock:
            before = dict(self._pods)
            for event, _ in found:
                self._note(event)
            if self._pods != before:
                self._of_pods = frozenset().union(*self._pods.values())
        self._ear.tell(found, at)

    def stand(self, state: KindState) -> None:
        """As ``Inbox.stand``."""
        self._ear.stand(state)

    def need(self, part: KindPart) -> None:
        """As ``Inbox.need``."""
        self._ear.need(part)

    def _note(self, event: Event) -> None:
        match event:
            case Put(PodFacts(namespace, name) as pod) if namespace == NAMESPACE:
                self._pods.pop(name, None)
                if pod.seen and _is_resolver(pod.labels):
                    pairs = ((4, pod.v4), (6, pod.v6))
                    self._pods[name] = frozenset(at for at in pairs if at[1] != NO_ADDRESS)
            case Gone("Pod", namespace, name) if namespace == NAMESPACE:
                self._pods.pop(name, None)


def nameservers(text: str) -> Collection[At]:
    """The addresses in a ``resolv.conf``; what is none is left out."""
    found: list[At] = []
    for word in _NAMESERVER.findall(text):
        try:
            address = ip_address(word)
        except ValueError:
            continue
        if not address.is_loopback:  # no packet of a pod goes there
            found.append((address.version, int(address)))
    return found


class OwnNameservers:
    """The name servers of this machine, as pods with ``dnsPolicy: Default`` have them."""

    def __init__(
        self, path: Path = Path("/etc/resolv.conf"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._clock = path, clock
        self._next = -inf
        self._found: frozenset[At] = frozenset()

    def __call__(self) -> frozenset[At]:
        """The name servers of now. The file is read again ``_LOOK`` seconds after the last time;
        while it cannot be read, the name servers of before count."""
        if self._clock() >= self._next:
            self._next = self._clock() + _LOOK
            with suppress(OSError):  # it may be about to be replaced
                self._found = frozenset(nameservers(self._path.read_text("utf-8", "replace")))
        return self._found


def _is_resolver(labels: bytes) -> bool:
    try:
        return bool(labels) and _labels.decode(labels).get(KEY) == VALUE
    except UNREADABLE:
        return False
