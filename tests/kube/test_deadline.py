"""A server that is not trusted cannot keep who asks it, whatever it sends and however slowly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from podfence.kube.access import Access, ServerAddress, StaticCredential
from podfence.kube.client import Client, ConnectionLost
from tests.kube.fakeapi import Answer, Request, refusal, serving
from tests.kube.test_client import Renewed

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_LONGEST = 0.2
"""Seconds; who drips is over it however slow the machine is."""
_PATIENT = 60.0


@contextmanager
def dripping(first: bytes, again: bytes) -> Iterator[str]:
    """The URL of a server that answers with ``first``, and then ``again`` for ever."""
    is_over = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(first)
            while not is_over.wait(0.02):
                connection.sendall(again)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join()


def suspicious(url: str, longest: float = _PATIENT, **access: object) -> Client:
    found = Access(ServerAddress(url), **{"credentials": StaticCredential(), **access})  # type: ignore[arg-type]
    return Client(found, {}, tries=1, silence=5.0, largest=1 << 16, longest=longest)


@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param(b"", b"H", id="status line"),
        pytest.param(_OK + b"X: ", b"x", id="header"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="100 Continue"),
        pytest.param(_OK + b"Content-Length: 9999\r\n\r\n", b" ", id="body"),
        pytest.param(_CHUNKED + b"2;", b"x", id="size of a piece"),
        pytest.param(_CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: x\r\n", id="trailers"),
        pytest.param(b"HTTP/1.1 403 No\r\nX: ", b"x", id="refusal"),
    ],
)
def test_who_sends_a_byte_now_and_then_is_cut_off(first: bytes, again: bytes) -> None:
    with (
        dripping(first, again) as url,
        suspicious(url, _LONGEST) as asked,
        pytest.raises(ConnectionLost, match=r"its answer takes more than 0\.2 s"),
    ):
        asked.get("/v1/status")


def test_nothing_cuts_a_connection_after_an_answer_in_time() -> None:
    before = {*threading.enumerate()}
    with serving(lambda _: Answer(body={})) as api, suspicious(api.url) as asked:
        asked.get("/a")
        for each in {*threading.enumerate()} - before:
            if isinstance(each, threading.Timer):
                each.join(_PATIENT / 2)
                assert not each.is_alive()
        assert asked.get("/b") == b"{}"


def test_a_refused_credential_is_bounded_like_any_answer() -> None:
    renewed = Renewed()
    large = Answer(status=401, body=b" " * (1 << 18))
    with (
        serving(lambda _: large) as api,
        suspicious(api.url, credentials=renewed) as asked,
        pytest.raises(ConnectionLost, match="more than 65536 bytes"),
    ):
        asked.get("/a")
    assert len(api.requests) == 1


def test_a_refused_credential_is_renewed_within_the_bounds_too() -> None:
    def respond(request: Request) -> Answer:
        is_new = request.headers["Authorization"] == "Bearer token-1"
        return Answer(body={}) if is_new else refusal(401, "expired")

    with serving(respond) as api, suspicious(api.url, credentials=Renewed()) as asked:
        assert asked.get("/a") == b"{}"
