"""``podfence serve``: one pair, one workload, one policy, as ``why`` and ``find`` tell it."""

from __future__ import annotations

import gc
import json
import shutil
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from podfence.cli import lookups
from podfence.cli.inputs import Inputs
from podfence.cli.lookups import Lookups
from podfence.errors import PodfenceError, UnknownObject
from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.can import QueryEvaluator
from podfence.render.jsontext import json_bytes
from podfence.web.revision import ReadInput, followed_of
from tests.cli.schema import violations
from tests.cli.serveanswers import SCHEMA, asked
from tests.cli.session import ROOT, podfence
from tests.support.serving import Answer, Serving

pytestmark = pytest.mark.timeout(300)
INPUTS = ("-f", "examples/shop", "-f", "examples/tiers")


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with Serving(*INPUTS) as found:
        yield found


def printed(*words: str) -> Any:
    return json.loads(podfence([*words, *INPUTS, "-o", "json"]).out)


SMALL = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
---
apiVersion: v1
kind: Pod
metadata: {name: far, namespace: other}
---
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}
---
"""
TORN = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: torn, namespace: shop}
spec: {podSelector: {}, ingress: 5}
---
"""


def asking_about(folder: Path, text: str = "") -> Lookups:
    """Who answers about a folder, with a text in it."""
    if text:
        (folder / "all.yaml").write_text(text)
    loaded = load([str(folder)])
    read = ReadInput(loaded, compile_cluster(loaded.cluster))
    return Lookups(loaded, read.index, Inputs(()), lambda: followed_of(read))


# -- what is answered


PAIRS = [
    ("shop/frontend", "shop/db", "5432", "tcp"),
    ("shop/backend", "shop/db", "sql", ""),
    ("monitoring/prometheus", "shop/db", "9100", "TCP"),
    ("shop/backend", "203.0.113.7", "443", "tcp"),
    ("2001:db8::1", "shop/frontend", "53", "udp"),
    ("payments/checkout", "shop/db", "", "icmp"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]} to {pair[1]}")
def test_a_pair_is_what_why_says(server: Serving, pair: tuple[str, str, str, str]) -> None:
    source, target, port, protocol = pair
    query = {"from": source, "to": target, "port": port, "protocol": protocol}
    found = server.ask(f"/api/v1/pair?{urlencode(query)}")
    word = f"[{target}]" if ":" in target else target
    done = podfence(
        ["why", source, f"{word}:{port}/{protocol or 'tcp'}", *INPUTS, "-o", "json"],
    )
    if found.status == 200:
        assert found.data["answer"] == json.loads(done.out)
        assert violations(found.data, SCHEMA, SCHEMA) == []
    else:
        assert f"error[{found.data['code']}]: {found.data['message']}" in done.err


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]} to {pair[1]}")
def test_what_would_allow_a_pair_is_what_the_repair_of_why_says(
    server: Serving, pair: tuple[str, str, str, str]
) -> None:
    source, target, port, protocol = pair
    query = {"from": source, "to": target, "port": port, "protocol": protocol}
    found = server.ask(f"/api/v1/allow?{urlencode(query)}")
    word = f"[{target}]" if ":" in target else target
    done = podfence(
        ["why", source, f"{word}:{port}/{protocol or 'tcp'}", "--repair", *INPUTS, "-o", "json"],
    )
    if found.status != 200:
        assert f"error[{found.data['code']}]: {found.data['message']}" in done.err
        return
    assert found.data["answer"] == json.loads(done.out)
    assert violations(found.data, SCHEMA, SCHEMA) == []
    repair = found.data["answer"].get("repair", {})
    assert [each["file"] for each in found.data["texts"]] == [
        each["file"] for each in repair.get("files", [])
    ]
    for each in found.data["texts"]:
        assert each["before"] == (ROOT / each["file"]).read_text("utf-8") != each["after"]


def test_the_lines_of_a_pair_are_those_of_the_files_and_marked_where_it_was_decided(
    server: Serving,
) -> None:
    found = asked(server, "pair?from=shop/frontend&to=shop/db&port=5432")
    marks = set()
    for each in found["excerpts"]:
        lines = (ROOT / each["file"]).read_text("utf-8").split("\n")
        assert each["lines"] == lines[each["from"] - 1 : each["to"]]
        marks |= {(each["file"], mark["line"], mark["kind"]) for mark in each["marks"]}
    answer = found["answer"]
    decided = {
        (position["file"], position["line"], "decided")
        for direction in ("egress", "ingress")
        for position in answer[direction]["policies"]
    }
    assert decided <= marks
    db = "examples/shop/policies/db.yaml"
    assert (db, 11, "near") in marks  # its port fits, its peer does not
    assert {kind for *_, kind in marks - decided} == {"near"}


@pytest.mark.parametrize("name", ["shop/sts/db", "shop/deploy/backend", "shop/db-0"])
def test_a_workload_is_what_find_and_describe_say(server: Serving, name: str) -> None:
    found = asked(server, f"workload/{name}")
    assert found["policies"] == printed("describe", name)
    assert found["in"] == printed("find", "to", name)
    assert found["out"] == printed("find", "from", name)
    assert _purposes(found["hanging"]) == _purposes(printed("find", "policies", name))
    assert found["more"] == 0


POLICIES = ["shop/db", "shop/default-deny", "shop/netpol/dns"]


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_what_find_pods_says(server: Serving, name: str) -> None:
    found = asked(server, f"policy/{name}")
    assert _purposes(found["answer"]) == _purposes(printed("find", "pods", name))
    for each in found["excerpts"]:
        lines = (ROOT / each["file"]).read_text("utf-8").split("\n")
        assert each["lines"] == lines[each["from"] - 1 : each["to"]]


def test_policies_of_the_whole_cluster_have_a_kind_for_a_namespace(server: Serving) -> None:
    tiers = {policy.ref for policy in load([str(ROOT / "examples/tiers")]).cluster.admin_policies}
    assert tiers
    for ref in tiers:
        word = f"{ref.kind}/{ref.name}"
        found = asked(server, f"policy/{word}")
        assert _purposes(found["answer"]) == _purposes(printed("find", "pods", word))


def _purposes(answer: dict[str, Any]) -> list[Any]:
    """Outcomes may come in another order: states are compared in another way."""
    return [
        {**policy, "without": sorted(policy["without"], key=json.dumps)}
        for policy in answer["policies"]
    ]


def test_an_answer_follows_the_files(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    question = "pair?from=shop/backend&to=shop/db&port=5432"
    with Serving("-f", "shop", directory=tmp_path) as server:
        before = asked(server, question)
        (tmp_path / "shop/policies/db.yaml").unlink()
        server.ask("/api/v1/read", "POST")
        after = asked(server, question)
    assert (before["answer"]["allowed"], after["answer"]["allowed"]) == (True, False)
    assert before["revision"] != after["revision"]


@pytest.mark.parametrize(
    "question",
    [
        "pair?from=shop/backend&to=shop/db&port=5432",
        "workload/shop/db",
        "map?ns=shop",
        "map",
        "files",
    ],
)
def test_an_answer_follows_the_files_where_no_page_is_open(tmp_path: Path, question: str) -> None:
    """A program that asks would else be told for ever what the files were at the start."""
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    with Serving("-f", "shop", "--edit", directory=tmp_path) as server:
        before = server.get(question)
        (tmp_path / "shop/policies/db.yaml").unlink()
        deadline = time.monotonic() + 60
        while {**server.get(question), "revision": ""} == {**before, "revision": ""}:
            assert time.monotonic() < deadline, "nobody looks"
            time.sleep(0.1)


def test_what_hangs_on_very_many_policies_is_not_worked_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookups, "MOST_POLICIES", 2)
    asking = asking_about(ROOT / "examples/shop")
    found = asking.answer("workload", {"name": "shop/db"})
    assert (len(found["hanging"]["policies"]), found["more"]) == (2, 2)


@pytest.mark.parametrize(
    "mode", ["", ", annotations: {podfence.io/mode: audit}"], ids=["enforced", "audited"]
)
def test_what_hangs_on_a_workload_has_its_audited_policies(tmp_path: Path, mode: str) -> None:
    text = SMALL + POLICY.replace("namespace: shop", f"namespace: shop{mode}")

    found = asking_about(tmp_path, text).answer("workload", {"name": "shop/web"})

    (one,) = found["hanging"]["policies"]
    assert (one["name"], one.get("audited", False)) == ("web", bool(mode))


NAMES_OF_KINDS = ["svc", "service", "entry", "node", "deploy"]


@pytest.mark.parametrize("namespace", NAMES_OF_KINDS)
def test_a_namespace_may_be_called_as_something_else(tmp_path: Path, namespace: str) -> None:
    text = (SMALL + POLICY).replace("other", "a")  # first in every order
    usual = asking_about(tmp_path, text).answer("workload", {"name": "shop/web"})
    moved = asking_about(tmp_path, text.replace("shop", namespace))
    found = moved.answer("workload", {"name": f"{namespace}/web"})
    for way in ("in", "out"):
        assert usual[way]["connections"]
        assert json.dumps(found[way]) == json.dumps(usual[way]).replace("shop", namespace)


def test_answers_do_not_hang_on_what_was_asked_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "MOST_REMEMBERED", 3)
    asking = asking_about(tmp_path, SMALL + POLICY)
    words = [{"from": f"2001:db8::{n}", "to": "shop/web", "port": "80"} for n in range(8)]
    first = [asking.answer("pair", each) for each in words]
    assert first == [asking.answer("pair", each) for each in words]


def test_what_was_worked_out_for_a_pair_is_not_kept_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for another address each time must not fill the memory."""
    monkeypatch.setattr(lookups, "MOST_REMEMBERED", 3)
    made: list[weakref.ref[QueryEvaluator]] = []

    def making(index: PolicyIndex) -> QueryEvaluator:
        asker = QueryEvaluator(index)
        made.append(weakref.ref(asker))
        return asker

    monkeypatch.setattr(lookups, "QueryEvaluator", making)
    asking = asking_about(tmp_path, SMALL)
    for n in range(10):
        asking.answer("pair", {"from": f"192.0.2.{n}", "to": "shop/web", "port": "80"})
    gc.collect()
    assert [each() is None for each in made] == [True, True, True, False]


# -- what is not answered


LONG = "x" * 601
REFUSED = {
    "pair?from=shop/frontend&to=shop/db": (400, "no port given"),
    "pair?to=shop/db&port=1": (400, "from is missing"),
    "pair?from=shop/frontend&port=1": (400, "to is missing"),
    "pair?from=shop/frontend&to=shop/db&port=70000": (400, "not between 1 and 65535"),
    "pair?from=shop/frontend&to=shop/db&port=1&protocol=quic": (400, "unknown protocol"),
    "pair?from=shop/frontend&from=shop/db&to=shop/db&port=1": (400, "each once"),
    "pair?source=shop/frontend&to=shop/db&port=1": (400, "from, to, port, protocol"),
    f"pair?from=shop/{LONG}&to=shop/db&port=1": (400, "longer than 600"),
    "pair?from=shop/nobody&to=shop/db&port=1": (404, "shop/nobody"),
    "workload/shop/nobody": (404, "shop/nobody"),
    "workload/shop/app=db": (404, "shop/app=db"),
    "workload/203.0.113.7": (400, "is not a pod or workload"),
    "workload/%2e%2e/%2e%2e/etc/passwd": (404, "etc/passwd"),
    f"workload/{LONG}": (400, "longer than 600"),
    "policy/shop/nobody": (404, "shop/nobody"),
    f"policy/{quote('<img src=x onerror=alert(1)>')}": (404, "no policy is called"),
}


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path[:40])
def test_a_question_without_an_answer_is_told_why(server: Serving, path: str) -> None:
    status, words = REFUSED[path]
    answer = server.ask(f"/api/v1/{path}")
    _is_refused(answer, status, words)


def _is_refused(answer: Answer, status: int, words: str) -> None:
    assert answer.status == status
    assert violations(answer.data, SCHEMA, SCHEMA) == []
    assert words in answer.data["message"]


def test_no_verdict_is_said_where_an_object_could_not_be_read(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/shop", tmp_path / "shop")
    (tmp_path / "shop/torn.yaml").write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: torn, namespace: shop}\nspec: {podSelector: 5}\n"
    )
    with Serving("-f", "shop", directory=tmp_path) as server:
        for path in ("pair?from=shop/frontend&to=shop/db&port=5432", "workload/shop/db"):
            answer = server.ask(f"/api/v1/{path}")
            _is_refused(answer, 409, "shop/torn")
            assert answer.data["code"] == "PF007"


@pytest.mark.parametrize(
    "name", ["shop/web", "shop/torn", "torn", "netpol/torn", "shop/netpol/torn"]
)
def test_a_policy_beside_one_that_could_not_be_read_has_no_answer(
    tmp_path: Path, name: str
) -> None:
    """Nor is it said that nothing is called as the one that could not be read."""
    with pytest.raises(PodfenceError, match="shop/torn") as raised:
        asking_about(tmp_path, SMALL + POLICY + TORN).answer("policy", {"name": name})
    assert raised.value.code == "PF007"


@pytest.mark.parametrize("name", ["shop/nobody", "other/torn"])
def test_a_policy_that_none_can_be_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownObject, match="no policy is called"):
        asking_about(tmp_path, SMALL + POLICY + TORN).answer("policy", {"name": name})


@pytest.mark.parametrize(("question", "name"), [("workload", "shop/web"), ("policy", "shop/web")])
def test_pods_of_which_nothing_is_certain_are_named(
    tmp_path: Path, question: str, name: str
) -> None:
    elsewhere = TORN.replace("shop", "other")
    found = asking_about(tmp_path, SMALL + POLICY + elsewhere).answer(question, {"name": name})
    assert found["uncertain"]["pods"] == ["other/far"]
    assert "NetworkPolicy other/torn" in found["uncertain"]["because"]
    sent = json.loads(json_bytes({"revision": "1", **found}))
    assert violations(sent, SCHEMA, SCHEMA) == []
    certain = asking_about(tmp_path, SMALL + POLICY).answer(question, {"name": name})
    assert certain["uncertain"] == {"pods": [], "because": ""}


def test_only_whoever_has_the_token_is_answered(server: Serving) -> None:
    for path in (
        "pair?from=shop/frontend&to=shop/db&port=5432",
        "workload/shop/db",
        "policy/shop/db",
    ):
        for token in (None, "x", server.token[:-1]):
            answer = server.ask(f"/api/v1/{path}", token=token)
            assert answer.status == 401
            assert b"shop" not in answer.body
        assert server.ask(f"/api/v1/{path}", Host="evil.example").status == 421
        assert server.ask(f"/api/v1/{path}", Origin="http://evil.example").status == 403
        assert server.ask(f"/api/v1/{path}", "POST", body=b"{}").status == 405
