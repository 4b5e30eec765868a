"""``find exposed`` and ``map --entries``: ways in from outside, for people and for programs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.session import ROOT, podfence

INPUT = ["-f", "examples/shop", "-f", "examples/entries"]
KINDS = ["Ingress", "Ingress", "HTTPRoute", "LoadBalancer"]
WEB = """
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}},
 spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: proxy, namespace: edge, labels: {app: p, tier: a}},
 spec: {containers: [{name: c}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop},
 spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: front, namespace: shop},
 spec: {ingressClassName: mine, defaultBackend: {service: {name: web, port: {number: 80}}}}}
"""


@pytest.mark.parametrize(
    "words", [["find", "exposed", "-o", "json"], ["map", "--entries", "-o", "json"]]
)
def test_programs_get_every_entry(words: list[str]) -> None:
    entries = json.loads(podfence([*words, *INPUT]).out)["entries"]
    assert [entry["kind"] for entry in entries] == KINDS
    front = entries[0]
    assert (front["asked"], front["state"]) == ("shop.example/", "open")
    assert front["controller"] == "ingress-nginx/ingress-nginx-controller"
    assert front["by"][0]["file"] == "examples/shop/policies/frontend.yaml"
    assert entries[1]["state"] == "closed"
    assert "because" in entries[1]


def test_a_map_names_entries_where_it_is_asked_to() -> None:
    assert "ENTRY" in podfence(["map", "--entries", *INPUT]).out
    assert "ENTRY" in podfence(["map", "-o", "wide", *INPUT]).out
    assert "ENTRY" not in podfence(["map", *INPUT]).out
    assert "entries" not in json.loads(podfence(["map", "-o", "json", *INPUT]).out)
    assert "ENTRY" not in podfence(["map", "--entries", "-n", "other", *INPUT]).out


@pytest.mark.parametrize("output", ["csv", "dot", "mermaid", "matrix", "svg"])
def test_other_forms_show_none_and_say_so(output: str) -> None:
    done = podfence(["map", "--entries", "-o", output, *INPUT])
    assert done.status == 2
    assert f"-o {output} shows no entries" in done.err


def test_exposed_to_the_internet_has_no_entries() -> None:
    assert "ENTRY" not in podfence(["find", "exposed", "--to-internet", *INPUT]).out


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ('{ mine = "edge/app=p" }', "edge/proxy"),
        ('{ mine = "edge/app=p,tier=a" }', "edge/proxy"),
        ('{ mine = "edge/app=p,tier=b" }', "any controller"),
        ('{ other = "edge/app=p" }', "any controller"),
    ],
)
def test_the_settings_name_controllers(tmp_path: Path, settings: str, found: str) -> None:
    text = f"[cluster]\ningress-controllers = {settings}\n"
    (tmp_path / "podfence.toml").write_text(text)
    done = podfence(["find", "exposed", "-f", "-"], stdin=WEB.encode(), directory=tmp_path)
    assert found in done.out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("ingress-controllers = 5", "cluster.ingress-controllers: use a table"),
        ("ingress-controllers = { a = 5 }", "ingress-controllers.a: use a namespace and labels"),
        ('ingress-controllers = { a = "edge" }', "use a namespace and labels"),
        ('ingress-controllers = { a = "edge/app" }', "use a namespace and labels"),
        ("ingress-controller = {}", "did you mean cluster.ingress-controllers?"),
    ],
)
def test_settings_that_cannot_be_used_are_named(tmp_path: Path, settings: str, said: str) -> None:
    (tmp_path / "podfence.toml").write_text(f"[cluster]\n{settings}\n")
    done = podfence(["find", "exposed", "-f", "-"], stdin=WEB.encode(), directory=tmp_path)
    assert done.status == 2
    assert said in done.err


FRONT = "entry/ingress/shop/front"


@pytest.mark.parametrize("command", ["can", "why"])
@pytest.mark.parametrize(
    ("words", "status", "first"),
    [
        ([FRONT, "shop/frontend"], 0, "yes: "),
        ([FRONT, "shop/frontend:8080"], 0, "yes: "),
        ([FRONT, "shop/backend:8000/tcp"], 1, "no: "),
        ([FRONT], 1, "no: "),
        (["entry/ing/front", "-n", "shop"], 1, "no: "),
        (["entry/httproute/monitoring/metrics"], 2, "unknown: "),
    ],
)
def test_an_entry_is_answered_and_unknown_is_no_answer(
    command: str, words: list[str], status: int, first: str
) -> None:
    done = podfence([command, *words, *INPUT])
    assert (done.status, done.out[: len(first)]) == (status, first)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["why", FRONT, "--repair"], "--repair takes the pod that sends"),
        (["why", "shop/frontend"], "DST:PORT is missing"),
        (["why", "shop/frontend", f"{FRONT}:80"], "write it in place of SRC"),
        (["can", "shop/frontend", FRONT], "write it in place of SRC"),
        (["can", FRONT, "shop/db:5432:1"], "is no pod or workload"),
        (["can", FRONT, "shop/bd"], "no pod or workload is called 'shop/bd'"),
        (["can", FRONT, "shop/backend:9"], "does not lead to shop/backend:9"),
    ],
)
def test_what_cannot_be_asked_of_an_entry_is_said(words: list[str], said: str) -> None:
    done = podfence([*words, *INPUT])
    assert done.status == 2
    assert said in done.err


def test_a_strict_question_has_no_answer_where_other_policies_may_decide() -> None:
    touching = ["-f", "examples/entries", "-f", "examples/shop", "-f", "-"]
    other = b"""{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: x,
    namespace: shop}, spec: {endpointSelector: {matchLabels: {app: frontend}}}}"""
    words = ["can", FRONT, "shop/frontend", *touching]
    assert podfence(words, stdin=other).status == 0
    done = podfence([*words, "--strict"], stdin=other)
    assert (done.status, done.out) == (2, "")


def test_the_settings_name_the_controller_of_a_question(tmp_path: Path) -> None:
    text = '[cluster]\ningress-controllers = { mine = "edge/app=p" }\n'
    (tmp_path / "podfence.toml").write_text(text)
    done = podfence(["why", FRONT, "-f", "-"], stdin=WEB.encode(), directory=tmp_path)
    assert "sent by edge/proxy (class mine, which podfence.toml says is edge/app=p)" in done.out


def test_a_hostile_path_is_never_printed_raw() -> None:
    hostile = WEB.replace(
        "defaultBackend:", 'rules: [{http: {paths: [{path: "/\\u001b[31m", backend:'
    )
    hostile = hostile.replace("number: 80}}}}}", "number: 80}}}}]}}]}}")
    for command in ("can", "why"):
        done = podfence([command, FRONT, "-f", "-"], stdin=hostile.encode())
        assert "\x1b" not in done.out + done.err
        assert "ingress/shop/front /" in done.out


@pytest.mark.parametrize(
    ("words", "status", "names"),
    [
        (["to", "shop/frontend"], 0, ["ingress/shop/front shop.example/", "loadbalancer/"]),
        (["to", "shop/frontend", "9100"], 0, []),
        (["to", "shop/frontend:http"], 0, ["ingress/shop/front shop.example/", "loadbalancer/"]),
        (["to", "service/shop/frontend"], 0, ["ingress/shop/front shop.", "loadbalancer/"]),
        (["to", "shop/backend"], 0, []),  # its way is closed
        (["to", "monitoring/*"], 0, ["httproute/monitoring/metrics"]),
        (["from", FRONT], 0, ["shop.example/ ", "shop.example/api"]),
        (["from", FRONT, "8000"], 1, ["shop.example/api"]),
        (["from", FRONT, "9"], 1, []),
        (["from", "entry/httproute/monitoring/metrics"], 2, ["unknown"]),
    ],
)
def test_find_lists_entries(words: list[str], status: int, names: list[str]) -> None:
    done = podfence(["find", *words, *INPUT])
    assert done.status == status
    table = done.out.partition("ENTRY")[2].splitlines()[1:]
    assert len(table) == len(names)
    for line, name in zip(table, names, strict=True):
        assert name in line


def test_an_unknown_entry_leaves_open_that_nobody_reaches_its_target() -> None:
    closed = (
        WEB
        + """---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: shop},
 spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: later}}}]}]}}
"""
    )
    done = podfence(["find", "to", "shop/web", "-f", "-"], stdin=closed.encode())
    assert done.status == 2
    assert "unknown" in done.out


TESTS = """
apiVersion: podfence.io/v1alpha1
kind: PolicyTests
tests:
- {name: in, from: "entry/loadbalancer/shop/frontend :80", to: shop/frontend:http, expect: allow}
- {name: who, from: entry/httproute/monitoring/metrics, to: monitoring/prometheus, expect: deny}
"""


def test_a_test_about_an_unknown_entry_is_no_pass(tmp_path: Path) -> None:
    file = tmp_path / "t.podfence.yaml"
    file.write_text(TESTS)
    done = podfence(["test", str(file), *INPUT])
    assert done.status == 1
    assert "pass    in" in done.out
    assert "UNKNOWN who" in done.out
    assert "[PF510]" in done.out
    assert podfence(["test", str(file), "--run", "in", *INPUT]).status == 0
    data = json.loads(podfence(["test", str(file), "-o", "json", *INPUT]).out)
    assert [each["status"] for each in data["tests"]] == ["passed", "undecided"]
    assert data["tests"][1]["reasons"][0]["code"] == "PF510"


INGRESS = "examples/entries/ingress.yaml"
PROMISES = "examples/entries/promises.podfence.yaml"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(
            ["plan", "{shop}", "{open}", "-f", INGRESS, "--tests", PROMISES],
            "tests: 1 pass on both sides; 1 fails on both; 1 no longer passes",
            id="plan",
        ),
        pytest.param(
            ["suggest", "-f", "{shop}", "-f", INGRESS, "--from-tests", PROMISES, "-o", "text"],
            "tests need 1 connection of workloads",
            id="suggest",
        ),
        pytest.param(
            ["test", PROMISES, "-f", "{shop}", "-f", INGRESS, "--coverage"],
            "1 of 11 rules touched by a test (9 %)",
            id="coverage",
        ),
        pytest.param(
            ["test", PROMISES, "-f", "{shop}", "-f", INGRESS, "--mutate"],
            "mistakes that change a verdict: 4 noticed",
            id="mutation",
        ),
    ],
)
def test_promises_about_entries_take_part(words: list[str], said: str, tmp_path: Path) -> None:
    opened = tmp_path / "shop"
    shutil.copytree(ROOT / "examples/shop", opened)
    (opened / "policies/frontend.yaml").unlink()
    places = {"shop": "examples/shop", "open": str(opened)}
    assert said in podfence([word.format(**places) for word in words]).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["why", "ingress/shop/front"], "did you mean entry/ingress/shop/front?"),
        (["can", "ing/front", "-n", "shop"], "did you mean entry/ingress/front?"),
        (
            ["can", "ingress/shop/front", "shop/frontend:80"],
            "did you mean entry/ingress/shop/front?",
        ),
        (["why", "shop/ingress/front", "shop/db:1"], "did you mean entry/ingress/shop/front?"),
        (["can", "HTTPRoute/shop/a", "shop/db:1"], "did you mean entry/httproute/shop/a?"),
        (["can", "shop/db", "ingress/shop/front"], "an entry is where connections come from"),
        (["find", "from", "loadbalancer/shop/web"], "did you mean entry/loadbalancer/shop/web?"),
        (["find", "to", "nodeport/shop/web"], "did you mean entry/nodeport/shop/web?"),
        (["describe", "ingress/shop/front"], "told by podfence why entry/ingress/shop/front"),
        (["describe", "entry/ingress/shop/front"], "told by podfence why entry/ingress/shop/front"),
        (["can", "ingress/shop/", "shop/db:1"], "no pod or workload is called 'ingress/shop/'"),
        (["can", "ingres/shop/front", "shop/db:1"], "no pod or workload is called"),
    ],
)
def test_an_entry_without_its_first_word_is_guessed(words: list[str], said: str) -> None:
    done = podfence([*words, "-f", "examples/shop", "-f", INGRESS])
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_a_workload_of_a_namespace_that_is_called_like_an_entry_is_meant(tmp_path: Path) -> None:
    pods = "".join(
        f"{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: ingress}}}}\n---\n"
        for name in ("front", "back")
    )
    (tmp_path / "pods.yaml").write_text(pods)
    done = podfence(
        ["can", "ingress/front", "ingress/back:80", "-f", "pods.yaml"], directory=tmp_path
    )
    assert done.status == 0
