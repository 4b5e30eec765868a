"""podfence against a real API server: commands, rights, snapshots, watches and their troubles."""

from __future__ import annotations

import base64
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from podfence.kube.follow import SyncState
from podfence.kube.narrow import KEPT
from podfence.kube.resource import own_node, pods_for, resources_of
from podfence.kube.source import find_access
from podfence.kube.watch import Watch
from tests.apiserver.client import Client
from tests.apiserver.crds import Crds
from tests.apiserver.server import ApiServer
from tests.cli.session import ROOT, Done, podfence
from tests.support.items import whole

pytestmark = pytest.mark.apiserver

PODS = "/api/v1/namespaces/{}/pods"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
WAIT = 60.0


def add_pod(admin: Client, namespace: str, name: str, address: str) -> None:
    """A pod as if a kubelet ran it."""
    path = PODS.format(namespace)
    container = {
        "name": "main",
        "image": "none",
        "env": [{"name": "PASSWORD", "value": "hush"}],
        "ports": [{"containerPort": 80}],
    }
    metadata = {"name": name, "labels": {"app": name}, "annotations": {"note": "hush"}}
    admin.create(path, {"metadata": metadata, "spec": {"nodeName": "n", "containers": [container]}})
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
    patch = "application/merge-patch+json"
    answer = admin.request("PATCH", f"{path}/{name}/status", {"status": status}, patch)
    assert answer.status == 200, answer


@pytest.fixture
def shop(admin: Client, namespace: str) -> str:
    """Two pods, of which ``web`` may reach ``db`` and not the other way round."""
    number = int(namespace.rpartition("-")[2])
    for last, name in enumerate(("web", "db"), 1):
        add_pod(admin, namespace, name, f"10.9.{number}.{last}")
    allow = {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}
    admin.create(
        POLICIES.format(namespace),
        {"metadata": {"name": "all"}, "spec": {"podSelector": {}, "ingress": [allow]}},
    )
    return namespace


def run(config: Path, *arguments: str) -> Done:
    return podfence(arguments, kubeconfig=str(config))


def rules() -> list[dict[str, Any]]:
    """Those of the ClusterRole that docs/cluster.md gives."""
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    found: list[dict[str, Any]] = yaml.safe_load(block)["rules"]
    return found


def test_a_question_is_answered_and_a_snapshot_answers_alike(
    kubeconfig: Path, shop: str, tmp_path: Path
) -> None:
    assert run(kubeconfig, "can", f"{shop}/web", f"{shop}/db:80").status == 0
    assert run(kubeconfig, "can", "db", "web:80", "-n", shop).status == 1
    live, written = run(kubeconfig, "map", "-A"), run(kubeconfig, "get")
    assert f"{shop}/db" in live.out
    assert "hush" not in written.out
    file = tmp_path / "snapshot.yaml"
    file.write_text(written.out, encoding="utf-8")
    assert podfence(["map", "-f", str(file)]).out == live.out


def test_the_rights_of_the_manual_are_enough_and_none_is_too_much(
    apiserver: ApiServer, crds: Crds, namespace: str, tmp_path: Path
) -> None:
    crds.install("experimental")
    missing = "adminnetworkpolicies", "baselineadminnetworkpolicies"  # not of this release

    def status(name: str, granted: list[dict[str, Any]]) -> Done:
        token = apiserver.service_account(namespace, name, granted)
        return run(apiserver.kubeconfig(tmp_path / name, token), "check", "-A")

    assert "PF117" not in status("all", rules()).out
    number = 0
    for rule in rules():
        for resource in rule["resources"]:
            if resource in missing:
                continue
            number += 1
            left = [r for r in rule["resources"] if r != resource]
            others = [each for each in rules() if each is not rule and each != rule]
            granted = [*others, {**rule, "resources": left}] if left else others
            done = status(f"without-{number}", granted)
            said = "note[PF118]" if resource == "cronjobs" else "error[PF117]"
            assert done.out.count(said) == 1, done.out
            assert f'resources: ["{resource}"]' in done.out
    assert {verb for rule in rules() for verb in rule["verbs"]} == {"get", "list", "watch"}


def test_a_developer_of_one_namespace_gets_its_verdicts(
    apiserver: ApiServer, admin: Client, shop: str, tmp_path: Path
) -> None:
    token = apiserver.service_account(shop, "dev")
    kinds = ["pods", "services", "namespaces", "networkpolicies", "endpointslices"]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{shop}"
    granted = {"apiGroups": ["*"], "resources": kinds, "verbs": ["get", "list"]}
    admin.create(f"{rbac}/roles", {"metadata": {"name": "dev"}, "rules": [granted]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "dev"}
    subject = {"kind": "ServiceAccount", "namespace": shop, "name": "dev"}
    admin.create(
        f"{rbac}/rolebindings",
        {"metadata": {"name": "dev"}, "roleRef": role, "subjects": [subject]},
    )
    config = apiserver.kubeconfig(tmp_path / "dev", token)
    until = time.monotonic() + WAIT
    question = "can", f"{shop}/web", f"{shop}/db:80"
    while f"Pod outside namespace {shop}: " not in (done := run(config, *question)).err:
        assert time.monotonic() < until, done.err  # the authorizer learns of a role by and by
        time.sleep(0.1)
    if "ClusterNetworkPolicy" in done.err:  # served here; rights in one namespace do not reach it
        assert done.status == 2
        assert (
            "no verdict: any ClusterNetworkPolicy could change this, and cannot be listed"
            in done.err
        )
    else:
        assert done.status == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
@pytest.mark.parametrize("inline", [False, True], ids=["files", "data"])
def test_a_client_certificate_is_shown(
    apiserver: ApiServer, shop: str, tmp_path: Path, inline: bool
) -> None:
    def user(*parts: Path) -> dict[str, str]:
        names = "client-certificate", "client-key"
        if not inline:
            return {name: str(part) for name, part in zip(names, parts, strict=True)}
        texts = (base64.b64encode(part.read_bytes()).decode() for part in parts)
        return {f"{name}-data": text for name, text in zip(names, texts, strict=True)}

    question = "can", f"{shop}/web", f"{shop}/db:80"
    known = user(*apiserver.certificate("boss", "system:masters"))
    done = run(apiserver.kubeconfig(tmp_path / "boss", user=known), *question)
    assert done.status == 0, done.err
    stranger = user(*apiserver.certificate("stranger", "nobody"))
    done = run(apiserver.kubeconfig(tmp_path / "stranger", user=stranger), *question)
    assert done.status == 2
    assert 'User "stranger" cannot list resource' in done.err


# --- watches -------------------------------------------------------------------------------------


class Reader:
    """The names that a watch has, by kind and namespace."""

    def __init__(self, watch: Watch[Any]) -> None:
        self.watch = watch
        self.names: dict[tuple[str, str], set[str]] = {}
        self.gone: list[str] = []
        self.standings: dict[str, SyncState] = {}

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT
        while not true():
            assert time.monotonic() < end, (self.names, self.standings)
            batch = self.watch.next(0.1)
            if batch is None:
                continue
            self.standings[batch.state.kind] = batch.state.standing
            for change in batch.changes:
                names = self.names.setdefault((change.kind, change.namespace), set())
                if change.data is None:
                    names.discard(change.name)
                    self.gone.append(change.name)
                else:
                    names.add(change.name)

    def has(self, namespace: str, *names: str) -> Callable[[], bool]:
        return lambda: self.names.get(("Pod", namespace)) == set(names)


def watching(config: Path, *kinds: str, streamed: bool = False) -> Watch[Any]:
    access = find_access("", str(config), os.environ)
    return Watch(access, map(resources_of, kinds), whole, streamed=streamed, chance=lambda: 0.0)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_watch_lists_follows_and_survives_a_killed_server(
    apiserver: ApiServer, kubeconfig: Path, admin: Client, namespace: str, streamed: bool
) -> None:
    add_pod(admin, namespace, "one", "10.8.0.1")
    with watching(kubeconfig, "Pod", streamed=streamed) as watch:
        reader = Reader(watch)
        reader.until(reader.has(namespace, "one"))
        add_pod(admin, namespace, "two", "10.8.0.2")
        reader.until(reader.has(namespace, "one", "two"))
        apiserver.restart()
        add_pod(admin, namespace, "three", "10.8.0.3")
        reader.until(reader.has(namespace, "one", "two", "three"))
        assert reader.gone == []


def test_what_went_while_nobody_could_see_it_is_gone_after_a_compaction(
    apiserver: ApiServer, kubeconfig: Path, admin: Client, namespace: str
) -> None:
    for name in ("one", "two"):
        add_pod(admin, namespace, name, "10.8.1.1")
    with watching(kubeconfig, "Pod") as watch:
        reader = Reader(watch)
        reader.until(reader.has(namespace, "one", "two"))
        apiserver.kill_apiserver()
        reader.until(lambda: reader.standings["Pod"] is SyncState.LATE)
        assert reader.has(namespace, "one", "two")()
        apiserver.start_apiserver()
        path = f"{PODS.format(namespace)}/one"
        assert admin.request("DELETE", f"{path}?gracePeriodSeconds=0").status == 200
        apiserver.compact()
        reader.until(reader.has(namespace, "two"))
        assert reader.gone == ["one"]


def test_the_pods_of_a_node_are_followed_in_parts(
    kubeconfig: Path, admin: Client, namespace: str
) -> None:
    """Of other nodes, pods with an address alone."""
    path = PODS.format(namespace)
    add_pod(admin, namespace, "there", "10.8.2.1")
    spec = {"nodeName": "n1", "containers": [{"name": "main", "image": "none"}]}
    for name, node in (("here", "n1"), ("waits", "n2")):
        body = {"metadata": {"name": name}, "spec": {**spec, "nodeName": node}}
        admin.create(path, body)
    access = find_access("", str(kubeconfig), os.environ)
    with Watch(access, pods_for("n1"), whole, chance=lambda: 0.0) as watch:
        reader = Reader(watch)
        reader.until(reader.has(namespace, "there", "here"))
        patch = "application/merge-patch+json"
        for phase, expected in (("Running", "waits"), ("Succeeded", "")):
            status = {"phase": phase, "podIP": "10.8.2.2", "podIPs": [{"ip": "10.8.2.2"}]}
            admin.request("PATCH", f"{path}/waits/status", {"status": status}, patch)
            names = {"there", "here", expected} - {""}
            reader.until(reader.has(namespace, *names))
        for name in ("here", "there"):
            assert admin.request("DELETE", f"{path}/{name}?gracePeriodSeconds=0").status == 200
        admin.create(path, {"metadata": {"name": "there"}, "spec": spec})
        reader.until(reader.has(namespace, "there"))
    with Watch(access, [own_node("n1")], whole, chance=lambda: 0.0) as watch:
        for name in ("n1", "n2"):
            admin.create("/api/v1/nodes", {"metadata": {"name": name}})
        reader = Reader(watch)
        reader.until(lambda: reader.names.get(("Node", "")) == {"n1"})


def test_every_kind_is_live_or_absent(kubeconfig: Path) -> None:
    with watching(kubeconfig, *KEPT) as watch:
        reader = Reader(watch)
        known = {SyncState.LIVE, SyncState.ABSENT}
        reader.until(lambda: set(reader.standings) == set(KEPT) and _are(reader, known))
        assert reader.standings["Pod"] is SyncState.LIVE


def _are(reader: Reader, standings: set[SyncState]) -> bool:
    return set(reader.standings.values()) <= standings
