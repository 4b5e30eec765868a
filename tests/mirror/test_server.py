"""Real mirrors, a real reader of an agent, TLS between them; only the API server is a fake."""

from __future__ import annotations

import gc
import io
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from podfence.agent.listening import Listen
from podfence.agent.log import EventLog
from podfence.agent.mirrored import STALE
from podfence.agent.reviews import ResourceAttributes, ReviewOutcome
from podfence.kube.follow import SyncState
from podfence.live.frames import Frame
from podfence.mirror.certificate import Certificate
from podfence.mirror.server import MirrorServer
from tests.kube.fakeapi import FakeApi, serving
from tests.kube.fakecluster import FakeCluster
from tests.mirror.replicas import (
    Agent,
    Doorkeeper,
    Replica,
    following,
    kept_port,
    put_pod,
    until,
    write_certificate,
)

Start = Callable[..., Replica]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podfence.kube.follow._FIRST_PAUSE", 0.002)
    monkeypatch.setattr("podfence.kube.follow.LONGEST_PAUSE", 0.2)
    monkeypatch.setattr("podfence.agent.mirrored.START", 60.0)  # machines may be busy


@pytest.fixture
def cluster() -> FakeCluster:
    found = FakeCluster()
    for number in range(5):
        put_pod(found, f"p{number}", f"n{number % 2 + 1}", f"10.0.0.{number}", app="x")
    put_pod(found, "waits", "n2", "")
    return found


@pytest.fixture
def api(cluster: FakeCluster) -> Iterator[FakeApi]:
    with serving(cluster.respond) as found:
        yield found
        cluster.cut()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_certificate(tmp_path / "certificate")


@pytest.fixture
def start(api: FakeApi, folder: Path) -> Iterator[Start]:
    """Starts mirrors, and ends those that are left."""
    started: list[Replica] = []

    def begin(port: int = 0, window: float = 600.0) -> Replica:
        """On a free port, or on that of one that has ended."""
        port = port or ports.enter_context(kept_port())
        started.append(Replica(api.url, folder, port, window))
        return started[-1].until_ready()

    with ExitStack() as ports:
        yield begin
        for each in started:
            each.end()


def lists_of_others(api: FakeApi) -> int:
    """How often agents have asked the API server itself for pods of other nodes."""
    return sum("nodeName!=" in each.query.get("fieldSelector", "") for each in api.requests)


def test_pods_of_other_nodes_come_from_the_mirror_alone(
    cluster: FakeCluster, api: FakeApi, folder: Path, start: Start
) -> None:
    replica = start()
    with following(Agent(api.url, folder, replica.port)) as agent:
        agent.until_it_knows(cluster)
        put_pod(cluster, "waits", "n2", "10.0.0.9", app="y")
        put_pod(cluster, "own", "n1", "10.0.0.10")
        cluster.delete("pods", "a", "p1")
        agent.until_it_knows(cluster)
        assert agent.state.standing is SyncState.LIVE
    assert lists_of_others(api) == 0
    assert replica.doorkeeper.asked == [("right", ResourceAttributes("mirror"))]
    assert (replica.server.counts.snapshots, replica.server.counts.resumed) == (1, 0)


def test_one_that_changes_mirror_misses_nothing_and_is_told_no_more_than_is_new(
    cluster: FakeCluster, api: FakeApi, folder: Path, start: Start
) -> None:
    first, second = start(), start()
    with following(Agent(api.url, folder, first.port)) as agent:
        agent.until_it_knows(cluster)
        agent.turn_to(second)
        put_pod(cluster, "before", "n2", "10.0.0.20", app="new")
        first.end()
        put_pod(cluster, "after", "n2", "10.0.0.21", app="new")
        agent.until_it_knows(cluster)
    assert (second.server.counts.snapshots, second.server.counts.resumed) == (0, 1)
    assert lists_of_others(api) == 0


def test_without_a_mirror_all_stays_and_then_the_api_server_is_asked_from_there(
    cluster: FakeCluster, api: FakeApi, folder: Path, start: Start
) -> None:
    replica = start()
    with following(Agent(api.url, folder, replica.port, patience=600.0)) as agent:
        agent.until_it_knows(cluster)
        known = dict(agent.store)
        replica.end()
        put_pod(cluster, "new", "n2", "10.0.0.30")
        put_pod(cluster, "own", "n1", "10.0.0.31")
        agent.until(lambda: ("a", "own") in agent.store)  # local knowledge does not wait
        assert set(agent.store) == {*known, ("a", "own")}
        agent.patience(0.0)
        agent.until_it_knows(cluster)
        assert agent.state.standing is SyncState.LIVE
        assert "the mirror https://localhost:" in agent.state.message
    selected = [r for r in api.requests if "nodeName!=" in r.query.get("fieldSelector", "")]
    assert {each.query.get("watch") for each in selected} == {"true"}  # no list of everything
    assert all(each.query["resourceVersion"] for each in selected)


def test_the_mirror_is_asked_again_when_it_is_back(
    cluster: FakeCluster, api: FakeApi, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podfence.agent.mirrored.RETRY", 0.5)
    replica = start()
    with following(Agent(api.url, folder, replica.port, patience=0.5)) as agent:
        agent.until_it_knows(cluster)
        replica.end()
        agent.until(lambda: agent.state.message != "" and agent.state.standing is SyncState.LIVE)
        again = start(replica.port)

        def is_back() -> bool:
            if agent.mirrored.is_asked() and agent.mirrored._client is None:
                cluster.cut()  # watches of the API end after a minute or two
            return len(again.server.streams) == 1

        agent.until(is_back)
        put_pod(cluster, "later", "n2", "10.0.0.40", app="never seen before")
        agent.until_it_knows(cluster)
        agent.until(lambda: agent.state.message == "")


def test_an_agent_that_never_saw_its_mirror_asks_the_api_server_soon(
    cluster: FakeCluster, api: FakeApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podfence.agent.mirrored.START", 0.5)
    with following(Agent(api.url, folder, 1)) as agent:
        agent.until_it_knows(cluster)
        assert "Connection refused" in agent.state.message


def test_what_is_forgotten_is_told_anew(
    cluster: FakeCluster, api: FakeApi, folder: Path, start: Start
) -> None:
    first, second = start(), start(window=0.0)
    with following(Agent(api.url, folder, first.port)) as agent:
        agent.until_it_knows(cluster)
        agent.turn_to(second)
        first.end()
        cluster.delete("pods", "a", "p1")
        for number in range(3):
            put_pod(cluster, f"q{number}", "n2", f"10.0.1.{number}")
            frames = second.server.counts.frames
            until(lambda frames=frames: second.server.counts.frames > frames)  # type: ignore[misc]
        agent.until_it_knows(cluster)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_agent_ends_with_what_the_api_server_has(
    cluster: FakeCluster, api: FakeApi, folder: Path, start: Start, seed: int
) -> None:
    """Law 10: mirrors come and go, lose their watch, and are changed in the middle."""
    rng = Random(seed)
    replicas = [start(), start()]
    with following(Agent(api.url, folder, replicas[0].port, patience=1.5, seed=seed)) as agent:
        for number in range(80):
            name, node = f"p{rng.randrange(12)}", rng.choice(("n1", "n2", "n3"))
            match rng.randrange(14):
                case 0:
                    cluster.cut()
                case 1:
                    cluster.compact()
                case 2:
                    at = rng.randrange(2)
                    replicas[at].end()
                    replicas[at] = start(replicas[at].port)
                case 3 | 4:
                    agent.turn_to(rng.choice(replicas))
                    agent.mirrored.interrupt()
                case 5 | 6 | 7 if ("pods", "a", name) in cluster.objects:
                    cluster.delete("pods", "a", name)
                case _:
                    put_pod(cluster, name, node, f"10.0.{number}.1", v=str(rng.randrange(4)))
            agent.read()
        agent.until_it_knows(cluster)


# -- who may ask, and strangers


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (ReviewOutcome.UNKNOWN, 401),
        (ReviewOutcome.FORBIDDEN, 403),
        (ReviewOutcome.BUSY, 503),
        (ReviewOutcome.UNASKED, 503),
    ],
)
def test_nothing_is_told_to_who_may_not_know(
    folder: Path, start: Start, outcome: ReviewOutcome, status: int
) -> None:
    replica = start()
    replica.doorkeeper.outcome = outcome
    answer = say(replica, folder, request())
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"10.0.0" not in answer


def request(path: str = "/mirror/v1/pods?watch=true&sendInitialEvents=true", more: str = "") -> str:
    return (
        f"GET {path} HTTP/1.1\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer right\r\n{more}\r\n"
    )


def say(replica: Replica, folder: Path, text: str) -> bytes:
    """What is answered, to its end."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    with (
        socket.create_connection(("127.0.0.1", replica.port), 60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(text.encode("latin-1"))
        found = b""
        try:
            while piece := tls.recv(1 << 16):
                found += piece
        except (ssl.SSLError, ConnectionError):
            pass
        return found


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("\x00\x01\x02\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\r\n", 405),
        (request("/"), 404),
        (request("/mirror/v1/pods"), 400),
        (request("/mirror/v1/pods?watch=true"), 400),
        (request("/mirror/v1/pods?watch=true&resourceVersion=-1"), 400),
        (request("/mirror/v1/pods?watch=true&resourceVersion=" + "9" * 30), 400),
        (request("/mirror/v1/pods?watch=true&resourceVersion=\u00b2"), 400),
        (request("/mirror/v1/pods?" + "&".join("a=b" for _ in range(99))), 400),
        (request(more="Content-Length: 5\r\n"), 400),
        (request(more="no header\r\n"), 400),
        (request(more="a: b\r\n" * 99), 400),
        (request().replace("gzip", "br"), 406),
        (request().replace("right", "wrong"), 401),
        (request().replace("Bearer right", "Basic right"), 401),
        (request("/mirror/v1/pods?watch=true&resourceVersion=1"), 410),
    ],
)
def test_strangers_are_told_what_would_be_right_and_nothing_else(
    folder: Path, start: Start, text: str, status: int
) -> None:
    replica = start()
    answer = say(replica, folder, text)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b'"kind":"Status"' in answer
    assert replica.lines.getvalue().count("request") == 0


@pytest.mark.parametrize("late", [False, True], ids=["in the queue", "taken"])
def test_who_comes_as_a_mirror_ends_is_let_go(
    folder: Path, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is left, though nobody has begun to answer: warnings are errors here."""
    lines = io.StringIO()
    log = EventLog(lines)
    context = Certificate(folder, log).context
    server = MirrorServer(Listen(port=0), context, Doorkeeper(), log)
    with socket.create_connection(("127.0.0.1", server.port), 60) as client:
        if late:
            create = server._loop.create_task

            def stop_at_once(work: Any) -> Any:
                task = create(work)
                if work.__name__ == "_admit":  # it has not begun
                    task.cancel()
                    server._stopped.set()
                return task

            monkeypatch.setattr(server._loop, "create_task", stop_at_once)
        else:
            server.stop()
        server.run()
        gc.collect()
        with suppress(ConnectionError):
            assert client.recv(1) == b""
    assert lines.getvalue() == ""


def test_a_request_without_an_end_is_none(folder: Path, start: Start) -> None:
    replica = start()
    assert say(replica, folder, request(more=f"x: {'y' * (1 << 16)}")) == b""


def test_a_version_that_nobody_has_reached_is_not_waited_for_without_end(
    folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("podfence.mirror.server._CATCH_UP", 0.3)
    answer = say(start(), folder, request("/mirror/v1/pods?watch=true&resourceVersion=99999"))
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"Too large resource version" in answer


def test_a_mirror_that_does_not_hear_of_the_api_server_sends_its_agents_away(
    cluster: FakeCluster, api: FakeApi, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = start()
    with following(Agent(api.url, folder, replica.port)) as agent:
        agent.until_it_knows(cluster)
        monkeypatch.setattr("podfence.mirror.server.LATE", 0.2)
        cluster.forbidden.add("pods")
        cluster.cut()
        agent.until(lambda: not replica.server.streams)
        assert not replica.server.is_ready
        assert say(replica, folder, request()).startswith(b"HTTP/1.1 503 ")


def test_a_change_that_is_told_late_is_not_lost(
    cluster: FakeCluster, api: FakeApi, folder: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror is left for it. Nothing else changes afterwards, so no later version brings it."""
    replica = start().until_ready()
    history, cut, late = replica.server.history, replica.server.history.cut, [STALE + 1]

    def cut_late(now: float, age: float = 0.0) -> Frame | None:
        return cut(now, late.pop() if late and history.has_news else age)

    with following(Agent(api.url, folder, replica.port)) as agent:
        agent.until_it_knows(cluster)
        monkeypatch.setattr(history, "cut", cut_late)
        put_pod(cluster, "late", "n2", "10.0.0.9", app="y")
        agent.until(lambda: not late)
        agent.until_it_knows(cluster)
