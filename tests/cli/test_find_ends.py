"""``find`` and ``why --repair`` never say more than ``can``: ends without an address of their own,
Services, pods that do not exist, and objects that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.session import Done, podfence

CLOSED = "{podSelector: {matchLabels: {app: APP}}, policyTypes: [Egress, Ingress]}"


def pod(name: str, namespace: str = "shop", address: str = "", app: str = "") -> str:
    status = f"status: {{phase: Running, podIP: {address}, podIPs: [{{ip: {address}}}]}}\n"
    return (
        "---\napiVersion: v1\nkind: Pod\n"
        f"metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {app or name}}}}}\n"
        "spec: {nodeName: n1, containers: [{name: c}]}\n" + (status if address else "")
    )


def policy(name: str, spec: str) -> str:
    head = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
    return f"{head}metadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"


DB, WEB = pod("db", address="10.0.0.2"), pod("web", address="10.0.0.1")
OTHER = pod("aaa", "alpha", "10.0.0.9", app="web")
SHARED = (
    WEB
    + pod("x", address="10.0.0.2")
    + pod("zz", address="10.0.0.2")
    + policy("zz", CLOSED.replace("APP", "zz"))
)
SERVICE = (
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\n"
    "spec: {selector: {app: db}, clusterIP: 10.96.0.1, ports: [{port: 80, targetPort: 8080}]}\n"
)


def run(*words: str, manifests: str) -> Done:
    return podfence([*words, "-f", "-"], stdin=manifests.encode())


@pytest.mark.parametrize("name", ["service/shop/db", "svc/shop/db", "shop/service/db", "10.96.0.1"])
@pytest.mark.parametrize("word", ["can", "why"])
def test_a_service_has_the_same_words_everywhere(word: str, name: str) -> None:
    """In a test file and in ``find`` it is ``service/shop/db``."""
    done = run(word, "shop/web", f"{name}:80", manifests=WEB + DB + SERVICE)
    assert done.status == 0
    assert "shop/web -> shop/db TCP/8080" in done.out


TWO_PORTS = SERVICE.replace("targetPort: 8080}", "targetPort: 8080}, {name: b, port: 81}")


def test_a_service_without_a_port_is_all_of_its_ports() -> None:
    """Through it there are no others: it forwards 80 to 8080, and 81 to itself."""
    done = run("find", "to", "service/shop/db", manifests=WEB + DB + TWO_PORTS)
    assert (done.status, done.err) == (0, "")
    assert "shop/web" in done.out
    assert {"TCP/81", "TCP/8080"} <= {*done.out.split()}


def test_a_headless_service_rewrites_no_port_so_one_is_asked_for() -> None:
    headless = SERVICE.replace("10.96.0.1", "None")
    done = run("find", "to", "service/shop/db", manifests=WEB + DB + headless)
    assert done.status == 2
    assert "is a Service; ask for one of its ports, not for any" in done.err


@pytest.mark.parametrize("port", ["", ":80", ":80-90"])
def test_a_service_that_is_none_is_said_to_be_none(port: str) -> None:
    done = run("find", "to", f"service/shop/bd{port}", manifests=WEB + DB + SERVICE)
    assert (done.status, "no Service is called shop/bd" in done.err) == (2, True)


KINDS_OF_WORDS = ["svc", "service", "services", "entry", "node", "deploy"]
WORKLOAD = """---
apiVersion: apps/v1
kind: KIND
metadata: {name: web, namespace: NAMESPACE}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {}}}
"""


def workload(namespace: str, kind: str = "Deployment") -> str:
    return WORKLOAD.replace("NAMESPACE", namespace).replace("KIND", kind)


@pytest.mark.parametrize("namespace", KINDS_OF_WORDS)
@pytest.mark.parametrize("name", ["web", "deployment/web"])
@pytest.mark.parametrize("question", ["to", "from"])
def test_a_namespace_may_be_called_like_a_kind(namespace: str, name: str, question: str) -> None:
    done = run(
        "find", question, f"{namespace}/{name}", "-o", "json", manifests=workload(namespace) + DB
    )
    assert (done.status, done.err) == (0, "")
    side = "to" if question == "to" else "from"
    rows = json.loads(done.out)["connections"]
    assert rows
    assert all(row[side]["names"] == [f"{namespace}/web"] for row in rows)


def test_beside_it_a_service_has_a_longer_word() -> None:
    service = SERVICE.replace("name: db, namespace: shop", "name: web, namespace: default")
    behind = pod("db", "default", "10.0.0.2")
    both = workload("svc") + service + behind
    for word, found in [("svc/web", "svc/web"), ("svc/default/web:80", "default/db")]:
        done = run("find", "to", word, "-o", "json", manifests=both)
        assert {n for r in json.loads(done.out)["connections"] for n in r["to"]["names"]} == {found}
    alone = run("find", "to", "svc/web:80", "-o", "json", manifests=service + behind)
    assert "default/db" in alone.out


def test_of_two_workloads_of_one_name_the_kind_is_asked_for() -> None:
    both = workload("svc") + workload("svc", "StatefulSet")
    done = run("find", "to", "svc/web", manifests=both)
    assert done.status == 2
    assert "svc/web is ambiguous: svc/deployment/web, svc/statefulset/web" in done.err
    assert run("find", "to", "svc/statefulset/web", manifests=both).status == 0


def test_an_entry_is_no_end_and_says_so() -> None:
    done = run("find", "to", "entry/front", manifests=WEB)
    assert done.status == 2
    assert "here name the pods of its controller" in done.err


def test_pods_of_today_and_pods_to_come_are_apart() -> None:
    done = run("find", "to", "shop/db", manifests=OTHER + WEB + DB)
    today, _, coming = done.out.partition("pods to come")
    assert "alpha/aaa" in today
    assert "shop/web" in today
    assert "alpha/aaa" not in coming


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("find", "from", "shop/x"), "no address is surely that of shop/x"),
        (("find", "to", "shop/zz"), "no address is surely that of shop/zz"),
        (("find", "from", "10.0.0.2"), "10.0.0.2 is the address of several pods"),
    ],
)
def test_whose_an_address_is_has_to_be_known(words: tuple[str, ...], said: str) -> None:
    """NP-60a: "nobody" would be no proof."""
    done = run(*words, manifests=SHARED)
    assert (done.status, done.out) == (2, "")
    assert said in done.err


def test_a_pod_without_an_address_is_in_no_row_and_that_is_said() -> None:
    pending = pod("pend") + "status: {phase: Pending}\n"
    done = run("find", "from", "shop/pend", manifests=WEB + DB + pending)
    assert (done.status, done.out) == (2, "")
    assert "no address is surely that of shop/pend" in done.err


def test_the_address_of_a_service_is_not_an_address_outside() -> None:
    """NP-45: it is judged by what is behind it."""
    manifests = WEB + DB + SERVICE + policy("db", CLOSED.replace("APP", "db"))
    done = run("find", "to", "10.96.0.1:80", manifests=manifests)
    assert (done.status, done.out) == (2, "")
    assert "service/shop/db" in done.err


def test_a_way_leads_over_pods_that_exist() -> None:
    """Only a pod without the label app is let in, and there is none."""
    rule = "{podSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}}"
    spec = f"{{podSelector: {{matchLabels: {{app: db}}}}, ingress: [{{from: [{rule}]}}]}}"
    done = run("find", "path", "shop/web", "shop/db", manifests=WEB + DB + policy("db", spec))
    assert done.status == 1
    assert "no way" in done.out


def test_a_way_begins_where_it_was_asked_to() -> None:
    done = run("find", "path", "shop/web", "shop/db", manifests=OTHER + WEB + DB)
    assert done.status == 0
    assert "shop/web   shop/db" in done.out


@pytest.mark.parametrize(
    "words",
    [("unprotected",), ("newcomers",), ("path", "shop/web", "shop/db")],
    ids=lambda words: words[0],
)
def test_what_an_unread_policy_may_turn_is_not_told_as_certain(words: tuple[str, ...]) -> None:
    unread = policy("y", "{podSelector: {matchLabels: {app: {a: b}}}, policyTypes: [Ingress]}")
    done = run("find", *words, "--keep-going", manifests=WEB + DB + unread)
    assert "shop/db" not in done.out


def test_a_repair_does_not_widen_a_rule_that_means_others_too(tmp_path: Path) -> None:
    spaces = "".join(
        f"---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"
        for name in ("shop", "ops", "third")
    )
    pods = DB + pod("web", "ops", "10.0.0.3") + pod("webx", "third", "10.0.0.4", app="web")
    rule = (
        "  podSelector: {matchLabels: {app: db}}\n  ingress:\n  - from:\n"
        "    - namespaceSelector: {}\n      podSelector: {matchLabels: {app: web}}\n"
        "    ports:\n    - port: 5432\n"
    )
    path = tmp_path / "all.yaml"
    path.write_text(spaces + pods + policy("db", f"\n{rule}"))
    done = podfence(["why", "ops/web", "shop/db:9000", "--repair", "-f", str(path)])
    assert "ops/web -> shop/db: opens TCP/9000" in done.out
    assert "third/webx" not in done.out.partition("repair:")[2]


def test_a_pod_is_not_denied_to_itself() -> None:
    done = podfence(["find", "path", "shop/db", "shop/db", "-f", "examples/shop"])
    assert done.status == 2
    assert "a pod always reaches itself" in done.err
