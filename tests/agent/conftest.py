"""A node of a real API server, with an agent on it; each test has its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.agent.cluster import Cluster
from tests.agent.network import Node, node
from tests.apiserver.client import Client
from tests.apiserver.conftest import admin, apiserver, crds, kubeconfig, namespace, newest

__all__ = ["admin", "apiserver", "crds", "kubeconfig", "namespace", "newest"]
_numbers = count(1)


@pytest.fixture
def cluster(admin: Client, namespace: str) -> Cluster:
    return Cluster(admin, namespace)


@pytest.fixture
def here(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> Iterator[Node]:
    """A node whose pods have addresses of 10.N.0.0/24, with three of them: ``web`` and ``db`` run
    on it, ``far`` on another node."""
    number = next(_numbers)
    name = f"node-{cluster.namespace}"
    cluster.node(name, f"10.{number}.0.0/24")
    with node(name, tmp_path, kubeconfig) as made:
        made.prefix = f"10.{number}"
        for last, pod in enumerate(("web", "db"), 1):
            made.add(pod, f"10.{number}.0.{last}")
            cluster.pod(pod, name, f"10.{number}.0.{last}")
        made.add("far", f"10.{number}.1.1")
        cluster.pod("far", "another", f"10.{number}.1.1")
        yield made
