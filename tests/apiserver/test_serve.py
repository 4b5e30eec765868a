"""``serve`` on a real API server shows what ``map`` prints of it, and follows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.apiserver.client import Client
from tests.apiserver.test_kube import add_pod
from tests.cli.session import podfence
from tests.support.serving import Serving

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(300)]


def pairs(served: dict[str, list[list[object]]], names: list[str]) -> set[tuple[str, str]]:
    found = set()
    for to, _, _, steps in served["rows"]:
        source = 0
        for step in steps:  # type: ignore[attr-defined]
            source += step
            found.add((names[source], names[to]))  # type: ignore[call-overload]
    return found


def test_the_page_of_a_cluster(kubeconfig: Path, admin: Client, namespace: str) -> None:
    for name, address in (("web", "10.77.0.1"), ("db", "10.77.0.2")):
        add_pod(admin, namespace, name, address)
    with Serving("--kubeconfig", str(kubeconfig), "-A") as server:
        served = server.get("map")
        names = [each["name"] for each in served["endpoints"]]
        printed = json.loads(podfence(["map", "-A", "-o", "json"], kubeconfig=str(kubeconfig)).out)
        assert pairs(served, names) == {
            (source, row["to"]) for row in printed["connections"] for source in row["from"]
        }
        assert (f"{namespace}/web", f"{namespace}/db") in pairs(served, names)
        admin.create(
            f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
            {"metadata": {"name": "closed"}, "spec": {"podSelector": {}}},
        )
        server.ask("/api/v1/read", method="POST")
        served = server.get("map")
        names = [each["name"] for each in served["endpoints"]]
        assert (f"{namespace}/web", f"{namespace}/db") not in pairs(served, names)
