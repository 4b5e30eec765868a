"""``podfence serve``: what it answers, to whom, and how it ends."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from tests.cli.session import ROOT, podfence
from tests.cli.test_report import written
from tests.cli.test_report_tests import PROMISES
from tests.support.serving import Serving

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def shop() -> Iterator[Serving]:
    with Serving("-f", "examples/shop") as server:
        yield server


# -- what is shown


def test_the_map_is_that_of_map(shop: Serving) -> None:
    served = shop.get("map")
    names = [each["name"] for each in served["endpoints"]]
    pairs = set()
    for to, _, _, steps in served["rows"]:
        source = 0
        for step in steps:
            source += step
            pairs.add((names[source], names[to]))
    printed = json.loads(podfence(["map", "-f", "examples/shop", "-o", "json"]).out)
    assert pairs == {(a, row["to"]) for row in printed["connections"] for a in row["from"]}


def test_the_tests_are_those_of_a_report(tmp_path: Path) -> None:
    promises = tmp_path / "promises.yaml"
    promises.write_text(PROMISES)
    given = ("-f", "examples/shop", "--tests", str(promises))
    with Serving(*given) as server:
        assert server.get("tests") == written(*given).data["tests"]


def test_without_test_files_there_is_nothing_of_tests(shop: Serving) -> None:
    assert shop.get("tests") is None


def test_a_wrong_test_file_is_said_with_its_position_before_anything_is_served(
    tmp_path: Path,
) -> None:
    promises = tmp_path / "promises.yaml"
    promises.write_text(PROMISES.replace("expect: allow", "expects: allow", 1))
    done = podfence(["serve", "-f", "examples/shop", "--tests", str(promises)])
    assert (done.status, done.out) == (2, "")
    assert f"{promises}:6:71: error[PF500]" in done.err
    assert "nothing is served; fix the test files" in done.err


def test_a_part_that_the_page_has_is_not_sent_again(shop: Serving) -> None:
    first = shop.ask("/api/v1/map")
    again = shop.ask("/api/v1/map", If_None_Match=first.headers["ETag"])
    assert (first.status, again.status, again.body) == (200, 304, b"")


def test_a_file_that_is_saved_is_shown(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    with Serving("-f", "shop", directory=tmp_path) as server:
        assert server.get("map")["policies"] == 9
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        headers = {"Authorization": f"Bearer {server.token}"}
        connection.request("GET", "/api/v1/events", headers=headers)
        news = connection.getresponse()
        first = _event(news)
        (tmp_path / "shop/policies/db.yaml").unlink()
        second = _event(news)
        assert first["revision"] != second["revision"]
        assert server.get("map")["policies"] == 8
        (tmp_path / "shop").rename(tmp_path / "gone")  # in one step, unlike a removal
        third = _event(news)
        assert third["revision"] == second["revision"]
        assert "no such file or directory" in third["problem"]
        assert server.get("map")["policies"] == 8
        connection.close()


def _line(news: http.client.HTTPResponse) -> bytes:
    line = news.readline()
    if line != b"event: progress\n":
        return line
    assert news.readline().startswith(b"data: ")
    return news.readline()


def _event(news: http.client.HTTPResponse) -> dict[str, str]:
    """The next state; how far a reading is, is told between."""
    while not (line := _line(news)).startswith(b"data: "):
        assert line, "the stream has ended"
    found: dict[str, str] = json.loads(line[6:])
    return found


# -- who is let in


def test_data_need_the_token(shop: Serving) -> None:
    for path in (
        "state",
        "map",
        "rules",
        "findings",
        "tests",
        "about",
        "events",
        "drops",
        "counters",
    ):
        for token in (None, "x", shop.token[:-1], shop.token + "x", "\xe4"):
            answer = shop.ask(f"/api/v1/{path}", token=token)
            assert answer.status == 401
            assert b"shop" not in answer.body


def test_the_empty_page_needs_no_token_and_holds_no_data(shop: Serving) -> None:
    answer = shop.ask("/", token=None)
    assert answer.status == 200
    assert b"shop" not in answer.body
    assert shop.token.encode() not in answer.body


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "evil.example:{port}", "127.0.0.1:1", ""]
)
def test_another_name_for_this_machine_is_refused(shop: Serving, host: str) -> None:
    """A page whose name was pointed here (DNS rebinding) is of one origin with what it asks."""
    for path in ("/", "/static/serve.js", "/api/v1/map"):
        assert shop.ask(path, Host=host.format(port=shop.port)).status == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document"},
    ],
    ids=lambda headers: "-".join(headers.values()),
)
def test_another_site_is_refused(shop: Serving, headers: dict[str, str]) -> None:
    answer = shop.ask("/api/v1/map", also=headers)
    assert answer.status == 403
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_link_from_elsewhere_opens_the_empty_page(shop: Serving) -> None:
    for destination, status in (("document", 200), ("iframe", 403), ("image", 403)):
        answer = shop.ask("/", token=None, Sec_Fetch_Site="cross-site", Sec_Fetch_Dest=destination)
        assert answer.status == status


def test_every_answer_is_sealed(shop: Serving) -> None:
    for path in ("/", "/static/serve.js", "/api/v1/map", "/nothing", "/api/v1/nothing"):
        for token in ("", None):
            headers = shop.ask(path, token=token).headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "Set-Cookie" not in headers
            assert headers["Server"] == "podfence"


def test_no_two_pages_have_one_nonce(shop: Serving) -> None:
    policies = {shop.ask("/").headers["Content-Security-Policy"] for _ in range(3)}
    assert len(policies) == 3
    assert all("default-src 'none'" in each and "unsafe" not in each for each in policies)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../guard.py",
        "/static/%2e%2e%2fguard.py",
        "/static/MANIFEST.json",
        "/static/",
        "/etc/passwd",
    ],
)
def test_no_other_file_is_served(shop: Serving, path: str) -> None:
    assert shop.ask(path).status == 404


def test_a_large_body_is_refused(shop: Serving) -> None:
    answer = shop.ask("/api/v1/read", "POST", body=b"x" * (5 << 20))
    assert answer.status in (200, 413)  # nobody reads it
    assert shop.ask("/api/v1/state").status == 200


def test_only_this_machine_is_listened_to(shop: Serving) -> None:
    addresses = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    others = {str(info[4][0]) for info in addresses} - {"127.0.0.1", "127.0.1.1"}
    if not others:
        pytest.skip("this machine has no other address")
    for address in others:
        with socket.socket() as one:
            assert one.connect_ex((address, shop.port)) != 0


@pytest.mark.parametrize(
    "request_line",
    [b"GET /\xff\x1b[31m HTTP/1.1", b"\x16\x03\x01\x00", b"GET / HTTP/1.1\r\n\x1bX y"],
)
def test_what_is_no_request_is_nothing_for_the_terminal(request_line: bytes) -> None:
    with Serving("-f", "examples/shop") as server:
        with socket.create_connection((server.host, server.port), timeout=60) as connection:
            connection.sendall(request_line + b"\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.0 400 ")
        assert server.stop() == (0, "")


# -- how it ends, and what it cannot do


def test_it_ends_at_once_with_a_page_open_and_leaves_nothing(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    with Serving("-f", "shop", directory=tmp_path) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request(
            "GET", "/api/v1/events", headers={"Authorization": f"Bearer {server.token}"}
        )
        _event(connection.getresponse())
        start = time.monotonic()
        status, said = server.stop()
        assert (status, said) == (0, "")
        assert time.monotonic() - start < 30  # a second on a quiet machine
        connection.close()
    before = {p.relative_to(ROOT / "examples") for p in (ROOT / "examples/shop").rglob("*")}
    assert {p.relative_to(tmp_path) for p in (tmp_path / "shop").rglob("*")} == before


def test_a_port_that_is_taken(shop: Serving) -> None:
    done = podfence(["serve", "-f", "examples/shop", "--port", str(shop.port)])
    assert done.status == 2
    assert f"error[PF004]: port {shop.port} cannot be used" in done.err


def test_nothing_to_read(tmp_path: Path) -> None:
    done = podfence(["serve", "-f", str(tmp_path / "nowhere")])
    assert done.status == 2
    assert "no such file or directory" in done.err


@pytest.mark.parametrize("given", [("-f", "-"), ("-f", "examples/shop", "--tests", "-")])
def test_standard_input_is_refused(given: tuple[str, ...]) -> None:
    done = podfence(["serve", *given])
    assert (done.status, "name files, not -" in done.err) == (2, True)


@pytest.mark.parametrize("words", [["--agent", "a=192.0.2.7:9741"], ["--account", "a/b"]])
def test_files_have_no_agents(words: list[str]) -> None:
    done = podfence(["serve", "-f", "examples/shop", *words])
    assert (done.status, "only a cluster has agents" in done.err) == (2, True)


def test_without_its_package_it_says_what_to_install() -> None:
    with mock.patch.dict(sys.modules, {"aiohttp": None, "podfence.web.server": None}):
        done = podfence(["serve", "-f", "examples/shop"])
    assert done.status == 2
    assert "pip install 'podfence[serve]'" in done.err
