"""A stand-in for what containers see in a cluster: who answers, and who lets whom through."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml

from tests.cli.liveshop import Asked, asking
from tests.kube.fakecluster import FakeCluster

IMAGE = ("--probe-image", "python:3", "--yes")
SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system}
---
apiVersion: v1
kind: Service
metadata: {name: pg, namespace: shop}
spec: {selector: {app: db}, clusterIP: 10.2.0.9, ports: [{port: 6000, targetPort: 5432}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]
"""
ADDRESSES = {
    "shop/web": "10.1.0.1",
    "shop/db": "10.1.0.2",
    "shop/other": "10.1.0.3",
    "kube-system/dns": "10.1.0.4",
}
DENIED = ("10.1.0.2", "10.2.0.9")
"""What shop/other must not reach."""


def pod(name: str, address: str, **spec: Any) -> dict[str, Any]:
    namespace, _, own = name.partition("/")
    metadata = {"name": own, "namespace": namespace, "labels": {"app": own}}
    container = {"name": "c", "image": "x", "ports": [{"containerPort": 5432}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": "n1", "containers": [container], **spec},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    }


class Network:
    """``listening``: addresses with ports; ``drops``: whether a pod's connection to an address of
    another one is denied; ``denied``: what the pod sees then."""

    def __init__(self) -> None:
        self.listening = {(address, 5432) for address in (*ADDRESSES.values(), "10.2.0.9")}
        self.listening = {(at, 6000 if at == "10.2.0.9" else port) for at, port in self.listening}
        self.drops: Callable[[str, str], bool] = lambda source, address: (
            source == "shop/other" and address in DENIED
        )
        self.denied = "timeout"
        self.decoy = "timeout"
        self.ran: dict[str, dict[str, Any]] = {}

    def run(self, pod_name: str, container: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """What a container prints, given its own command."""
        self.ran[pod_name] = container
        attempts = json.loads(container["command"][-1])["attempts"]
        lines = [
            {"at": at, "got": self._got(pod_name, address, port)}
            for at, (_, address, port) in enumerate(attempts)
        ]
        text = "\n".join(map(json.dumps, [*lines, {"done": len(attempts)}]))
        return {"terminated": {"reason": "Completed"}}, text.encode()

    def _got(self, source: str, address: str, port: int) -> str:
        if address == "192.0.2.1":
            return self.decoy
        if ADDRESSES.get(source) != address and self.drops(source, address):
            return self.denied
        return "open" if (address, port) in self.listening else "refused"


def cluster_with(network: Network) -> FakeCluster:
    """The shop, in a cluster of that network."""
    made = FakeCluster(runs=network.run)
    for data in yaml.safe_load_all(SHOP):
        made.apply(data)
    for name, address in ADDRESSES.items():
        made.apply(pod(name, address))
    return made


class Tried:
    """A test file, tried in a cluster."""

    def __init__(self, cluster: FakeCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder

    def __call__(self, tests: str, *options: str, image: tuple[str, ...] = IMAGE) -> Any:
        """``podfence test --in cluster``, with the tests as YAML."""
        file = self.folder / "t.podfence.yaml"
        head = "apiVersion: podfence.io/v1alpha1\nkind: PolicyTests\ndefaults: {namespace: shop}\n"
        file.write_text(f"{head}tests:\n{tests}")
        where = () if "--in" in options else ("--in", "cluster")
        with self.asking() as ask:
            return ask("test", str(file), *where, *options, *image)

    def asking(self) -> AbstractContextManager[Asked]:
        return asking(self.cluster, self.folder)
