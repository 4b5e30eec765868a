"""An API server that serves a cluster of ``eventfeed``, and then events at a fixed rate.

    python -m bench.agentapi C10 --events 10000 --rate 200 FOLDER

Rule: lists in pages, watches, field selectors as an agent asks for them, TLS; nothing else of an
API server. A resourceVersion is the time in microseconds of the monotonic clock at which the event
was sent, so that who reads it knows how old it is. It writes its port to ``FOLDER/port`` when it is
ready. Once ``FOLDER/go`` is there it writes down all events, so that no time is lost between two;
then ``FOLDER/begun`` appears, and they are sent.
"""

from __future__ import annotations

import argparse
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from bench.eventfeed import SHAPES, Feed, filled
from bench.generate import Manifest

PATHS: Final = {
    "/api/v1/namespaces": "Namespace",
    "/api/v1/nodes": "Node",
    "/api/v1/pods": "Pod",
    "/apis/networking.k8s.io/v1/networkpolicies": "NetworkPolicy",
}
SENT: Final = b'"0000000000000000"'
"""In the place of the time at which a line is sent."""
_LATE: Final = 0.001
"""Seconds that a sleep may take too long."""


def is_own(thing: Mapping[str, Any], node: str) -> bool:
    """``spec.nodeName=``."""
    return bool(thing["spec"].get("nodeName") == node)


def is_other(thing: Mapping[str, Any], node: str) -> bool:
    """What an agent asks for of other nodes' pods."""
    status = thing.get("status", {})
    phase = status.get("phase")
    return bool(not is_own(thing, node) and status.get("podIP") and phase not in ("Succeeded",))


class Stream:
    """One watch: what is selected. ``out``: where its lines are written."""

    def __init__(self, kind: str, selector: str, out: BufferedIOBase | None = None) -> None:
        self.kind = kind
        self.out = out
        self._selector = selector
        self._held: set[tuple[str, str]] = set()

    def selects(self, thing: Mapping[str, Any]) -> bool:
        """Whether an object is of this part."""
        if not self._selector:
            return True
        first = self._selector.split(",")[0]
        operator = "!=" if "!=" in first else "="
        node = first.partition(operator)[2]
        if thing["kind"] == "Node":
            return (thing["metadata"]["name"] == node) is (operator == "=")
        return (is_other if operator == "!=" else is_own)(thing, node)

    def hold(self, thing: Mapping[str, Any]) -> None:
        """It was listed."""
        self._held.add(_key(thing))

    def line(self, what: str, thing: Manifest) -> bytes:
        """An event, as a server tells it of a part: what leaves the part is deleted; b"" for what
        was not of it, and is not."""
        key = _key(thing)
        there = what != "DELETED" and self.selects(thing)
        if not there and key not in self._held:
            return b""
        kind = "DELETED" if not there else ("MODIFIED" if key in self._held else "ADDED")
        (self._held.add if there else self._held.discard)(key)
        return _line(kind, thing)


class Server(ThreadingHTTPServer):
    """``things``: all objects by kind, as they were listed."""

    daemon_threads = True

    def __init__(self, feed: Feed) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.things: dict[str, list[Manifest]] = {kind: [] for kind in PATHS.values()}
        for _, thing in feed.objects():
            self.things[thing["kind"]].append(filled(thing))
        self.pages: dict[tuple[str, str, int], bytes] = {}
        self.streams: list[Stream] = []


class Handler(BaseHTTPRequestHandler):
    """Lists and watches."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    """As an API server: an event is not held back until the one before it was acknowledged."""
    server: Server

    def do_GET(self) -> None:
        """One request."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        kind = PATHS.get(url.path)
        if kind is None:
            self._answer(404, b'{"message": "not found"}')
        elif "watch" in query:
            self._watch(kind, query.get("fieldSelector", ""))
        else:
            self._list(kind, query)

    def _list(self, kind: str, query: Mapping[str, str]) -> None:
        selector, start = query.get("fieldSelector", ""), int(query.get("continue", 0))
        size = int(query.get("limit", 500))
        part = Stream(kind, selector)
        found = [thing for thing in self.server.things[kind] if part.selects(thing)]
        items = found[start : start + size]
        meta = {"resourceVersion": "1"}
        if start + size < len(found):
            meta["continue"] = str(start + size)
        self._answer(200, json.dumps({"metadata": meta, "items": items}).encode())

    def _watch(self, kind: str, selector: str) -> None:
        stream = Stream(kind, selector, self.wfile)
        for thing in self.server.things[kind]:
            if stream.selects(thing):
                stream.hold(thing)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.server.streams.append(stream)
        threading.Event().wait()  # who sends events writes them

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        """A reader that goes away is nobody's fault."""
        with suppress(OSError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _key(thing: Mapping[str, Any]) -> tuple[str, str]:
    metadata = thing["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def _line(kind: str, thing: Manifest) -> bytes:
    found = {"type": kind, "object": thing}
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


def certificate(folder: Path) -> ssl.SSLContext:
    """A certificate of this run's own."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    command += f" -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}"
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def main() -> None:
    """Serve until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=200)
    options = parser.parse_args()
    feed = Feed(SHAPES[options.shape])
    server = Server(feed)
    server.socket = certificate(options.folder).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = options.folder / "port.new"
    port.write_text(str(server.server_port))
    port.rename(options.folder / "port")  # who sees it sees all of it
    while not (options.folder / "go").exists():
        time.sleep(0.01)
    events = [*written(feed, server.streams, options.events)]
    (options.folder / "begun").touch()
    took = send(events, options.rate)
    done = options.folder / "done.new"
    done.write_text(f"{options.events / took:.0f}")
    done.rename(options.folder / "done")
    threading.Event().wait()


def written(feed: Feed, streams: list[Stream], count: int) -> Iterator[list[tuple[Stream, bytes]]]:
    """So many events: of each the lines, with whom they are for."""
    for what, thing in feed.events(count):
        told = filled(thing)
        told["metadata"]["resourceVersion"] = SENT.decode().strip('"')
        of_kind = [stream for stream in streams if stream.kind == told["kind"]]
        lines = [(stream, stream.line(what, told)) for stream in of_kind]
        yield [(stream, line) for stream, line in lines if line]


def send(events: list[list[tuple[Stream, bytes]]], rate: float) -> float:
    """Events at a fixed rate; the seconds that it took. Who is late, because a reader is slow, says
    of an event the time at which it was due."""
    begin = time.monotonic()
    for number, lines in enumerate(events):
        due = begin + number / rate
        time.sleep(max(0.0, due - time.monotonic()))
        for stream, line in lines:
            sent = int(min(time.monotonic(), due + _LATE) * 1e6)
            told = line.replace(SENT, b'"%016d"' % sent, 1)
            assert stream.out is not None
            stream.out.write(b"%x\r\n%s\r\n" % (len(told), told))
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
