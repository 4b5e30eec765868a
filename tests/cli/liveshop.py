"""A shop in a stand-in of a cluster, and commands that ask it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.cli.session import Done, podfence
from tests.kube.fakeapi import FakeApi
from tests.kube.fakecluster import FakeCluster, kubeconfig, running

SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: sales}}
---
apiVersion: v1
kind: Namespace
metadata: {name: default}
---
apiVersion: v1
kind: Namespace
metadata: {name: watch}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.20.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}, annotations: {note: hush}}
spec:
  nodeName: n1
  containers: [{name: c, env: [{name: PASSWORD, value: hush}], ports: [{containerPort: 80}]}]
status: {phase: Running, podIP: 10.1.0.1, hostIP: 172.20.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: n1, containers: [{name: c, ports: [{containerPort: 5432, name: pg}]}]}
status: {phase: Running, podIP: 10.1.0.2, hostIP: 172.20.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: watch, labels: {app: probe}}
spec: {nodeName: n1, containers: [{name: c}]}
status: {phase: Running, podIP: 10.1.0.3, hostIP: 172.20.0.1}
---
apiVersion: v1
kind: Service
metadata: {name: pg, namespace: shop}
spec: {selector: {app: db}, clusterIP: 10.2.0.9, ports: [{port: 5432, targetPort: pg}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]
"""


def shop() -> FakeCluster:
    cluster = FakeCluster()
    for data in yaml.safe_load_all(SHOP):
        cluster.apply(data)
    return cluster


class Asked:
    """Commands that find the cluster by a kubeconfig."""

    def __init__(self, config: Path, api: FakeApi) -> None:
        self.config = config
        self.api = api

    def __call__(self, *arguments: str, program: str = "podfence") -> Done:
        return podfence(arguments, kubeconfig=str(self.config), program=program)


@contextmanager
def asking(cluster: FakeCluster, folder: Path, namespace: str = "") -> Iterator[Asked]:
    with running(cluster) as api:
        yield Asked(kubeconfig(folder, api.url, namespace), api)
