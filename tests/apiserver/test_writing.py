"""Changes of objects of a real API server: what is made, what somebody else was quicker with, and
what is refused."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from podfence.kube.access import Access, ServerAddress, StaticCredential
from podfence.kube.client import Client, ConnectionLost, ServerRefusal
from podfence.kube.source import find_access
from podfence.kube.writes import ApiWrite, WriteVerb, delete
from podfence.kube.writing import write
from tests.apiserver.client import Client as Admin
from tests.apiserver.server import ApiServer

pytestmark = pytest.mark.apiserver


@pytest.fixture
def client(kubeconfig: Path) -> Iterator[Client]:
    with Client(find_access("", str(kubeconfig), {})) as opened:
        yield opened


@pytest.fixture
def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def pod(name: str, **meta: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "main", "image": "i"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **meta},
        "spec": spec,
    }


def test_an_object_is_created_once(client: Client, admin: Admin, pods: str) -> None:
    assert write(client, ApiWrite(WriteVerb.CREATE, pods, pod("a")))
    assert not write(client, ApiWrite(WriteVerb.CREATE, pods, pod("a")))
    assert admin.request("GET", f"{pods}/a").status == 200


def test_a_patch_is_merged_and_reaches_no_other_object_of_the_name(
    client: Client, admin: Admin, pods: str
) -> None:
    made = admin.create(pods, pod("a", labels={"app": "web", "tier": "front"}))
    labels = {"app": "db", "tier": None}
    right = {"metadata": {"uid": made["metadata"]["uid"], "labels": labels}}
    wrong = {"metadata": {"uid": "another", "labels": {"app": "mine"}}}
    assert write(client, ApiWrite(WriteVerb.PATCH, f"{pods}/a", right))
    assert not write(client, ApiWrite(WriteVerb.PATCH, f"{pods}/a", wrong))
    assert not write(client, ApiWrite(WriteVerb.PATCH, f"{pods}/nobody", {"metadata": {}}))
    assert admin.request("GET", f"{pods}/a").body["metadata"]["labels"] == {"app": "db"}


def test_a_status_is_patched_below_its_object(client: Client, admin: Admin, pods: str) -> None:
    admin.create(pods, pod("a"))
    said = {"status": {"phase": "Running", "podIP": "10.9.9.9"}}
    assert write(client, ApiWrite(WriteVerb.PATCH, f"{pods}/a/status", said))
    assert admin.request("GET", f"{pods}/a").body["status"]["phase"] == "Running"


def test_a_deletion_names_the_object_by_its_uid(client: Client, admin: Admin, pods: str) -> None:
    made = admin.create(pods, pod("a"))
    assert not write(client, delete(f"{pods}/a", "another"))
    assert admin.request("GET", f"{pods}/a").status == 200
    assert write(client, delete(f"{pods}/a", made["metadata"]["uid"]))
    assert not write(client, delete(f"{pods}/a"))


def test_a_pod_that_runs_is_gone_when_nobody_is_waited_for(
    client: Client, admin: Admin, pods: str
) -> None:
    made = admin.create(pods, pod("a"))
    target = {"target": {"kind": "Node", "name": "n"}, "metadata": {"name": "a"}}
    assert write(client, ApiWrite(WriteVerb.CREATE, f"{pods}/a/binding", target))
    assert write(client, delete(f"{pods}/a"))
    assert "deletionTimestamp" in admin.request("GET", f"{pods}/a").body["metadata"]
    assert write(client, delete(f"{pods}/a", made["metadata"]["uid"], at_once=True))
    assert admin.request("GET", f"{pods}/a").status == 404


def test_a_collection_is_deleted_whole(client: Client, admin: Admin, pods: str) -> None:
    for name in "abc":
        admin.create(pods, pod(name))
    assert write(client, delete(pods))
    assert admin.request("GET", pods).body["items"] == []


def test_what_the_server_refuses_is_raised_in_its_words(client: Client, pods: str) -> None:
    with pytest.raises(ServerRefusal, match=r"spec\.containers: Required value") as raised:
        write(client, ApiWrite(WriteVerb.CREATE, pods, {**pod("a"), "spec": {}}))
    assert raised.value.status == 422


def test_who_may_only_read_writes_nothing(apiserver: ApiServer, tmp_path: Path, pods: str) -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    token = apiserver.service_account("default", "reader-of-writing", [rule])
    config = apiserver.kubeconfig(tmp_path / "reader", token)
    with (
        Client(find_access("", str(config), {})) as client,
        pytest.raises(ServerRefusal, match="cannot create resource") as raised,
    ):
        write(client, ApiWrite(WriteVerb.CREATE, pods, pod("a")))
    assert raised.value.status == 403


def test_a_change_is_asked_for_once_where_no_answer_comes() -> None:
    """Nobody knows whether it was made, so it is not made again."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            for _ in range(2):
                with suppress(OSError):
                    taken, _ = listening.accept()
                    asked.append(taken.recv(1 << 16))
                    taken.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with (
            Client(Access(ServerAddress(url), StaticCredential())) as client,
            pytest.raises(ConnectionLost),
        ):
            write(client, ApiWrite(WriteVerb.CREATE, "/api/v1/namespaces/x/pods", pod("a")))
        thread.join(0.3)
    assert [each.split(b" ")[0] for each in asked] == [b"POST"]
