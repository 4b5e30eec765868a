"""An API server of a few lines on loopback: every answer is written down by the test."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """What the server got."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    method: str = "GET"
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What it sends back. ``hang_up``: close the connection after so many bytes of the body.
    ``stream``: pieces that are sent in chunks instead, each when it is there; where the iterator
    raises ConnectionAbortedError, the connection is cut."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    zipped: bool = False
    hang_up: int | None = None
    stream: Iterator[bytes] | None = None


def refusal(status: int, message: str, **headers: str) -> Answer:
    body = {"kind": "Status", "status": "Failure", "message": message, "code": status}
    return Answer(status, body, {k.replace("_", "-"): v for k, v in headers.items()})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128  # one connection more than that comes a second later


@dataclass(slots=True)
class FakeApi:
    """``url`` and all that was asked, in order."""

    url: str
    requests: list[Request]


@contextmanager
def serving(respond: Callable[[Request], Answer]) -> Iterator[FakeApi]:
    """A server for the time of a ``with``; ``respond`` makes the answer to each request."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            request = Request(parts.path, query, dict(self.headers), self.command, body)
            requests.append(request)
            self.send(respond(request))

        do_POST = do_PATCH = do_GET

        def send_stream(self, answer: Answer, stream: Iterator[bytes]) -> None:
            self.send_response(answer.status)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for piece in stream:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n")
            except OSError:  # the test cut it, or the client went away
                self.close_connection = True

        def send(self, answer: Answer) -> None:
            if answer.stream is not None:
                self.send_stream(answer, answer.stream)
                return
            raw = (
                answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            )
            data = gzip.compress(raw) if answer.zipped else raw
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(data)))
            if answer.zipped:
                self.send_header("Content-Encoding", "gzip")
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: answer.hang_up])
            if answer.hang_up is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing on the screen."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield FakeApi(f"http://127.0.0.1:{server.server_address[1]}", requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
