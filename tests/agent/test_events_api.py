"""Events on a real API server, written with the rights of ``deploy/install.yaml``."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podfence.agent.eventseries import FOLD, EventContent
from podfence.agent.eventwriter import EventWriter
from podfence.agent.log import EventLog
from podfence.kube.source import find_access
from podfence.model.meta import ObjectRef
from podfence.nft.lowering.lower import TABLE
from tests.agent.cluster import Cluster
from tests.agent.network import PATIENCE, Node
from tests.apiserver.client import Client
from tests.apiserver.server import ApiServer
from tests.deploy import chart

pytestmark = pytest.mark.apiserver

RULES = chart.only(chart.installed(), "ClusterRole")["rules"]
Json = dict[str, Any]


class Writer:
    """With some rights, and a clock of the test's."""

    def __init__(self, server: ApiServer, namespace: str, rules: list[Json], folder: Path) -> None:
        token = server.service_account(namespace, "writer", rules)
        access = find_access("", str(server.kubeconfig(folder / "kubeconfig", token)), {})
        self.log = io.StringIO()
        self.at = 0.0
        self.writer = EventWriter(access, "node-1", EventLog(self.log), {}, clock=lambda: self.at)

    def say(self, said: EventContent, at: float = 0.0) -> None:
        self.at = at
        self.writer.say(said)
        self.writer.write(threading.Event())
        self.writer.close()


Writers = Callable[[list[Json]], Writer]


@pytest.fixture
def writers(apiserver: ApiServer, namespace: str, tmp_path: Path) -> Writers:
    return lambda rules: Writer(apiserver, namespace, rules, tmp_path)


def events_of(admin: Client, namespace: str, uid: str) -> list[Json]:
    """As `kubectl describe` asks for them: the older kind, by uid."""
    path = f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.uid={uid}"
    found: list[Json] = admin.request("GET", path).body["items"]
    return found


def test_a_policy_and_a_pod(admin: Client, cluster: Cluster, writers: Writers) -> None:
    namespace = cluster.namespace
    cluster.pod("db", "node-1")
    cluster.policy("db", {"app": "db"}, None)
    writer = writers(RULES)
    for kind, path in (
        ("Pod", f"/api/v1/namespaces/{namespace}/pods/db"),
        ("NetworkPolicy", f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/db"),
    ):
        uid = admin.request("GET", path).body["metadata"]["uid"]
        said = EventContent(ObjectRef(kind, namespace, "db"), "Refused", "spec: it is \x1b[31mbad")
        writer.say(said, writer.at)
        writer.say(said, writer.at + FOLD)
        (found,) = events_of(admin, namespace, uid)
        assert (found["reason"], found["type"]) == ("Refused", "Warning")
        assert found["message"] == "spec: it is \\x1b[31mbad"
        assert found["series"]["count"] == 2
        assert found["involvedObject"]["name"] == "db"
    assert writer.log.getvalue() == ""


def test_a_node(admin: Client, cluster: Cluster, writers: Writers) -> None:
    name = f"node-{cluster.namespace}"
    cluster.node(name)
    uid = admin.request("GET", f"/api/v1/nodes/{name}").body["metadata"]["uid"]
    writers(RULES).say(EventContent(ObjectRef("Node", "", name), "Drift", "by nft"))
    (found,) = events_of(admin, "default", uid)
    assert found["message"] == "by nft"


def test_without_the_right_nothing_is_written_and_the_log_says_so(
    admin: Client, cluster: Cluster, writers: Writers
) -> None:
    cluster.pod("db", "node-1")
    writer = writers([rule for rule in RULES if rule["apiGroups"] != ["events.k8s.io"]])
    writer.say(EventContent(ObjectRef("Pod", cluster.namespace, "db"), "Closed", "x"))
    assert 'cannot create resource \\"events\\"' in writer.log.getvalue().replace("\\\\", "\\")


@pytest.mark.kernel
def test_an_agent_says_what_is_wrong_with_its_node(
    admin: Client, here: Node, cluster: Cluster
) -> None:
    agent = here.agent()
    here.nft("delete", "table", "inet", TABLE)
    agent.wait_for("condition")
    uid = admin.request("GET", f"/api/v1/nodes/{here.name}").body["metadata"]["uid"]
    until = time.monotonic() + PATIENCE
    while not (found := events_of(admin, "default", uid)):
        assert time.monotonic() < until, agent.lines()
        time.sleep(0.1)
    assert [(each["reason"], each["type"]) for each in found] == [("Drift", "Warning")]
    assert "nft (process " in found[0]["message"]
