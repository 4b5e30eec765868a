"""Objects of a real API server, as the tests of the agent need them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.apiserver.client import Client

MERGE = "application/merge-patch+json"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
PODS = "/api/v1/namespaces/{}/pods"
Labels = Mapping[str, str]


class Cluster:
    """Everything in one namespace; pods run where they are said to run."""

    def __init__(self, admin: Client, namespace: str) -> None:
        self.admin = admin
        self.namespace = namespace

    def node(self, name: str, *ranges: str) -> None:
        """A Node, as a kubelet registers it."""
        spec = {"podCIDR": ranges[0], "podCIDRs": list(ranges)} if ranges else {}
        self.admin.create("/api/v1/nodes", {"metadata": {"name": name}, "spec": spec})

    def pod(self, name: str, node: str, address: str = "", labels: Labels | None = None) -> None:
        """A pod that is scheduled, with an address if it has one yet."""
        container = {"name": "main", "image": "none", "ports": [{"containerPort": 80}]}
        metadata = {"name": name, "labels": {"app": name, **(labels or {})}}
        spec = {"nodeName": node, "containers": [container]}
        self.admin.create(PODS.format(self.namespace), {"metadata": metadata, "spec": spec})
        if address:
            self.address(name, address)

    def address(self, name: str, address: str) -> None:
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        self._patch(f"{PODS.format(self.namespace)}/{name}/status", {"status": status})

    def relabel(self, name: str, labels: Mapping[str, str | None]) -> None:
        self._patch(f"{PODS.format(self.namespace)}/{name}", {"metadata": {"labels": labels}})

    def relabel_namespace(self, labels: Mapping[str, str | None]) -> None:
        self._patch(f"/api/v1/namespaces/{self.namespace}", {"metadata": {"labels": labels}})

    def delete_pod(self, name: str) -> None:
        self._delete(f"{PODS.format(self.namespace)}/{name}?gracePeriodSeconds=0")

    def policy(
        self, name: str, target: Labels, sources: Labels | None, namespaces: Labels | None = None
    ) -> None:
        """Only pods with the labels of ``sources`` may come in; None: nobody may. ``namespaces``:
        labels of the namespaces that they are in; None: this one."""
        peer: dict[str, Any] = {"podSelector": {"matchLabels": dict(sources or {})}}
        if namespaces is not None:
            peer["namespaceSelector"] = {"matchLabels": dict(namespaces)}
        allowed = [{"from": [peer]}] if sources else []
        selector = {"matchLabels": dict(target)}
        spec = {"podSelector": selector, "ingress": allowed, "policyTypes": ["Ingress"]}
        path = POLICIES.format(self.namespace)
        body: dict[str, Any] = {"metadata": {"name": name}, "spec": spec}
        if self.admin.request("POST", path, body).status == 409:
            found = self.admin.request("GET", f"{path}/{name}").body
            body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            answer = self.admin.request("PUT", f"{path}/{name}", body)
            assert answer.status == 200, answer

    def delete_policy(self, name: str) -> None:
        self._delete(f"{POLICIES.format(self.namespace)}/{name}")

    def _patch(self, path: str, body: Any) -> None:
        answer = self.admin.request("PATCH", path, body, MERGE)
        assert answer.status == 200, answer

    def _delete(self, path: str) -> None:
        answer = self.admin.request("DELETE", path)
        assert answer.status == 200, answer
