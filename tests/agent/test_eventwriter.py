"""Events as they are sent, and what a server's answers do to the one who sends them."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from podfence.agent.eventseries import FOLD, EventContent
from podfence.agent.eventwriter import EventWriter
from podfence.agent.log import EventLog
from podfence.kube.access import Access, ServerAddress, StaticCredential
from podfence.model.meta import ObjectRef
from tests.kube.fakeapi import Answer, Request, refusal, serving

POD = ObjectRef("Pod", "shop", "db-0")
CLOSED = EventContent(POD, "Closed", "nothing of this pod passes")
RUNS = threading.Event()
FOUND = {"items": [{"metadata": {"name": "db-0", "uid": "u-1"}}]}


class Server:
    """Answers lists with one object, and writes with what is set."""

    def __init__(self, found: Any = FOUND) -> None:
        self.found = found
        self.answers = {"POST": Answer(201, {}), "PATCH": Answer(200, {})}
        self.written: list[Request] = []

    def __call__(self, request: Request) -> Answer:
        if request.method == "GET":
            assert request.query["fieldSelector"] == "metadata.name=db-0"
            return Answer(200, self.found)
        self.written.append(request)
        return self.answers[request.method]


class Writing:
    """A writer whose clock stands still."""

    def __init__(self, url: str) -> None:
        self.log = io.StringIO()
        self.at = 0.0
        access = Access(ServerAddress(url), StaticCredential())
        day = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
        self.writer = EventWriter(
            access, "n", EventLog(self.log), {}, clock=lambda: self.at, now=lambda: day
        )

    def say(self, said: EventContent = CLOSED, at: float = 0.0) -> None:
        self.at = at
        self.writer.say(said)
        self.writer.write(RUNS)
        self.writer.close()


def test_an_event_names_its_object_by_uid() -> None:
    """`kubectl describe pod` asks for the Events of a uid."""
    server = Server()
    with serving(server) as api:
        Writing(api.url).say()
    (request,) = server.written
    assert request.path == "/apis/events.k8s.io/v1/namespaces/shop/events"
    sent = msgspec.json.decode(request.body)
    assert sent.pop("metadata")["namespace"] == "shop"
    assert sent == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "eventTime": "2026-01-02T03:04:05.000006Z",
        "reportingController": "podfence.dev/agent",
        "reportingInstance": "podfence-n",
        "action": "Enforcing",
        "reason": "Closed",
        "regarding": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": "shop",
            "name": "db-0",
            "uid": "u-1",
        },
        "note": "nothing of this pod passes",
        "type": "Warning",
    }


def test_what_is_said_again_patches_the_series_alone() -> None:
    server = Server()
    with serving(server) as api:
        writing = Writing(api.url)
        writing.say()
        writing.say(at=FOLD)
    first, second = server.written
    name = msgspec.json.decode(first.body)["metadata"]["name"]
    assert (second.method, second.path.rpartition("/")[2]) == ("PATCH", name)
    assert second.headers["Content-Type"] == "application/merge-patch+json"
    series = {"count": 2, "lastObservedTime": "2026-01-02T03:04:05.000006Z"}
    assert msgspec.json.decode(second.body) == {"series": series}


def test_an_object_that_is_gone_has_no_event() -> None:
    server = Server({"items": []})
    with serving(server) as api:
        Writing(api.url).say()
    assert server.written == []


@pytest.mark.parametrize(
    "answer",
    [
        refusal(403, "events is forbidden"),
        refusal(422, "invalid"),
        refusal(500, "oh"),
        Answer(200, b"x", hang_up=0),
    ],
    ids=["forbidden", "invalid", "broken", "hung up"],
)
def test_what_the_server_does_disturbs_nobody(answer: Answer) -> None:
    """It is one line of the log, however much is said."""
    server = Server()
    server.answers["POST"] = answer
    with serving(server) as api:
        writing = Writing(api.url)
        for at in range(0, 2000, 20):
            writing.say(EventContent(POD, "Closed", f"note {at % 100}"), at)
    assert 0 < len(server.written) < 20
    lines = [msgspec.json.decode(line) for line in writing.log.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["an Event could not be written"]


def test_an_absent_server_is_logged() -> None:
    with serving(Server()) as api:
        url = api.url
    writing = Writing(url)
    writing.say()
    assert "cannot be asked" in writing.log.getvalue()


@pytest.mark.parametrize("found", [b"{", b"[]", b'{"items": [1]}', b"\xff"])
def test_an_invalid_answer_writes_nothing(found: bytes) -> None:
    server = Server(found)
    with serving(server) as api:
        Writing(api.url).say()
    assert server.written == []


def test_hostile_text_is_harmless() -> None:
    server = Server()
    with serving(server) as api:
        Writing(api.url).say(EventContent(POD, "Closed", "\x1b[2J\n\u202e" + "x" * 5000))
    note = msgspec.json.decode(server.written[0].body)["note"]
    assert note.startswith("\\x1b[2J\\x0a\\u202e")
    assert len(note) == 1024
