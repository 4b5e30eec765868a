"""What agents denied, as a served page gets it; and a page of a live cluster."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from podfence.agent.fleet import NodeReply
from podfence.cli.common import read_names
from podfence.cli.inputs import Inputs
from podfence.cli.serve_command import _files, _parts
from podfence.drops.record import Cause, Drop, Drops, FlowEnd, NamedRule
from podfence.errors import ClusterError
from podfence.render.drops import MOST, page_data
from podfence.web.agentnews import STREAMS, AgentNews
from podfence.web.folder import Folder
from podfence.web.guard import HEADERS
from podfence.web.served import ServedInput
from podfence.web.server import ListeningServer, serving
from podfence.web.shell import StaticFiles
from tests.cli.liveshop import shop
from tests.kube.fakecluster import kubeconfig, running
from tests.support.serving import Serving

pytestmark = pytest.mark.timeout(300)

WEB, DB = FlowEnd("10.0.0.1", ("shop/web",)), FlowEnd("10.0.0.2", ("shop/db",))
CAUSE = Cause(
    "isolated",
    "networkpolicy",
    (NamedRule("NetworkPolicy", "shop/db", "spec.podSelector"),),
    (NamedRule("NetworkPolicy", "shop/db", "spec.ingress[0]", "the port fits, no peer does"),),
)
DROP = Drop(
    "n1",
    3,
    "2026-01-01T10:00:00.1Z",
    "2026-01-01T10:00:05.1Z",
    4,
    "ingress",
    WEB,
    DB,
    "TCP",
    CAUSE,
    80,
)
LATER = replace(
    DROP, node="n2\x1b", last="2026-01-01T10:00:09.1Z", source=FlowEnd("10.0.0.9\u202e")
)


def told(node: str, *drops: Drop, lost: int = 0) -> NodeReply[Drops]:
    return NodeReply(node, Drops(node, 3, 9, lost, 0, drops))


# -- what a page is told


def test_the_latest_comes_first_with_its_cause_in_words() -> None:
    data: Any = page_data([told("n1", DROP), told("n2\x1b", LATER)])
    assert [each["last"] for each in data["drops"]] == [
        "2026-01-01T10:00:09Z",
        "2026-01-01T10:00:05Z",
    ]
    first = data["drops"][1]
    assert (first["from"], first["to"], first["port"], first["count"]) == (
        "shop/web",
        "shop/db",
        80,
        4,
    )
    assert first["cause"] == "isolated by shop/db, no rule matches"
    assert first["near"] == ["shop/db spec.ingress[0]: the port fits, no peer does"]
    assert data["absent"] == ""


def test_words_are_harmless() -> None:
    data: Any = page_data(
        [told("n2\x1b", LATER, lost=3), NodeReply("n3\x1b", None, "no agent\x07 runs there")]
    )
    assert data["drops"][0]["from"] == "10.0.0.9\\u202e"
    assert not set("".join(data["notes"])) & {"\x1b", "\x07"}
    assert any("3 logged packets" in each for each in data["notes"])


def test_a_page_holds_so_many() -> None:
    data: Any = page_data([told("n1", *[replace(DROP, serial=n) for n in range(MOST + 5)])])
    assert len(data["drops"]) == MOST


def test_where_nobody_tells_it_is_said_why() -> None:
    data: Any = page_data([NodeReply("n1", None, "no agent runs there")])
    assert data["absent"] == "No agent of the cluster reports drops."
    assert data["notes"] == ["node n1: no agent runs there"]


# -- the stream


@contextmanager
def serving_news(folder: Path, *streams: AgentNews) -> Iterator[ListeningServer]:
    """A server in a thread of its own, with what agents tell; of one pod in an empty folder."""
    if not any(folder.iterdir()):
        pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: a}}"
        (folder / "p.yaml").write_text(pod)
    ready = threading.Event()
    bound: list[ListeningServer] = []
    ending: list[Any] = []

    async def run() -> None:
        source = _files(Folder((str(folder),)), read_names(None))
        served = ServedInput(source, _parts(Inputs((str(folder),)), (), "the cluster"))
        stop = asyncio.Event()
        ending.extend((asyncio.get_running_loop(), stop))
        async with serving(
            served, StaticFiles(edit=False), 0, *[each.add for each in streams]
        ) as found:
            bound.append(found)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(60)
        yield bound[0]
    finally:
        ending[0].call_soon_threadsafe(ending[1].set)
        thread.join(60)


@contextmanager
def stream(
    port: int, token: str, method: str = "GET", path: str = "drops"
) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, f"/api/v1/{path}", headers={"Authorization": f"Bearer {token}"})
    yield connection.getresponse()
    connection.close()


def event(news: http.client.HTTPResponse) -> Any:
    while not (line := news.readline()).startswith(b"data: "):
        assert line, "the stream has ended"
    return json.loads(line[6:])


def token_of(bound: ListeningServer) -> str:
    return bound.address.partition("token=")[2]


@contextmanager
def looking(denied: AgentNews, folder: Path, token: str = "") -> Iterator[http.client.HTTPResponse]:
    """A stream of a server, with its own token unless another is given."""
    with (
        serving_news(folder, denied) as bound,
        stream(bound.port, token or token_of(bound)) as news,
    ):
        yield news


def test_only_news_is_sent_and_nobody_is_asked_before_somebody_looks(tmp_path: Path) -> None:
    answers: list[Any] = [page_data([told("n1")])] * 3 + [page_data([told("n1", DROP)])]
    asked = []

    def ask() -> Any:
        asked.append(1)
        return answers[min(len(asked), len(answers)) - 1]

    with serving_news(tmp_path, AgentNews("drops", ask, 0.01)) as bound:
        assert asked == []
        with stream(bound.port, token_of(bound)) as news:
            assert event(news)["drops"] == []
            assert [each["to"] for each in event(news)["drops"]] == ["shop/db"]
    assert len(asked) >= 4


def test_agents_that_cannot_be_asked_are_said_and_asked_again(tmp_path: Path) -> None:
    tries = []

    def ask() -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise ClusterError("the cluster has no DaemonSet podfence")
        return page_data([told("n1", DROP)])

    with looking(AgentNews("drops", ask, 0.01), tmp_path) as news:
        assert event(news)["absent"] == "the cluster has no DaemonSet podfence"
        assert event(news)["absent"] == ""


def test_what_cannot_be_told_ends_no_stream(tmp_path: Path) -> None:
    """Whatever an agent says: the page says so, and goes on to ask."""
    data = page_data([told("n1", DROP)])
    answers: list[Any] = [{"drops": object()}, data, KeyError("\x1b"), data]
    left = iter(answers)

    def ask() -> Any:
        found = next(left, data)
        if isinstance(found, Exception):
            raise found
        return found

    with looking(AgentNews("drops", ask, 0.01), tmp_path) as news:
        said = [event(news)["absent"] for _ in answers]
    assert said == [
        "What agents tell cannot be shown (TypeError).",
        "",
        "What agents tell cannot be shown (KeyError).",
        "",
    ]


def test_a_refusal_on_the_way_to_a_stream_is_sealed_as_all_answers(tmp_path: Path) -> None:
    denied = AgentNews("drops", lambda: page_data([]), 0.05)
    with serving_news(tmp_path, denied) as bound, ExitStack() as pages:
        for _ in range(STREAMS):
            event(pages.enter_context(stream(bound.port, token_of(bound))))
        for method, path, status in (
            ("GET", "drops", 503),
            ("POST", "drops", 405),
            ("POST", "events", 405),
            ("GET", "counters", 404),  # no agent's counters are served here
        ):
            found = pages.enter_context(stream(bound.port, token_of(bound), method, path))
            assert found.status == status
            assert HEADERS.items() <= dict(found.headers).items()
            assert json.loads(found.read())["message"]


def test_without_the_token_nothing_is_told(tmp_path: Path) -> None:
    denied = AgentNews("drops", lambda: page_data([told("n1", DROP)]))
    with looking(denied, tmp_path, "wrong") as news:
        assert news.status == 401


def test_a_page_of_files_says_that_it_has_no_drops() -> None:
    with Serving("-f", "examples/shop") as server, stream(server.port, server.token) as news:
        found = event(news)
        assert "this page shows files" in found["absent"]
        assert news.read() == b"\n", "the stream ends, for there will be no news"


# -- a live cluster


def test_a_cluster_is_served_and_read_again_at_a_click(tmp_path: Path) -> None:
    cluster = shop()
    with running(cluster) as api:
        config = str(kubeconfig(tmp_path, api.url, ""))
        with Serving("--kubeconfig", config, "-A") as server:
            assert server.get("state")["live"] is True
            names = [each["name"] for each in server.get("map")["endpoints"]]
            assert {"shop/web", "shop/db", "watch/probe"} <= set(names)
            assert server.get("map")["policies"] == 1
            with stream(server.port, server.token) as news:
                assert "has no ServiceAccount podfence-viewer" in event(news)["absent"]
            cluster.apply(
                {
                    "apiVersion": "networking.k8s.io/v1",
                    "kind": "NetworkPolicy",
                    "metadata": {"name": "closed", "namespace": "watch"},
                    "spec": {"podSelector": {}},
                }
            )
            server.ask("/api/v1/read", method="POST")
            assert server.get("map")["policies"] == 2


def test_pages_that_have_gone_leave_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as agents are asked again, though there is nothing to tell: a page may be loaded
    anew several times in a few seconds."""
    monkeypatch.setattr("podfence.web.agentnews.HEARTBEATS", 10**9)
    data = page_data([told("n1", DROP)])
    with serving_news(tmp_path, AgentNews("drops", lambda: data, seconds=0.05)) as bound:
        for _ in range(STREAMS):
            with stream(bound.port, token_of(bound)) as news:
                assert event(news) == data
        for _ in range(600):
            with stream(bound.port, token_of(bound)) as news:
                if news.status == 200:
                    break
            time.sleep(0.1)
        assert news.status == 200
