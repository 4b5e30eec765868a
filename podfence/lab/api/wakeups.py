"""Notices that something changed: one watch for each kind. Process: the background one of a lab.

Rule: a wake-up does not say what changed; the one that waits reads the state again. A watch that
ends or fails wakes too, so no change is missed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import closing

from podfence.errors import ClusterError
from podfence.kube.access import Access
from podfence.kube.client import Client
from podfence.kube.resource import Resource

_PAUSE = 1.0
"""Seconds before a watch that failed is tried again."""
_LONGEST = "300"
"""Seconds of one watch."""


class Wakeups:
    """Sets an event whenever an object of some kinds changes, until it is closed."""

    def __init__(
        self, access: Access, resources: Iterable[Resource], woken: threading.Event
    ) -> None:
        self._woken = woken
        self._stopped = threading.Event()
        self._clients: list[Client] = []
        self._threads: list[threading.Thread] = []
        for resource in resources:
            client = Client(access, tries=1)
            self._clients.append(client)
            work = threading.Thread(target=self._follow, args=(client, resource), daemon=True)
            self._threads.append(work)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End all watches."""
        self._stopped.set()
        for client in self._clients:
            client.interrupt()

    def _follow(self, client: Client, resource: Resource) -> None:
        query = {"watch": "true", "timeoutSeconds": _LONGEST}
        while not self._stopped.is_set():
            is_open = False
            try:
                with closing(client.lines(resource.path(), query)) as stream:
                    for _ in stream:
                        is_open = True
                        self._woken.set()
            except ClusterError:
                self._stopped.wait(_PAUSE)
            if is_open:  # a kind that the server does not have wakes nobody
                self._woken.set()
