"""Who may ask an agent, by a real API server: the rights of deploy/install.yaml are enough, and no
more; and the way through the API server's proxy."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from podfence.agent.endpoint import HttpsServer, Route
from podfence.agent.listening import Listen
from podfence.agent.log import EventLog
from podfence.agent.reviews import Reviewer
from podfence.agent.selfsigned import server_context
from podfence.kube.access import Access
from podfence.kube.agents import AgentAddress, client_of, find_fleet, request_token
from podfence.kube.client import Client as KubeClient
from podfence.kube.client import ServerRefusal
from podfence.kube.source import find_access
from tests.apiserver.server import ApiServer
from tests.deploy import chart

pytestmark = pytest.mark.apiserver

Json = dict[str, Any]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MERGE = "application/merge-patch+json"
_numbers = count(1)


def own_address() -> str:
    """An address of this machine that is not loopback, which the API server's proxy refuses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        try:
            found.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(found.getsockname()[0])


def rules(kind: str, name: str) -> list[Json]:
    found: list[Json] = chart.only(chart.installed(), kind, name)["rules"]
    return found


class Installed:
    """What deploy/install.yaml gives, in a namespace of its own, with one agent's endpoint."""

    def __init__(self, server: ApiServer, namespace: str, folder: Path) -> None:
        self.server, self.namespace, self._folder = server, namespace, folder
        self.admin = server.admin
        self._clients: list[KubeClient] = []
        self.node = f"node-{namespace}"
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.admin.create(account, {"metadata": {"name": "podfence-viewer"}})
        self.bind("podfence-answers", "podfence-viewer")
        agent = server.service_account(namespace, "agent", rules("ClusterRole", "podfence"))
        self.reviewer = Reviewer(self.client(self.access(agent)), time.monotonic)
        route = Route("status", lambda _: iter((b'{"node":"here"}',)))
        shop = Route("drops", lambda query: iter((msgspec.json.encode(query),)), of_namespace=True)
        self.endpoint = HttpsServer(
            Listen(own_address(), 0),
            server_context(),
            self.reviewer,
            {"/v1/status": route, "/v1/drops": shop},
            EventLog(io.StringIO()),
        )
        threading.Thread(target=self.endpoint.run, daemon=True).start()
        self.pod()

    def pod(self) -> None:
        """The pod of the agent, as the DaemonSet makes it and a kubelet tells of it."""
        self.admin.create("/api/v1/nodes", {"metadata": {"name": self.node}})
        labels = {"app.kubernetes.io/name": "podfence"}
        port = {"name": "https", "containerPort": self.endpoint.port}
        spec = {
            "nodeName": self.node,
            "hostNetwork": True,
            "containers": [{"name": "agent", "image": "none", "ports": [port]}],
        }
        metadata = {"name": "podfence-x", "labels": labels}
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        self.admin.create(path, {"metadata": metadata, "spec": spec})
        address = own_address()
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        answer = self.admin.request("PATCH", f"{path}/podfence-x/status", {"status": status}, MERGE)
        assert answer.status == 200, answer

    def bind(self, role: str, account: str) -> None:
        """A ClusterRole of install.yaml for an account, under a name of this namespace."""
        name = f"{self.namespace}-{role}-{account}"
        body = {"metadata": {"name": name}, "rules": rules("ClusterRole", role)}
        self.admin.create(f"{RBAC}/clusterroles", body)
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        subject = {"kind": "ServiceAccount", "namespace": self.namespace, "name": account}
        body = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        self.admin.create(f"{RBAC}/clusterrolebindings", body)

    def access(self, token: str) -> Access:
        file = self.server.kubeconfig(self._folder / f"kubeconfig-{next(_numbers)}", token)
        return find_access("", str(file), {})

    def client(self, access: Access) -> KubeClient:
        """Closed in the end."""
        made = KubeClient(access, {})
        self._clients.append(made)
        return made

    def person(self, name: str) -> Access:
        """Somebody with the two roles for people."""
        token = self.server.service_account(
            self.namespace, name, rules("ClusterRole", "podfence-viewer")
        )
        path = f"{RBAC}/namespaces/{self.namespace}"
        body: Json = {"metadata": {"name": name}, "rules": rules("Role", "podfence-viewer")}
        self.admin.create(f"{path}/roles", body)
        subject = {"kind": "ServiceAccount", "namespace": self.namespace, "name": name}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        body = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        self.admin.create(f"{path}/rolebindings", body)
        access = self.access(token)
        until = time.monotonic() + 60
        client = self.client(access)
        while True:  # the authorizer learns of roles a moment after they are stored
            try:
                request_token(client, self.namespace, "podfence-viewer")
            except ServerRefusal:
                assert time.monotonic() < until
                time.sleep(0.05)
            else:
                return access

    def ask(self, agent: AgentAddress, access: Access, token: str, path: str) -> tuple[int, str]:
        client, prefix = client_of(agent, access, token)
        with client:
            try:
                return 200, client.get(prefix + path).decode()
            except ServerRefusal as refusal:
                return refusal.status, refusal.said

    def close(self) -> None:
        self.endpoint.shutdown()
        self.endpoint.server_close()
        self.admin.close()
        for each in self._clients:
            each.close()


@pytest.fixture
def installed(apiserver: ApiServer, namespace: str, tmp_path: Path) -> Iterator[Installed]:
    made = Installed(apiserver, namespace, tmp_path)
    yield made
    made.close()


def viewer(installed: Installed) -> str:
    """A token that the administrator asks for."""
    client = installed.client(installed.access(""))
    return request_token(client, installed.namespace, "podfence-viewer")


def test_a_person_with_the_roles_finds_and_asks_agents(installed: Installed) -> None:
    access = installed.person("jane")
    client = installed.client(access)
    fleet = find_fleet(client, installed.namespace)
    (agent,) = (each for each in fleet.agents if each.node == installed.node)
    assert installed.node in fleet.nodes
    assert (agent.port, agent.pod) == (installed.endpoint.port, "podfence-x")
    token = request_token(client, installed.namespace, "podfence-viewer")
    through = installed.ask(agent, access, token, "/v1/status")
    assert through == (200, '{"node":"here"}')
    direct = AgentAddress(agent.node, agent.address, agent.port)
    assert installed.ask(direct, access, token, "/v1/status") == through


def test_a_token_for_the_api_server_is_none_for_an_agent(installed: Installed) -> None:
    admin = installed.access("")
    direct = AgentAddress("n", own_address(), installed.endpoint.port)
    token = admin.credentials.get().token
    assert installed.ask(direct, admin, token, "/v1/status")[0] == 401


def test_a_token_for_an_agent_is_none_for_the_api_server(installed: Installed) -> None:
    token = viewer(installed)
    with pytest.raises(ServerRefusal, match="401"):
        installed.client(installed.access(token)).get("/api/v1/nodes")


def test_an_account_without_the_right_is_refused(installed: Installed) -> None:
    path = f"/api/v1/namespaces/{installed.namespace}/serviceaccounts"
    installed.admin.create(path, {"metadata": {"name": "nobody"}})
    admin = installed.access("")
    token = request_token(installed.client(admin), installed.namespace, "nobody")
    direct = AgentAddress("n", own_address(), installed.endpoint.port)
    found = installed.ask(direct, admin, token, "/v1/status")
    assert found == (403, "no right to get status.podfence.io in all namespaces")


def test_an_account_of_one_namespace_reads_of_that_one(installed: Installed) -> None:
    path = f"/api/v1/namespaces/{installed.namespace}/serviceaccounts"
    installed.admin.create(path, {"metadata": {"name": "shop"}})
    role = {"metadata": {"name": "shop"}, "rules": rules("ClusterRole", "podfence-answers")}
    installed.admin.create(f"{RBAC}/namespaces/shop-{installed.namespace}/roles", role)
    subject = {"kind": "ServiceAccount", "namespace": installed.namespace, "name": "shop"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "shop"}
    body = {"metadata": {"name": "shop"}, "roleRef": reference, "subjects": [subject]}
    installed.admin.create(f"{RBAC}/namespaces/shop-{installed.namespace}/rolebindings", body)
    admin = installed.access("")
    token = request_token(installed.client(admin), installed.namespace, "shop")
    direct = AgentAddress("n", own_address(), installed.endpoint.port)
    path = f"/v1/drops?namespace=shop-{installed.namespace}"
    until = time.monotonic() + 60
    while installed.ask(direct, admin, token, path)[0] != 200:
        assert time.monotonic() < until
        time.sleep(0.5)
    for other in ("/v1/drops", "/v1/drops?namespace=other", "/v1/status"):
        assert installed.ask(direct, admin, token, other)[0] == 403, other


@pytest.mark.parametrize("resource", ["tokenreviews", "subjectaccessreviews"])
def test_no_right_of_the_agent_can_be_spared(installed: Installed, resource: str) -> None:
    left = [r for r in rules("ClusterRole", "podfence") if r["resources"] != [resource]]
    token = installed.server.service_account(installed.namespace, f"without-{resource}", left)
    installed.reviewer._server = installed.client(installed.access(token))
    direct = AgentAddress("n", own_address(), installed.endpoint.port)
    found = installed.ask(direct, installed.access(""), viewer(installed), "/v1/status")
    assert found[0] == 503, found


def test_a_person_without_the_roles_gets_no_token(installed: Installed, namespace: str) -> None:
    access = installed.access(installed.server.service_account(namespace, "joe"))
    with pytest.raises(ServerRefusal, match="403"):
        request_token(installed.client(access), namespace, "podfence-viewer")
