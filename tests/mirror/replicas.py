"""Mirrors of a cluster that is a fake, and what an agent knows with them."""

from __future__ import annotations

import io
import socket
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from msgspec.structs import replace

from podfence.agent.listening import Listen
from podfence.agent.log import EventLog
from podfence.agent.mirrored import MirrorAddress, Mirrored
from podfence.agent.reviews import ResourceAttributes, Reviewer, ReviewOutcome
from podfence.agent.sources import read
from podfence.kube.access import Access, ServerAddress, StaticCredential
from podfence.kube.follow import KindState, SyncState
from podfence.kube.resource import pods_anywhere, pods_for
from podfence.kube.watch import Watch
from podfence.live.wire import ReadObject
from podfence.mirror.certificate import Certificate, secret
from podfence.mirror.main import feed
from podfence.mirror.server import MirrorServer
from podfence.model.facts import PodFacts
from tests.kube.fakecluster import FakeCluster

WAIT = 60.0
TOKEN = "right"


class Doorkeeper(Reviewer):
    """Knows one token. ``outcome``: what becomes of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ResourceAttributes]] = []
        self.outcome = ReviewOutcome.ALLOWED

    def review(self, token: str, wish: ResourceAttributes) -> ReviewOutcome:
        self.asked.append((token, wish))
        return self.outcome if token == TOKEN else ReviewOutcome.UNKNOWN


def write_certificate(folder: Path) -> Path:
    """A folder as a mounted Secret, with the token of an agent besides."""
    folder.mkdir(exist_ok=True)
    made: Any = secret("x", "x", ("localhost",), 1)
    for name, text in made["data"].items():
        (folder / name).write_bytes(b64decode(text))
    (folder / "token").write_text(TOKEN)
    return folder


@contextmanager
def kept_port() -> Iterator[int]:
    """A port that nobody else is given, also while no mirror listens on it."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield int(keeper.getsockname()[1])


class Replica:
    """A mirror."""

    def __init__(self, url: str, folder: Path, port: int, window: float = 600.0) -> None:
        self.doorkeeper = Doorkeeper()
        self.lines = io.StringIO()
        log = EventLog(self.lines)
        certificate = Certificate(folder, log)
        self.port = port
        self.server = MirrorServer(
            Listen(port=self.port), certificate.context, self.doorkeeper, log, window=window
        )
        access = Access(ServerAddress(url), StaticCredential())
        watch = Watch(access, (pods_anywhere(),), read, environment={}, chance=lambda: 0.0)
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self.server.run),
            threading.Thread(target=feed, args=(watch, self.server, self._stopped, log)),
        ]
        for thread in self._threads:
            thread.start()

    def until_ready(self) -> Replica:
        until(lambda: self.server.is_ready)
        return self

    def end(self) -> None:
        self._stopped.set()
        self.server.stop()
        for thread in self._threads:
            thread.join()


def until(true: Callable[[], bool], step: Callable[[], None] = lambda: time.sleep(0.02)) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end
        step()


class Agent:
    """What an agent on ``n1`` knows of pods: its own from the API, others from a mirror."""

    def __init__(
        self, api: str, folder: Path, port: int, patience: float = 60.0, seed: int = 0
    ) -> None:
        self.others = pods_for("n1")[1][0].only
        address = MirrorAddress(
            f"https://localhost:{port}", folder / "ca.crt", folder / "token", patience
        )
        self.mirrored = Mirrored(address, "n1", chance=Random(seed).random)
        self.watch: Watch[ReadObject] = Watch(
            Access(ServerAddress(api), StaticCredential()),
            pods_for("n1"),
            read,
            environment={},
            chance=lambda: 0.0,
            instead={("Pod", self.others): self.mirrored},
        )
        self.store: dict[tuple[str, str], PodFacts] = {}
        self.states: dict[str, KindState] = {}

    def read(self) -> None:
        batch = self.watch.next(0.02)
        if batch is None:
            return
        self.states[batch.state.only] = batch.state
        for change in batch.changes:
            if change.data is None:
                self.store.pop(change.key, None)
            else:
                assert isinstance(change.data.facts, PodFacts)
                self.store[change.key] = change.data.facts

    def turn_to(self, replica: Replica) -> None:
        """From the next request on, ask another mirror."""
        self._change(url=f"https://localhost:{replica.port}")

    def patience(self, seconds: float) -> None:
        """How long it has now been enough to wait for a mirror."""
        self._change(patience=seconds)

    def _change(self, **given: object) -> None:
        self.mirrored._address = replace(self.mirrored._address, **given)

    @property
    def state(self) -> KindState:
        """How other nodes' pods stand."""
        return self.states.get(self.others, KindState("Pod", SyncState.SYNCING))

    def until(self, true: Callable[[], bool]) -> None:
        until(true, self.read)

    def until_it_knows(self, cluster: FakeCluster) -> None:
        self.until(lambda: self.addresses == addresses_of(cluster))

    @property
    def addresses(self) -> dict[tuple[str, str], tuple[int, bytes]]:
        return {key: (pod.v4, pod.labels) for key, pod in self.store.items()}


def addresses_of(cluster: FakeCluster) -> dict[tuple[str, str], tuple[int, bytes]]:
    """What an agent on ``n1`` should know."""
    found = {}
    for (plural, namespace, name), item in [*cluster.objects.items()]:
        if plural == "pods":
            facts = read(pods_anywhere()[0], _raw(item)).data.facts
            assert isinstance(facts, PodFacts)
            if facts.node == "n1" or (facts.seen and facts.v4 >= 0):
                found[namespace, name] = facts.v4, facts.labels
    return found


def _raw(item: Any) -> Any:
    import json

    import msgspec

    return msgspec.Raw(json.dumps(item).encode())


@contextmanager
def following(agent: Agent) -> Iterator[Agent]:
    with agent.watch:
        yield agent


def put_pod(cluster: FakeCluster, name: str, node: str, ip: str, **labels: str) -> None:
    """A pod of a node."""
    metadata = {"name": name, "namespace": "a", "labels": labels}
    status = {"phase": "Running" if ip else "Pending", "podIP": ip}
    spec = {"nodeName": node, "containers": [{"ports": [{"containerPort": 80, "name": "http"}]}]}
    cluster.apply({"kind": "Pod", "metadata": metadata, "spec": spec, "status": status})
