"""Requests: retried where that helps, refused in the server's words, with the right identity."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from ssl import TLSVersion

import pytest

from podfence.errors import ClusterError
from podfence.kube.access import Access, Credential, ServerAddress, StaticCredential
from podfence.kube.client import LONGEST_PAUSE, TRIES, Client, ConnectionLost, ServerRefusal
from podfence.kube.connection import _tls_context, open_connection
from tests.kube.fakeapi import Answer, FakeApi, Request, refusal, serving

OK = Answer(body={"kind": "Status"})


class Renewed:
    """Credentials that are another one after each 401."""

    def __init__(self) -> None:
        self.number = 0

    def get(self) -> Credential:
        return Credential(f"token-{self.number}")

    def refused(self) -> bool:
        self.number += 1
        return True


def scripted(*answers: Answer) -> Callable[[Request], Answer]:
    """One answer after the other; the last one again and again."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def client(api: FakeApi, pauses: list[float] | None = None, **access: object) -> Client:
    server = ServerAddress(api.url)
    wanted = Access(server, **{"credentials": StaticCredential(), **access})  # type: ignore[arg-type]
    return Client(wanted, {}, (pauses if pauses is not None else []).append)


def test_the_body_of_an_answer_is_returned() -> None:
    with serving(scripted(Answer(body={"a": 1}))) as api, client(api) as asked:
        assert asked.get("/api", {"limit": "5"}) == b'{"a": 1}'
        assert api.requests[0].path == "/api"
        assert api.requests[0].query == {"limit": "5"}


def test_a_zipped_answer_is_unzipped() -> None:
    with serving(scripted(Answer(body={"a": 1}, zipped=True))) as api, client(api) as asked:
        assert asked.get("/api") == b'{"a": 1}'


def test_two_requests_share_one_connection() -> None:
    with serving(scripted(OK)) as api, client(api) as asked:
        asked.get("/a")
        before = asked._connection
        asked.get("/b")
        assert asked._connection is before


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    with serving(scripted(refusal(status, "busy"), OK)) as api, client(api) as asked:
        asked.get("/a")
        assert len(api.requests) == 2


def test_a_server_that_stays_busy_is_given_up() -> None:
    with (
        serving(scripted(refusal(503, "still busy"))) as api,
        client(api) as asked,
        pytest.raises(ServerRefusal, match="answers 503 to /a: still busy"),
    ):
        asked.get("/a")
    assert len(api.requests) == TRIES


def test_the_pause_that_the_server_asks_for_is_kept() -> None:
    pauses: list[float] = []
    answers = refusal(429, "slow down", Retry_After="7"), refusal(429, "x", Retry_After="999"), OK
    with serving(scripted(*answers)) as api, client(api, pauses) as asked:
        asked.get("/a")
    assert pauses == [7.0, LONGEST_PAUSE]


def test_pauses_without_one_grow() -> None:
    pauses: list[float] = []
    with (
        serving(scripted(refusal(500, "x"))) as api,
        client(api, pauses) as asked,
        pytest.raises(ServerRefusal),
    ):
        asked.get("/a")
    assert len(pauses) == TRIES - 1
    assert pauses[-1] > pauses[0]


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_not_repeated(status: int) -> None:
    with (
        serving(scripted(refusal(status, "no \x1b[31m"), OK)) as api,
        client(api) as asked,
        pytest.raises(ServerRefusal) as caught,
    ):
        asked.get("/a")
    assert caught.value.status == status
    assert "\x1b" not in caught.value.message
    assert len(api.requests) == 1


def test_an_expired_token_is_renewed_once() -> None:
    with (
        serving(scripted(refusal(401, "x"), OK)) as api,
        client(api, credentials=Renewed()) as asked,
    ):
        asked.get("/a")
    shown = [each.headers["Authorization"] for each in api.requests]
    assert shown == ["Bearer token-0", "Bearer token-1"]


def test_a_token_that_stays_refused_is_an_error() -> None:
    with (
        serving(scripted(refusal(401, "Unauthorized"))) as api,
        client(api, credentials=Renewed()) as asked,
        pytest.raises(ServerRefusal, match="401"),
    ):
        asked.get("/a")
    assert len(api.requests) == 2


def test_a_connection_that_breaks_inside_an_answer_is_opened_again() -> None:
    broken = Answer(body={"long": "x" * 1000}, hang_up=10)
    with serving(scripted(broken, OK)) as api, client(api) as asked:
        asked.get("/a")
        assert len(api.requests) == 2


def test_a_server_that_is_not_there_is_named() -> None:
    gone = Access(ServerAddress("http://127.0.0.1:9"), StaticCredential())
    with pytest.raises(ClusterError, match=r"http://127\.0\.0\.1:9 cannot be asked: .*refused"):
        Client(gone, {}, lambda _: None).get("/a")


def test_impersonation_and_password_travel_as_headers() -> None:
    who = {"Impersonate-User": ("jane",), "Impersonate-Group": ("dev",)}
    basic = StaticCredential(Credential(basic=("bob", "secret")))
    with serving(scripted(OK)) as api, client(api, impersonate=who, credentials=basic) as asked:
        asked.get("/a")
    sent = api.requests[0].headers
    assert (sent["Impersonate-User"], sent["Impersonate-Group"]) == ("jane", "dev")
    assert sent["Authorization"] == "Basic Ym9iOnNlY3JldA=="


def test_names_of_any_script_travel_as_utf_8() -> None:
    with (
        serving(scripted(OK)) as api,
        client(api, impersonate={"Impersonate-User": ("J\u0101ne",)}) as asked,
    ):
        asked.get("/a")
    assert api.requests[0].headers["Impersonate-User"].encode("latin-1").decode() == "J\u0101ne"


def test_a_token_with_a_line_break_is_no_header() -> None:
    bad = StaticCredential(Credential("a\r\nX-Evil: 1"))
    with (
        serving(scripted(OK)) as api,
        client(api, credentials=bad) as asked,
        pytest.raises(ClusterError, match="header cannot carry"),
    ):
        asked.get("/a")
    assert api.requests == []


def test_a_secret_is_not_shown() -> None:
    assert "hush" not in repr(Credential("hush", ("bob", "hush"), b"hush", b"hush"))


def test_a_plain_proxy_is_asked_for_a_tunnel() -> None:
    """The fake server knows no CONNECT: its refusal shows that it was asked as a proxy."""
    with serving(scripted(OK)) as api:
        access = Access(
            ServerAddress("http://api.invalid:80", proxy_url=api.url), StaticCredential()
        )
        with pytest.raises(ClusterError, match="Tunnel connection failed"):
            Client(access, {}, lambda _: None).get("/a")


@pytest.mark.parametrize("proxy", ["http://[::1", "http://a:b"])
def test_a_proxy_without_an_address_is_an_error(proxy: str) -> None:
    server = ServerAddress("http://192.0.2.1", proxy_url=proxy)
    with pytest.raises(ClusterError, match="the proxy cannot be used"):
        open_connection(server, Credential(), {}, 1.0)


def test_a_proxy_of_another_protocol_is_an_error() -> None:
    server = ServerAddress("http://api.invalid", proxy_url="socks5://127.0.0.1:1080")
    with pytest.raises(ClusterError, match="socks5://127"):
        Client(Access(server, StaticCredential()), {}, lambda _: None).get("/a")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("environment", "proxied"),
    [
        ({"http_proxy": "{url}"}, True),
        ({"HTTP_PROXY": "{url}"}, True),
        ({"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "{url}"}, True),
        ({"https_proxy": "{url}"}, False),
        ({"http_proxy": "{url}", "NO_PROXY": "other,.invalid"}, False),
        ({"http_proxy": "{url}", "no_proxy": "*"}, False),
        ({}, False),
    ],
)
def test_a_proxy_of_the_given_environment_is_used(
    environment: dict[str, str], proxied: bool
) -> None:
    with serving(scripted(OK)) as api:
        given = {name: value.format(url=api.url) for name, value in environment.items()}
        asked = Client(
            Access(ServerAddress("http://api.invalid:80"), StaticCredential()),
            given,
            lambda _: None,
        )
        with pytest.raises(ClusterError) as caught:
            asked.get("/a")
    assert ("Tunnel connection failed" in caught.value.message) is proxied
    del caught
    if sys.version_info < (3, 11, 4):
        gc.collect()  # http.client leaves the answer of a refused tunnel open


def test_lines_come_as_they_are_sent_and_a_cut_is_a_loss() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one\ntw"
        yield b"o\nthree\n"
        raise ConnectionAbortedError

    with serving(lambda _: Answer(stream=pieces())) as api, client(api) as asked:
        lines = asked.lines("/a", {})
        assert [next(lines) for _ in range(3)] == [[], [b"one"], [b"two", b"three"]]
        with pytest.raises(ConnectionLost):
            next(lines)


def test_a_stream_that_is_left_early_does_not_stand_before_the_next_answer() -> None:
    answers = Answer(stream=iter([b"a\n", b"b\n"])), OK
    with serving(scripted(*answers)) as api, client(api) as asked:
        for lines in asked.lines("/a", {}):
            if lines:
                break
        asked.get("/b")
        assert [each.path for each in api.requests] == ["/a", "/b"]


@pytest.mark.parametrize("insecure", [False, True])
def test_an_old_tls_is_not_spoken(insecure: bool) -> None:
    """Where the system has no limit of its own, either; CPython of Debian 12 has none."""
    context = _tls_context(ServerAddress("https://example", insecure=insecure), Credential())
    assert context.minimum_version is TLSVersion.TLSv1_2
