"""The server of these tests: what it needs, what it leaves behind, and how its watches end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.build import KUBERNETES, ROOT, assets
from tests.apiserver.client import Client
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver

PODS = "/api/v1/namespaces/{}/pods"


def pod(name: str, **labels: str) -> dict[str, Any]:
    spec = {"containers": [{"name": "main", "image": "none"}], "nodeName": "node-1"}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def test_it_is_the_release_that_podfence_follows(newest: ApiServer, admin: Client) -> None:
    assert admin.request("GET", "/version").body["gitVersion"].startswith(KUBERNETES[:5])


_OWNER = """
import sys, time
from pathlib import Path
from tests.apiserver.server import running
with running(Path(sys.argv[1])) as server:
    print(*server.pids, flush=True)
    time.sleep(100)
"""


def is_gone(pid: int) -> bool:
    """Also of what nobody waits for: a dead process that is still listed."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_is_left_when_the_tests_are_killed(end: signal.Signals) -> None:
    command = [sys.executable, "-c", _OWNER, str(assets())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 2
        os.kill(owner.pid, end)
    until = time.monotonic() + 20
    while not all(map(is_gone, pids)):
        assert time.monotonic() < until, f"still running: {pids}"
        time.sleep(0.05)


def test_a_service_account_may_do_what_its_rules_say_and_no_more(
    apiserver: ApiServer, namespace: str
) -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    with apiserver.client(apiserver.service_account(namespace, "reader", [rule])) as client:
        assert client.request("GET", "/api/v1/pods").status == 200
        refused = client.request("GET", "/api/v1/namespaces")
    assert refused.status == 403
    assert refused.message == (
        f'namespaces is forbidden: User "system:serviceaccount:{namespace}:reader" cannot list '
        'resource "namespaces" in API group "" at the cluster scope'
    )


def test_a_kubeconfig_is_what_clients_read(kubeconfig: Path, apiserver: ApiServer) -> None:
    assert apiserver.url in kubeconfig.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------ lists and watches


def test_a_watch_goes_on_after_the_version_of_a_list(admin: Client, namespace: str) -> None:
    path = PODS.format(namespace)
    admin.create(path, pod("before"))
    version = admin.request("GET", path).body["metadata"]["resourceVersion"]
    admin.create(path, pod("after"))
    with admin.watch(f"{path}?watch=1&resourceVersion={version}") as events:
        event = next(events)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "after")


def test_a_bookmark_ends_the_first_list_of_a_watch(admin: Client, namespace: str) -> None:
    path = PODS.format(namespace)
    admin.create(path, pod("one"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    with admin.watch(f"{path}?{query}&allowWatchBookmarks=true") as events:
        first, second = next(events), next(events)
    assert first["object"]["metadata"]["name"] == "one"
    assert second["type"] == "BOOKMARK"
    assert second["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_killed_server_breaks_its_watches_and_comes_back_at_its_address(
    apiserver: ApiServer, admin: Client, namespace: str
) -> None:
    path, url = PODS.format(namespace), apiserver.url
    version = admin.create(path, pod("one"))["metadata"]["resourceVersion"]
    with admin.watch(f"{path}?watch=1&resourceVersion={version}") as events:
        apiserver.kill_apiserver()
        with pytest.raises((StopIteration, OSError)):
            next(events)
    apiserver.start_apiserver()
    assert apiserver.url == url
    assert admin.request("GET", f"{path}/one").status == 200


def test_after_a_compaction_an_old_version_is_gone(
    apiserver: ApiServer, admin: Client, namespace: str
) -> None:
    """The watch says it in its first event, the list of an old page with its status."""
    path = PODS.format(namespace)
    for name in ("one", "two", "three"):
        admin.create(path, pod(name))
    page = admin.request("GET", f"{path}?limit=1").body["metadata"]
    admin.create(path, pod("four"))
    apiserver.compact()
    apiserver.restart()
    expired = admin.request("GET", f"{path}?limit=1&continue={page['continue']}")
    assert (expired.status, expired.body["reason"]) == (410, "Expired")
    with admin.watch(f"{path}?watch=1&resourceVersion={page['resourceVersion']}") as events:
        event = next(events)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert event["object"]["reason"] in ("Gone", "Expired")


@pytest.mark.slow
def test_ten_thousand_pods_come_in_pages(admin: Client, namespace: str) -> None:
    path, count = PODS.format(namespace), 10_000
    for number in range(count):
        admin.create(path, pod(f"pod-{number}", app=f"app-{number % 100}"))
    names: list[str] = []
    page = "limit=500"
    while True:
        body = admin.request("GET", f"{path}?{page}").body
        names += [item["metadata"]["name"] for item in body["items"]]
        if not (token := body["metadata"].get("continue")):
            break
        page = f"limit=500&continue={token}"
    assert len(names) == len(set(names)) == count
    selected = admin.request("GET", f"{path}?labelSelector=app%3Dapp-7").body["items"]
    assert len(selected) == count // 100
