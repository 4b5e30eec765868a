"""Health, readiness and metrics over HTTP: what is answered, and that nobody can hold it up."""

from __future__ import annotations

import http.client
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest
from msgspec.structs import replace

from podfence.agent.conditions import Condition, ConditionKind
from podfence.agent.listening import CONNECTIONS, HEAD, Listen
from podfence.agent.log import EventLog
from podfence.agent.machine import Meter
from podfence.agent.status import HUNG, NodeStatus, WatchedKind
from podfence.agent.web import PathResponses, WebServer
from podfence.errors import HostError
from tests.agent.exposition import parse

NOW = 1000.0
WELL = NodeStatus("n1", started=0.0, turned=NOW, in_sync=True)


class Server:
    """A server on loopback; ``status`` is what it is to tell."""

    def __init__(self) -> None:
        self.status = WELL
        self.logged = io.StringIO()
        pages = PathResponses(self._status, Meter("podfence"), lambda: NOW)
        self.server = WebServer(Listen(port=0), pages, EventLog(self.logged))
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True)
        self.thread.start()

    def _status(self) -> NodeStatus:
        if self.status is None:
            raise ZeroDivisionError("a mistake of ours")
        return self.status

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        with suppress(http.client.RemoteDisconnected):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        return 0, ""

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=20)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_it_is_healthy_while_the_thread_comes_round(server: Server) -> None:
    assert server.get("/healthz") == (200, "ok\n")
    server.status = replace(WELL, turned=NOW - HUNG - 1)
    status, text = server.get("/healthz")
    assert (status, "has been stuck for 31 s" in text) == (503, True)


def test_it_is_ready_from_the_first_time_that_all_is_enforced(server: Server) -> None:
    server.status = replace(
        WELL,
        in_sync=False,
        sources=(WatchedKind("Pod", "own", "syncing"), WatchedKind("Node", "", "live")),
        conditions=(Condition(ConditionKind.FORBIDDEN, "Pod", "no", 1.0),),
    )
    assert server.get("/readyz") == (503, "not in sync\nPod: syncing\nForbidden: 1\n")
    server.status = replace(server.status, in_sync=True)
    assert server.get("/readyz") == (200, "ok\nForbidden: 1\n")


def test_metrics_are_served_with_their_content_type(server: Server) -> None:
    status, text = server.get("/metrics?x=y")
    assert status == 200
    samples = parse(text)
    assert samples["podfence_in_sync", ()] == 1
    assert samples["process_resident_memory_bytes", ()] > 1 << 20


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/healthz/", "GET", 404),
        ("/metrics", "POST", 501),
        ("/healthz", "DELETE", 501),
    ],
)
def test_nothing_else_is_there(server: Server, path: str, method: str, status: int) -> None:
    assert server.get(path, method)[0] == status


@pytest.mark.parametrize(
    "data",
    [
        b"\0\xff\xfe\n\n",
        b"GET " + b"a" * 70000 + b" HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\n" + (b"a: " + b"b" * 60000 + b"\r\n") * 2 + b"\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_invalid_requests_do_not_disturb_the_server(server: Server, data: bytes) -> None:
    with server.connect() as client, suppress(OSError):
        client.sendall(data)
        while client.recv(65536):
            pass
    assert server.get("/healthz") == (200, "ok\n")
    assert server.logged.getvalue() == ""


@pytest.mark.parametrize(("length", "answers"), [(HEAD // 2, True), (HEAD, False)])
def test_a_request_has_few_bytes(server: Server, length: int, answers: bool) -> None:
    """Sixteen connections of a hundred headers of 64 KiB each would be more than the memory that an
    agent may have."""
    header = b"a: " + b"b" * (length // 2 - 5) + b"\r\n"
    with server.connect() as client, suppress(OSError):
        client.sendall(b"GET /healthz HTTP/1.0\r\n" + header * 2 + b"\r\n")
        found = b""
        while piece := client.recv(65536):
            found += piece
    assert found.endswith(b"ok\n") is answers


def test_who_asks_nothing_holds_nobody_up(server: Server) -> None:
    before = {*threading.enumerate()}  # of other tests, too
    silent = [server.connect() for _ in range(4 * CONNECTIONS)]
    assert server.get("/healthz") == (200, "ok\n")
    until = time.monotonic() + 60
    while len(left := {*threading.enumerate()} - before) > CONNECTIONS + 1:
        assert time.monotonic() < until, left
        time.sleep(0.01)
    for each in silent:
        each.close()


def test_many_may_knock_before_anybody_opens() -> None:
    """Who finds the queue full is heard again after a second, and then after more."""
    pages = PathResponses(lambda: WELL, Meter("podfence"))
    made = WebServer(Listen(port=0), pages, EventLog(io.StringIO()))
    with ExitStack() as knocking:
        knocking.callback(made.server_close)
        for _ in range(4 * CONNECTIONS):
            knocking.enter_context(socket.create_connection(("127.0.0.1", made.port), timeout=60))


def test_a_mistake_of_ours_is_logged(server: Server) -> None:
    server.status = None  # type: ignore[assignment]
    assert server.get("/healthz") == (0, "")
    assert "a mistake of ours" in server.logged.getvalue()


def test_a_port_that_somebody_has_is_an_error_with_a_way_out(server: Server) -> None:
    pages = PathResponses(lambda: WELL, Meter("podfence"))
    with pytest.raises(HostError, match=r"127.0.0.1:\d+ cannot be listened on: .*--http-port"):
        WebServer(Listen(port=server.server.port), pages, EventLog(io.StringIO()))


@pytest.mark.parametrize("address", ["no-address", "203.0.113.1", "", "::ffff:1.2.3.4:5"])
def test_an_address_that_is_not_here_is_one_too(address: str) -> None:
    if not address:
        address = "a" * 300
    pages = PathResponses(lambda: WELL, Meter("podfence"))
    with pytest.raises(HostError, match="cannot be listened on"):
        WebServer(Listen(address, 0), pages, EventLog(io.StringIO()))


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 here")
def test_it_listens_on_ipv6() -> None:
    pages = PathResponses(lambda: WELL, Meter("podfence"), lambda: NOW)
    made = WebServer(Listen("::1", 0), pages, EventLog(io.StringIO()))
    threading.Thread(target=made.run, daemon=True).start()
    connection = http.client.HTTPConnection("::1", made.port, timeout=20)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    made.shutdown()
    made.server_close()
