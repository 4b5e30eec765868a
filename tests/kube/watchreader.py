"""Who is told of changes, and keeps what they come to."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from podfence.kube.access import Access, ServerAddress, StaticCredential
from podfence.kube.follow import KindState, SyncState
from podfence.kube.resource import Resource
from podfence.kube.watch import Batch, Watch
from tests.kube.fakeapi import FakeApi
from tests.kube.fakecluster import FakeCluster, running
from tests.support.items import whole

PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
WAIT = 60.0


class Reader:
    """Applies what a watch brings, and remembers what was gone."""

    def __init__(self, watch: Watch[dict[str, Any]]) -> None:
        self.watch = watch
        self.store: dict[tuple[str, str, str], Any] = {}
        self.gone: Counter[tuple[str, str, str]] = Counter()
        self.states: dict[str, KindState] = {}
        self.parts: dict[str, KindState] = {}
        self.changes = 0

    def read(self, timeout: float = 0.05) -> None:
        """One batch, if one comes."""
        batch = self.watch.next(timeout)
        if batch is not None:
            self.take(batch)

    def take(self, batch: Batch[dict[str, Any]]) -> None:
        self.states[batch.state.kind] = self.parts[batch.state.only] = batch.state
        self.changes += len(batch.changes)
        for change in batch.changes:
            key = (change.kind, change.namespace, change.name)
            if change.data is None:
                if len(self.parts) == 1:  # parts may overlap
                    assert key in self.store
                self.store.pop(key, None)
                self.gone[key] += 1
            else:
                self.store[key] = change.data["metadata"].get("labels")

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT
        while not true():
            assert time.monotonic() < end, (self.states, len(self.store))
            self.read()

    def stands(self, standing: SyncState, kind: str = "Pod") -> bool:
        return kind in self.states and self.states[kind].standing is standing


Told = Callable[[Reader, Batch[Any]], object] | None


def state_of(cluster: FakeCluster) -> dict[tuple[str, str, str], Any]:
    kinds = {key[2]: kind for key, (kind, _) in cluster.served.items()}
    return {
        (kinds[plural], namespace, name): item["metadata"].get("labels")
        for (plural, namespace, name), item in cluster.objects.items()
    }


@contextmanager
def following(
    cluster: FakeCluster,
    *resources: Resource | Sequence[Resource],
    silence: float = 5.0,
    streamed: bool = False,
    tell: Told = None,
    later: Sequence[tuple[str, str]] = (),
) -> Iterator[tuple[Reader, FakeApi]]:
    """``tell``: batches are told to the reader by this; None: it asks for them."""
    with running(cluster) as api:
        access = Access(ServerAddress(api.url), StaticCredential())
        watch = Watch(
            access,
            [[each] if isinstance(each, Resource) else each for each in resources or (PODS,)],
            whole,
            environment={},
            later=later,
            streamed=streamed,
            silence=silence,
            chance=lambda: 0.0,
        )
        reader = Reader(watch)
        if tell is not None:
            watch.tell(partial(tell, reader))
        with watch:
            yield reader, api


def put_pod(cluster: FakeCluster, name: str, node: str, ip: str = "", **labels: str) -> None:
    """A pod on a node; without an address it was only scheduled."""
    metadata = {"name": name, "namespace": "a", "labels": labels}
    status = {"phase": "Running" if ip else "Pending", "podIP": ip}
    pod = {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}, "status": status}
    cluster.apply(pod)


def on(cluster: FakeCluster, node: str) -> dict[tuple[str, str, str], Any]:
    """What that node has to know of the pods: its own, and those with an address."""
    return {
        ("Pod", namespace, name): item["metadata"].get("labels")
        for (plural, namespace, name), item in cluster.objects.items()
        if plural == "pods"
        and (
            item["spec"]["nodeName"] == node
            or (item["status"].get("podIP") and item["status"]["phase"] != "Succeeded")
        )
    }


def both_live(reader: Reader) -> bool:
    return len(reader.parts) == 2 and all(
        state.standing is SyncState.LIVE for state in reader.parts.values()
    )
