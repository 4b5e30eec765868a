"""An API server of pods that come and go at a fixed rate, for what a mirror costs.

    python -m bench.mirrorfeed --pods 150000 --rate 25 FOLDER

Rule: pages, one watch for each who asks, and reviews that allow everything; nothing else of an API
server, and no TLS: what is measured is behind it. A life is six events of 7.4 KB: an address, three
that change nothing that matters, the mark of its end, its end. One pod in twelve belongs to a new
ReplicaSet. It writes its port to ``FOLDER/port``, begins with ``FOLDER/go`` and ends with
``FOLDER/stop``; then ``FOLDER/pods`` holds what is there.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import Struct

from bench.eventfeed import filled

NAMESPACES: Final = 1000
REPLICAS: Final = 12
PAGE: Final = 500
BOOKMARK: Final = 5.0
LIFE: Final = ("address", "status", "status", "status", "mark", "end")
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class Pod(Struct):
    """What differs from pod to pod."""

    namespace: str
    app: int
    replicaset: str
    name: str
    node: str
    address: str
    version: int
    deleting: bool = False

    def document(self) -> dict[str, Any]:
        """As the API has it, without what nobody asks for."""
        metadata: dict[str, Any] = {
            "name": self.name,
            "namespace": self.namespace,
            "resourceVersion": str(self.version),
            "labels": {
                "app.kubernetes.io/instance": self.namespace,
                "app.kubernetes.io/name": f"service-{self.app}",
                "pod-template-hash": self.replicaset,
                "tier": ("front", "back", "data")[self.app % 3],
            },
        }
        if self.deleting:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        ports = [{"name": "http", "containerPort": 8080}]
        return {
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"nodeName": self.node, "containers": [{"name": "main", "ports": ports}]},
            "status": {"phase": "Running", "podIPs": [{"ip": self.address}]},
        }


class Feed:
    """The pods of ``nodes`` nodes, and their lives."""

    def __init__(self, pods: int, nodes: int) -> None:
        self._rng = Random(1)
        self._nodes = nodes
        self._number = 0
        self.version = 1000
        self.pods: dict[str, Pod] = {}
        self._rows: dict[tuple[str, int], str] = {}
        while len(self.pods) < pods:
            self._add()
        self._order = deque(self.pods)
        self.lock = threading.Lock()
        self.streams: list[SimpleQueue[bytes]] = []

    def _add(self) -> Pod:
        self._number += 1
        row = self._number // REPLICAS
        namespace, app = f"team-{row % NAMESPACES}", row // NAMESPACES
        replicaset = self._rows.get((namespace, app), "")
        if not replicaset or self._rng.random() < 1 / REPLICAS:
            replicaset = self._rows[namespace, app] = self._word(10)
        name = f"service-{app}-{replicaset}-{self._word(5)}"
        address = f"10.{self._number >> 16 & 255}.{self._number >> 8 & 255}.{self._number & 255}"
        node = f"ip-10-0-{self._rng.randrange(self._nodes)}.internal"
        pod = Pod(namespace, app, replicaset, name, node, address, self.version)
        self.pods[f"{namespace}/{name}"] = pod
        return pod

    def _word(self, size: int) -> str:
        return "".join(self._rng.choices(_LETTERS, k=size))

    def live(self, rate: float, stop: Path) -> float:
        """Until ``stop`` is there; lives a second that came of it. One pod ends for one that
        begins."""
        begin, number = time.monotonic(), 0
        while not stop.exists():
            number += 1
            old = self.pods[self._order.popleft()]
            new = self._add()
            self._order.append(f"{new.namespace}/{new.name}")
            for what in LIFE:
                pause = begin + number / rate - time.monotonic()
                if pause > 0:
                    time.sleep(pause / len(LIFE))
                self._tell(what, old if what in ("mark", "end") else new)
        return number / (time.monotonic() - begin)

    def _tell(self, what: str, pod: Pod) -> None:
        with self.lock:
            self.version += 1
            pod.version = self.version
            pod.deleting = pod.deleting or what == "mark"
            kind = {"address": "ADDED", "end": "DELETED"}.get(what, "MODIFIED")
            if what == "end":
                del self.pods[f"{pod.namespace}/{pod.name}"]
            event = {"type": kind, "object": filled(pod.document())}
            line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
            for stream in self.streams:
                stream.put(line)


class Handler(BaseHTTPRequestHandler):
    """Lists, watches, reviews."""

    protocol_version = "HTTP/1.1"
    feed: Feed

    def do_GET(self) -> None:
        """Pods."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if "watch" in query:
            self._watch()
            return
        start = int(query.get("continue", 0))
        with self.feed.lock:
            found = list(self.feed.pods.values())[start : start + PAGE]
            items = [pod.document() for pod in found]
            meta = {"resourceVersion": str(self.feed.version)}
            if start + PAGE < len(self.feed.pods):
                meta["continue"] = str(start + PAGE)
        self._answer(200, msgspec.json.encode({"metadata": meta, "items": items}))

    def do_POST(self) -> None:
        """A review: yes."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        user = {"username": "agent"}
        token = {"authenticated": True, "audiences": ["podfence.io"], "user": user}
        status = token if asked["kind"] == "TokenReview" else {"allowed": True}
        self._answer(201, json.dumps({**asked, "status": status}).encode())

    def _watch(self) -> None:
        stream: SimpleQueue[bytes] = SimpleQueue()
        with self.feed.lock:
            self.feed.streams.append(stream)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            try:
                line = stream.get(timeout=BOOKMARK)
            except Empty:
                with self.feed.lock:  # an event of an older version may not come after it
                    if not stream.empty():
                        continue
                    meta = {"resourceVersion": str(self.feed.version)}
                line = json.dumps({"type": "BOOKMARK", "object": {"metadata": meta}}).encode()
                line += b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def handle(self) -> None:
        """A mirror that ends is meant to."""
        with suppress(OSError):
            super().handle()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pods", type=int, default=150_000)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--rate", type=float, default=25)
    options = parser.parse_args()
    feed = Handler.feed = Feed(options.pods, options.nodes)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (options.folder / "port").write_text(str(server.server_port))
    while not (options.folder / "go").exists():
        time.sleep(0.01)
    rate = feed.live(options.rate, options.folder / "stop")
    there = {name: pod.address for name, pod in feed.pods.items()}
    (options.folder / "pods.part").write_bytes(msgspec.json.encode((rate, there)))
    (options.folder / "pods.part").rename(options.folder / "pods")
    threading.Event().wait()


if __name__ == "__main__":
    main()
