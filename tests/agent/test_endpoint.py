"""The endpoint of an agent: who is answered, who is not, and that nobody can hold it up.

The API server is a table here; a real one is asked in ``test_asked``.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from podfence.agent.endpoint import BadRequest, HttpsServer, Route
from podfence.agent.listening import CONNECTIONS, Listen
from podfence.agent.log import EventLog
from podfence.agent.reviews import (
    KEPT,
    RATE,
    REMEMBERED,
    RIGHTS,
    TOKENS,
    WAITING,
    ResourceAttributes,
    Reviewer,
    ReviewOutcome,
)
from podfence.agent.selfsigned import server_context
from podfence.errors import ClusterError
from podfence.kube.agents import AUDIENCE, HEADER
from podfence.kube.client import ConnectionLost
from tests.support.clock import Clock

Json = dict[str, Any]
WISH = ResourceAttributes("status")
GOOD, ELSEWHERE, SHOP = "good", "for-another-audience", "shop-only"


class Server:
    """An API server that knows three tokens. ``asked``: what it was posted, by path."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Json]] = []
        self.is_away = False
        self.lost = 0
        self.knows_audiences = True

    def write(self, method: str, path: str, body: bytes, content_type: str) -> bytes:
        assert (method, content_type) == ("POST", "application/json")
        if self.lost:
            self.lost -= 1
            raise ConnectionLost("it closed the connection", passing=True)
        if self.is_away:
            raise ClusterError("away")
        found = msgspec.json.decode(body)
        self.asked.append((path, found["spec"]))
        status = self._token(found["spec"]) if path == TOKENS else self._right(found["spec"])
        return msgspec.json.encode({**found, "status": status})

    def _token(self, spec: Json) -> Json:
        if spec["token"] not in (GOOD, ELSEWHERE, SHOP):
            return {"authenticated": False, "error": "unknown"}
        user = {"username": spec["token"], "uid": "1", "groups": ["g"], "extra": {"a/b": ["c"]}}
        audiences = ["https://kubernetes"] if spec["token"] == ELSEWHERE else [AUDIENCE]
        found = {"authenticated": True, "user": user}
        return {**found, "audiences": audiences} if self.knows_audiences else found

    @staticmethod
    def _right(spec: Json) -> Json:
        wanted = spec["resourceAttributes"]
        assert (wanted["group"], wanted["verb"]) == (AUDIENCE, "get")
        if spec["user"] == SHOP and wanted["namespace"] != "shop":
            return {"allowed": False}
        return {"allowed": wanted["resource"] == "status"}


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    return server_context()


class Asked:
    """An endpoint on loopback, and what asks it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.api = Server()
        self.clock = Clock(1000.0)
        self.logged = io.StringIO()
        self.go = threading.Event()
        self.reviewer = Reviewer(self.api, self.clock)
        paths = {
            "/v1/status": Route("status", lambda _: iter((b'{"a":1}',))),
            "/v1/shop": Route("status", self._namespace, of_namespace=True),
            "/v1/secret": Route("secrets", lambda _: iter((b"no",))),
            "/v1/long": Route("status", self._long),
            "/v1/wrong": Route("status", lambda _: iter((str(1 // 0).encode(),))),
        }
        self.server = HttpsServer(
            Listen(port=0), context, self.reviewer, paths, EventLog(self.logged)
        )
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True)
        self.thread.start()

    @staticmethod
    def _namespace(query: Mapping[str, str]) -> Iterator[bytes]:
        if query.get("kind") == "?":
            raise BadRequest("kind: write NetworkPolicy")
        yield query.get("namespace", "all").encode()

    def _long(self, _: Mapping[str, str]) -> Iterator[bytes]:
        yield b"first"
        yield b""
        assert self.go.wait(30)
        yield b"last"

    def open(self, path: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, timeout=20, context=tls
        )
        connection.request("GET", path, headers=dict(headers))
        return connection.getresponse()

    def get(self, path: str, token: str = GOOD) -> tuple[int, str]:
        answer = self.open(path, {HEADER: token} if token else {})
        return answer.status, answer.read().decode()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=20)


@pytest.fixture
def asked(context: ssl.SSLContext) -> Iterator[Asked]:
    made = Asked(context)
    yield made
    made.go.set()
    made.server.shutdown()
    made.server.server_close()


def test_an_authorised_client_is_answered(asked: Asked) -> None:
    assert asked.get("/v1/status") == (200, '{"a":1}')
    (_, token), (_, right) = asked.api.asked
    assert token == {"token": GOOD, "audiences": [AUDIENCE]}
    assert (right["user"], right["groups"], right["extra"]) == (GOOD, ["g"], {"a/b": ["c"]})


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        ("", "/v1/status", 401),
        ("unknown", "/v1/status", 401),
        (ELSEWHERE, "/v1/status", 401),
        ("x" * 20000, "/v1/status", 401),
        ("x" * 70000, "/v1/status", 431),
        ("x\x80", "/v1/status", 401),
        (GOOD, "/v1/secret", 403),
        (SHOP, "/v1/status", 403),
        (SHOP, "/v1/status?namespace=shop", 403),
        (SHOP, "/v1/shop", 403),
        (SHOP, "/v1/shop?namespace=", 403),
        (SHOP, "/v1/shop?namespace=shop&namespace=other", 403),
        (SHOP, "/v1/shop?namespace=shop", 200),
        (SHOP, "/v1/none?namespace=shop", 403),
        ("unknown", "/v1/none", 401),
        (GOOD, "/v1/none", 404),
        (GOOD, "/v1/status/", 404),
        (GOOD, "/v1/status?" + "a=b&" * 17, 400),
        (GOOD, "/v1/status?a=%ff", 400),
        (GOOD, "/v1/status?" + "a" * 3000, 400),
        (GOOD, "/v1/shop?kind=?", 400),
    ],
)
def test_who_may_not_is_told_so_and_nothing_else(
    asked: Asked, token: str, path: str, status: int
) -> None:
    found, text = asked.get(path, token)
    assert found == status, text
    assert "/v1/" not in text or status == 404


def test_a_server_that_knows_no_audiences_lets_nobody_in(asked: Asked) -> None:
    asked.api.knows_audiences = False
    assert asked.get("/v1/status")[0] == 401


def test_a_token_of_the_api_server_s_own_header_is_none(asked: Asked) -> None:
    assert asked.open("/v1/status", {"Authorization": f"Bearer {GOOD}"}).status == 401


def test_without_the_api_server_there_is_no_answer_and_that_is_not_remembered(
    asked: Asked,
) -> None:
    asked.api.is_away = True
    assert asked.get("/v1/status")[0] == 503
    asked.api.is_away = False
    assert asked.get("/v1/status")[0] == 200
    asked.api.is_away = True
    assert asked.get("/v1/status")[0] == 200
    asked.clock.now += REMEMBERED
    assert asked.get("/v1/status")[0] == 503


def test_a_connection_that_was_idle_for_long_is_no_reason_to_refuse(asked: Asked) -> None:
    asked.api.lost = 1
    assert asked.get("/v1/status")[0] == 200


def test_a_right_that_was_taken_away_is_gone_when_what_is_remembered_is_old(asked: Asked) -> None:
    assert asked.get("/v1/status")[0] == 200
    assert asked.get("/v1/status")[0] == 200
    assert len(asked.api.asked) == 2
    asked.api.knows_audiences = False
    asked.clock.now += REMEMBERED
    assert asked.get("/v1/status")[0] == 401


def test_what_is_remembered_of_one_wish_says_nothing_of_another(asked: Asked) -> None:
    assert asked.get("/v1/shop?namespace=shop", SHOP)[0] == 200
    assert asked.get("/v1/shop?namespace=other", SHOP)[0] == 403


def test_the_api_server_is_asked_a_few_times_a_second_whoever_knocks(asked: Asked) -> None:
    found = [asked.reviewer.review(f"x{number}", WISH) for number in range(RATE + 5)]
    assert found == [ReviewOutcome.UNKNOWN] * RATE + [ReviewOutcome.BUSY] * 5
    assert len([path for path, _ in asked.api.asked if path == TOKENS]) == RATE
    assert asked.get("/v1/status")[0] == 503
    asked.clock.now += 1
    assert asked.get("/v1/status")[0] == 200


def test_what_is_remembered_is_bounded(asked: Asked) -> None:
    for number in range(KEPT + 50):
        asked.clock.now += 1 / RATE
        asked.reviewer.review(f"x{number}", WISH)
    assert len(asked.reviewer._known) == KEPT


def test_an_answer_comes_in_pieces(asked: Asked) -> None:
    answer = asked.open("/v1/long", {HEADER: GOOD})
    assert answer.read1(100) == b"first"
    asked.go.set()
    assert answer.read() == b"last"


def test_who_was_admitted_stays_whoever_knocks(asked: Asked) -> None:
    answer = asked.open("/v1/long", {HEADER: GOOD})
    assert answer.read1(100) == b"first"
    silent = [asked.connect() for _ in range(4 * CONNECTIONS)]
    assert asked.get("/v1/status") == (200, '{"a":1}')
    asked.go.set()
    assert answer.read() == b"last"
    for each in silent:
        each.close()


def test_those_that_are_admitted_are_few(asked: Asked) -> None:
    open_ = [asked.open("/v1/long", {HEADER: GOOD}) for _ in range(CONNECTIONS)]
    assert {each.status for each in open_} == {200}
    assert asked.get("/v1/status")[0] == 503
    asked.go.set()
    assert {each.read() for each in open_} == {b"firstlast"}
    until = time.monotonic() + 20
    while asked.get("/v1/status")[0] != 200:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize(
    "data", [b"", b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"a" * 9]
)
def test_who_does_not_speak_tls_harms_nobody(asked: Asked, data: bytes) -> None:
    with asked.connect() as client, suppress(OSError):  # it may be gone before we are done
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    assert asked.get("/v1/status")[0] == 200
    assert asked.logged.getvalue() == ""


def test_a_mistake_of_ours_is_logged(asked: Asked) -> None:
    with pytest.raises(http.client.HTTPException):
        asked.get("/v1/wrong")
    assert "ZeroDivisionError" in asked.logged.getvalue()


def test_nothing_of_a_request_but_get_is_heard(asked: Asked) -> None:
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    for method in ("POST", "PUT", "DELETE", "HEAD"):
        connection = http.client.HTTPSConnection(
            "127.0.0.1", asked.server.port, timeout=20, context=tls
        )
        connection.request(method, "/v1/status", headers={HEADER: GOOD})
        assert connection.getresponse().status == 501
    assert asked.api.asked == []


def test_reviews_go_to_the_paths_of_the_api() -> None:
    assert TOKENS.startswith("/apis/authentication.k8s.io/v1/")
    assert RIGHTS.startswith("/apis/authorization.k8s.io/v1/")


def test_old_tls_is_refused(context: ssl.SSLContext) -> None:
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


class Hanging(Server):
    """An API server that answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.asking = threading.Semaphore(0)

    def write(self, method: str, path: str, body: bytes, content_type: str) -> bytes:
        self.asking.release()
        assert self.go.wait(30)
        return super().write(method, path, body, content_type)


def test_few_wait_for_an_api_server_that_hangs() -> None:
    """Whoever knocks would hold a thread and a connection otherwise."""
    api = Hanging()
    reviewer = Reviewer(api, Clock(1000.0))
    found: list[ReviewOutcome] = []

    def knock(token: str) -> None:
        found.append(reviewer.review(token, WISH))

    knocking = [
        threading.Thread(target=knock, args=(f"t{number}",)) for number in range(WAITING + 5)
    ]
    for each in knocking:
        each.start()
    assert api.asking.acquire(timeout=20)
    until = time.monotonic() + 20
    while len(found) < 5:
        assert time.monotonic() < until, found
        time.sleep(0.01)
    assert found == [ReviewOutcome.BUSY] * 5
    api.go.set()
    for each in knocking:
        each.join(20)
    assert len(found) == len(knocking)


def test_who_is_known_does_not_wait_for_who_is_not() -> None:
    api = Hanging()
    api.go.set()
    reviewer = Reviewer(api, Clock(1000.0))
    assert reviewer.review(GOOD, WISH) is ReviewOutcome.ALLOWED
    api.go.clear()
    while api.asking.acquire(blocking=False):
        pass
    stranger = threading.Thread(target=reviewer.review, args=("stranger", WISH))
    stranger.start()
    assert api.asking.acquire(timeout=20)
    assert reviewer.review(GOOD, WISH) is ReviewOutcome.ALLOWED
    api.go.set()
    stranger.join(20)
