"""Services as ends of ``find`` and ``test``: they mean what ``can`` says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.session import podfence

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: web, image: web}]}
status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: db, image: db}]}
status: {podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/32}}]}]
---
"""
SLICE = """
apiVersion: v1
kind: Service
metadata: {name: sql, namespace: shop}
spec: {CLUSTER_IP, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sql, namespace: shop, labels: {kubernetes.io/service-name: sql}}
addressType: IPv4
ports: [{port: 5432, protocol: TCP}]
endpoints: [{addresses: [10.0.0.2]}]
"""
NAMED = """
apiVersion: v1
kind: Service
metadata: {name: sql, namespace: shop}
spec: {type: ExternalName, externalName: db.example.com}
"""
SELECTED = """
apiVersion: v1
kind: Service
metadata: {name: sql, namespace: shop}
spec: {CLUSTER_IP, selector: {app: db}, ports: [{port: 80, targetPort: 5432}]}
"""
FOUR, SIX = "clusterIP: 10.96.0.1", 'clusterIP: "fd00:96::1"'
TESTS = """
apiVersion: podfence.io/v1alpha1
kind: PolicyTests
metadata: {name: sql}
tests: [{name: sql, from: shop/web, to: "service/shop/sql:80", expect: allow}]
"""


@pytest.mark.parametrize(
    ("service", "allowed"),
    [
        (SLICE.replace("CLUSTER_IP", FOUR), True),
        (NAMED, True),
        (SELECTED.replace("CLUSTER_IP", FOUR), True),
        (SELECTED.replace("CLUSTER_IP", SIX), False),
    ],
    ids=["an endpoint that is a pod", "a name of a pod", "pods in IPv4", "pods in IPv6"],
)
def test_find_test_and_can_agree(tmp_path: Path, service: str, allowed: bool) -> None:
    (tmp_path / "shop.yaml").write_text(PODS + service)
    (tmp_path / "names").write_text("db.example.com 10.0.0.2\n")
    (tmp_path / "sql.podfence.yaml").write_text(TESTS)
    given = ["-f", "shop.yaml", "--resolve", "names"]

    can = podfence(["can", "shop/web", "service/shop/sql:80", *given], directory=tmp_path)
    test = podfence(["test", "sql.podfence.yaml", *given], directory=tmp_path)
    find = podfence(["find", "to", "service/shop/sql:80", *given, "-o", "json"], directory=tmp_path)
    assert (can.status, test.status) == (0 if allowed else 1,) * 2
    who = [name for row in json.loads(find.out)["connections"] for name in row["from"]["names"]]
    assert ("shop/web" in who) is allowed


@pytest.mark.parametrize(
    "words", ["map --to service/shop/sql", "find path shop/web svc/sql -n shop"]
)
def test_where_no_service_can_be_it_is_said(tmp_path: Path, words: str) -> None:
    (tmp_path / "shop.yaml").write_text(PODS + SELECTED.replace("CLUSTER_IP", FOUR))
    done = podfence([*words.split(), "-f", "shop.yaml"], directory=tmp_path)
    assert done.status == 2
    assert "is a Service; name the pods behind it" in done.err
