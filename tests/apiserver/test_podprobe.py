"""Ephemeral containers that try connections, before a real API server: what it admits, and whom it
lets put them there."""

from __future__ import annotations

import time
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from podfence.errors import ClusterError
from podfence.kube.client import Client as KubeClient
from podfence.kube.source import find_access
from podfence.podprobe.attempts import Dial
from podfence.podprobe.run import RULE, ProbeOptions, ProbeRun
from tests.apiserver.client import Client
from tests.apiserver.server import ApiServer
from tests.support.clock import Clock

pytestmark = pytest.mark.apiserver

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
MERGE = "application/merge-patch+json"
COMPLIANT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
READS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


def restrict(admin: Client, namespace: str) -> None:
    """From now on pods of the namespace have to be of the level "restricted". Admission learns of
    labels a moment after they are stored."""
    path = f"/api/v1/namespaces/{namespace}"
    answer = admin.request("PATCH", path, {"metadata": {"labels": RESTRICTED}}, MERGE)
    assert answer.status == 200, answer
    body = {"metadata": {"name": "lax"}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    until = time.monotonic() + 60
    while admin.request("POST", f"{path}/pods?dryRun=All", body).status != 403:
        assert time.monotonic() < until
        time.sleep(0.02)


def add_pod(admin: Client, namespace: str, security: dict[str, Any]) -> str:
    path = f"/api/v1/namespaces/{namespace}/pods"
    container = {"name": "main", "image": "none", "securityContext": security}
    spec = {"nodeName": "n", "containers": [container]}
    admin.create(path, {"metadata": {"name": "web"}, "spec": spec})
    status = {"status": {"phase": "Running", "podIP": "10.9.0.1", "podIPs": [{"ip": "10.9.0.1"}]}}
    assert admin.request("PATCH", f"{path}/web/status", status, MERGE).status == 200
    return f"{namespace}/web"


def tried(apiserver: ApiServer, folder: Path, pod: str, token: str = "") -> str:
    """Why the pod could try nothing."""
    clock = Clock(stretch=60)
    access = find_access("", str(apiserver.kubeconfig(folder / "config", token)), {})
    with KubeClient(access, {}) as client:
        dials = {pod: (Dial(pod, ip_address("10.9.0.2"), "TCP", 80),)}
        run = ProbeRun(client, dials, ProbeOptions("python:3"), clock=clock, sleep=clock.sleep)
        with pytest.raises(ClusterError) as error:
            run.outcomes()
    return error.value.message


def containers(admin: Client, pod: str) -> list[dict[str, Any]]:
    namespace, _, name = pod.partition("/")
    found = admin.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}").body
    ephemeral: list[dict[str, Any]] = found["spec"].get("ephemeralContainers", [])
    return ephemeral


def test_a_restricted_namespace_admits_the_container(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    restrict(admin, namespace)
    pod = add_pod(admin, namespace, COMPLIANT)
    assert "its container has not ended after" in tried(apiserver, tmp_path, pod)
    (first,) = containers(admin, pod)
    assert first["command"][:3] == ["python3", "-I", "-c"]
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    tried(apiserver, tmp_path, pod)
    assert len(containers(admin, pod)) == 2, "another run adds one beside it"


def test_what_admission_refuses_is_told_in_its_words(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    """A pod that was there before its namespace was restricted: all of it is looked at."""
    pod = add_pod(admin, namespace, {})
    restrict(admin, namespace)
    said = tried(apiserver, tmp_path, pod)
    assert 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false' in said
    assert "verbs" not in said
    assert containers(admin, pod) == []


def test_the_rules_that_a_refusal_names_are_enough(
    apiserver: ApiServer, admin: Client, namespace: str, tmp_path: Path
) -> None:
    pod = add_pod(admin, namespace, {})
    reader = apiserver.service_account(namespace, "reader", [READS])
    said = tried(apiserver, tmp_path, pod, reader)
    assert 'cannot patch resource "pods/ephemeralcontainers" in API group ""' in said
    assert RULE in said
    rules = yaml.safe_load(f"[{RULE.replace(', and ', ', ')}]")
    prober = apiserver.service_account(namespace, "prober", rules)
    assert "has not ended after" in tried(apiserver, tmp_path, pod, prober)
    assert len(containers(admin, pod)) == 1
