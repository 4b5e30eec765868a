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
    nothing; ``status``: of the answer to a write; ``modes``: of what is found, one after the other,
    parted by blanks."""

    def __init__(self, uids: list[str], status: int = 200, modes: str = "") -> None:
        self.uids = uids
        self.status = status
        self.modes = [*modes.split()]
        self.written: list[Any] = []

    def get(self, path: str) -> bytes:
        if "v1alpha2" not in path:
            raise ServerRefusal("404", 404)
        uid = self.uids.pop(0) if len(self.uids) > 1 else self.uids[0]
        if not uid:
            raise ServerRefusal("404", 404)
        metadata: dict[str, object] = {"uid": uid, "generation": 1}
        if self.modes:
            mode = self.modes.pop(0) if len(self.modes) > 1 else self.modes[0]
            metadata["annotations"] = {"podfence.io/mode": mode}
        return json.dumps({"metadata": metadata}).encode()

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
        pytest.param(
            lambda: Server(["u"], modes="enforce audit"),
            "was changed meanwhile",
            id="audited meanwhile",
        ),
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
def test_an_audited_policy_is_not_in_force(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(["u"], modes="audit")
    audited = PolicyReport("n1", in_sync=True, uid="u", generation=1, audited=True, pods=1)
    serve(monkeypatch, server, NodeReply("n1", audited))
    done = podfence([*words, "--condition"])
    assert (done.status, done.err) == (1, "")
    head = "ClusterNetworkPolicy db, generation 1: audited on 1 of 1 node, so it enforces nothing\n"
    assert done.out.startswith(head)
    assert [(c["status"], c["reason"]) for c in server.written] == [("False", "Audited")]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_a_node_that_still_audits_an_enforced_policy_is_not_yet_there(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    audited = PolicyReport("n1", in_sync=True, uid="u", generation=1, audited=True, pods=1)
    serve(monkeypatch, Server(["u"]), NodeReply("n1", audited))
    done = podfence(words)
    assert done.status == 1
    assert "not yet" in done.out


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_where_no_node_is_known_nothing_is_in_force(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(["u"])
    serve(monkeypatch, server)
    assert podfence([*words, "--condition"]).status == 1
    assert [(c["status"], c["reason"]) for c in server.written] == [("Unknown", "NoNodes")]
