"""The CRD of ClusterNetworkPolicy as a server has it installed, in one of its channels.

Rule: a server serves a changed CRD a moment after it stored it; ``install`` returns when it does.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tests.apiserver.client import Client

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "policy.networking.k8s.io"
KIND_PATH = f"/apis/{GROUP}/{{}}/clusternetworkpolicies"
QUERY = "?fieldValidation=Strict&dryRun=All"
SECONDS = 60
_NODES = {"action": "Deny", "to": [{"nodes": {}}]}


class Crds:
    """``files``: the CRD of each channel."""

    def __init__(self, admin: Client, files: Mapping[str, dict[str, Any]]) -> None:
        self._admin = admin
        self._files = files
        self._installed = ""

    def versions(self) -> list[str]:
        """Those that every channel serves."""
        served = [[v["name"] for v in crd["spec"]["versions"]] for crd in self._files.values()]
        return sorted(set(served[0]).intersection(*served))

    def install(self, channel: str) -> None:
        """The kinds as this channel has them, once they are served."""
        if self._installed == channel:
            return
        crd = self._files[channel]
        path = f"{_CRDS}/{crd['metadata']['name']}"
        found = self._admin.request("GET", path)
        if found.status == 200:
            version = found.body["metadata"]["resourceVersion"]
            metadata = {**crd["metadata"], "resourceVersion": version}
            answer = self._admin.request("PUT", path, {**crd, "metadata": metadata})
            assert answer.status == 200, answer
        else:
            self._admin.create(_CRDS, crd)
        until = time.monotonic() + SECONDS
        while not all(self._serves(version, channel) for version in self.versions()):
            assert time.monotonic() < until, f"the {channel} channel is never served"
            time.sleep(0.05)
        self._installed = channel

    def _serves(self, version: str, channel: str) -> bool:
        """Only the experimental channel knows ``nodes``."""
        spec = {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "egress": [_NODES]}
        body = {
            "apiVersion": f"{GROUP}/{version}",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "asked"},
            "spec": spec,
        }
        answer = self._admin.request("POST", KIND_PATH.format(version) + QUERY, body)
        return answer.status == (201 if channel == "experimental" else 400)
