"""``--condition``: the answer is printed whatever becomes of the write."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from podfence.agent.fleet import NodeReply
from podfence.agent.nodereport import PolicyReport
from podfence.cli import agents
from podfence.kube.client import ServerRefusal
from tests.cli.session import podfence

HOLDS = NodeReply("n1", PolicyReport("n1", in_sync=True, uid="u", generation=1, pods=1))
COMMANDS = (["wait", "cnp/db", "--timeout", "0"], ["status", "cnp/db"])


class Server:
    """Has one policy. ``uids``: of what is found under its name, one answer after the other, "" for
    nothing; ``status``: of the answer to a write."""

    def __init__(self, uids: list[str], status: int = 200) -> None:
        self.uids = uids
        self.status = status
        self.written: list[Any] = []

    def get(self, path: str) -> bytes:
        if "v1alpha2" not in path:
            raise ServerRefusal("404", 404)
        uid = self.uids.pop(0) if len(self.uids) > 1 else self.uids[0]
        if not uid:
            raise ServerRefusal("404", 404)
        return json.dumps({"metadata": {"uid": uid, "generation": 1}}).encode()

    def write(self, method: str, path: str, body: bytes, kind: str) -> None:
        if self.status != 200:
            raise ServerRefusal(f"{method} {path}: {self.status} Forbidden", self.status)
        self.written.append(json.loads(body)["status"]["conditions"][0])

    def close(self) -> None:
        """Nothing is open."""


def serve(monkeypatch: pytest.MonkeyPatch, server: Server, *told: NodeReply[PolicyReport]) -> None:
    access = SimpleNamespace(namespace="shop")
    monkeypatch.setattr(agents, "find_access", lambda *_: access)
    monkeypatch.setattr(agents, "Client", lambda _: server)
    monkeypatch.setattr(agents.Agents, "ask", lambda *_, **__: list(told))


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_the_condition_is_written_beside_the_answer(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(["u"])
    serve(monkeypatch, server, HOLDS)
    done = podfence([*words, "--condition"])
    assert (done.status, done.err) == (0, "")
    assert [each["reason"] for each in server.written] == ["InForce"]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("server", "why"),
    [
        pytest.param(lambda: Server(["u"], 403), "403 Forbidden", id="no right"),
        pytest.param(lambda: Server(["u", "v"]), "was replaced meanwhile", id="made anew"),
        pytest.param(lambda: Server(["u", ""]), "is gone", id="deleted"),
    ],
)
@pytest.mark.parametrize("output", ["text", "json"])
def test_an_answer_is_not_lost_where_its_condition_cannot_be_written(
    words: list[str], server: Any, why: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, server(), HOLDS)
    plain = podfence([*words, "-o", output])
    serve(monkeypatch, server(), HOLDS)
    done = podfence([*words, "-o", output, "--condition"])
    assert plain.out != ""
    assert (done.status, done.out) == (2, plain.out)
    assert done.err.startswith("error[PF008]: ")
    assert why in done.err


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_where_no_node_is_known_nothing_is_in_force(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(["u"])
    serve(monkeypatch, server)
    assert podfence([*words, "--condition"]).status == 1
    assert [(c["status"], c["reason"]) for c in server.written] == [("Unknown", "NoNodes")]
