"""Objects that could not be read: commands name them and their positions, and end with 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.session import Done, podfence

INPUT = """apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {tier: db}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-2
  namespace: shop
  labels: {app: 1}
  ownerReferences: [{kind: StatefulSet, name: job, controller: true}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {tier: db}}
  ingress: [{from: [{podSelector: {matchLabels: {replica: 1}}}]}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: AdminNetworkPolicy
metadata: {name: all}
spec: {}
"""
POD, POLICY = "Pod shop/web-2", "NetworkPolicy shop/db"


def ask(tmp_path: Path, command: str, text: str) -> Done:
    (tmp_path / "in.yaml").write_text(text, encoding="utf-8")
    return podfence([*command.split(), "-f", "in.yaml"], directory=tmp_path)


@pytest.mark.parametrize(
    ("command", "code", "name", "position"),
    [
        ("can shop/web-2 shop/web:80", "PF002", POD, "in.yaml:14:12"),
        ("why web shop/po/web-2:80 -n shop", "PF002", POD, "in.yaml:14:12"),
        ("can sts/job shop/web:80 -n shop", "PF002", POD, "in.yaml:14:12"),
        ("describe po/web-2 -n shop", "PF002", POD, "in.yaml:14:12"),
        ("describe netpol/db -n shop", "PF002", POLICY, "in.yaml:22:50"),
        ("describe shop/netpol/db", "PF002", POLICY, "in.yaml:22:50"),
        ("describe all", "PF002", "AdminNetworkPolicy all", "in.yaml:24:1"),
        ("can shop/web shop/db:80", "PF007", POLICY, "in.yaml:22:50"),
        ("why shop/web shop/db:80", "PF007", POLICY, "in.yaml:22:50"),
        ("map", "PF007", POLICY, "in.yaml:22:50"),
        ("lab run", "PF007", POLICY, "in.yaml:22:50"),
    ],
)
def test_the_object_and_its_position_are_named(
    command: str, code: str, name: str, position: str, tmp_path: Path
) -> None:
    done = ask(tmp_path, command, INPUT)
    last = done.err.splitlines()[-1]
    assert done.status == 2
    assert f"error[{code}]" in last
    assert name in last
    assert position in last


def test_a_map_names_the_pods_that_it_leaves_out(tmp_path: Path) -> None:
    done = ask(tmp_path, "map --keep-going", INPUT.rpartition("---")[0])
    assert done.status == 0
    assert "warning[PF007]: the map leaves out 1 pod (shop/db): " in done.err
    assert "db" not in done.out


def test_an_unread_object_is_not_one_of_another_namespace(tmp_path: Path) -> None:
    done = ask(tmp_path, "can shop/web-2 shop/web:80", INPUT + "---\nkind: Pod\napiVersion: v1\n")
    assert "--input-namespace" not in done.err


def test_an_unread_workload_leaves_open_that_nobody_reaches_a_pod() -> None:
    """It may be the one that reaches the pod."""
    closed = INPUT.split("---\n")
    read = "---\n".join([*closed[:2], CLOSED_DB])
    found = podfence(["find", "to", "shop/db", "-f", "-"], stdin=read.encode())
    assert found.out.startswith("nobody (proved for all")
    unread = "---\n".join([*closed[:3], CLOSED_DB])
    found = podfence(["find", "to", "shop/db", "-f", "-"], stdin=unread.encode())
    assert (found.status, found.out) == (2, "nobody of those that are certain\n")


CLOSED_DB = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: shop}
spec: {podSelector: {matchLabels: {tier: db}}, policyTypes: [Ingress]}
"""


def test_a_file_that_could_not_be_read_is_named_as_one() -> None:
    """Nothing is known of what it holds, so it is no object of some kind at some line."""
    done = podfence(["map", "-f", "examples/shop", "-f", "examples/nowhere"])
    assert ": examples/nowhere could not be read and could change this" in done.err


@pytest.mark.parametrize(
    "command",
    [
        "map",
        "describe",
        "describe shop/db",
        "find unprotected",
        "find from shop/frontend",
        "find policies shop/db",
        "test examples/tests/shop.podfence.yaml",
        "suggest --flows examples/flows/hubble.jsonl",
        "report -o -",
        "plan examples/shop examples/shop",
        "can --queries {queries} -o json",
    ],
)
def test_no_answer_that_lacks_a_named_file_is_green(command: str, tmp_path: Path) -> None:
    """Also one that keeps going: that is about objects that are there."""
    queries = tmp_path / "queries.json"
    queries.write_text('[{"src": "shop/backend", "dst": "shop/db", "port": 5432}]')
    words = [*command.format(queries=queries).split(), "--keep-going", "-f", "examples/shop"]
    assert podfence(words).status in (0, 1)
    done = podfence([*words, "-f", "examples/nowhere"])
    assert "examples/nowhere: error[PF106]: no such file or directory" in done.err
    assert done.status == 2
