"""Domain names on a real node: a policy of a real API server, the agent's own process, packets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from podfence.dns.table import TABLE
from tests.agent.cluster import Cluster
from tests.agent.network import PATIENCE, Node
from tests.apiserver.crds import Crds
from tests.support.dnsmessages import answer, question

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(240)]

API = "api.example.com"


@pytest.fixture
def policy(cluster: Cluster, crds: Crds) -> Iterator[None]:
    """Pods with ``app: web`` may connect to a name and to the resolver, and nowhere else."""
    crds.install("experimental")
    name = f"names-{cluster.namespace}"
    spec = {
        "tier": "Admin",
        "priority": 10,
        "subject": {
            "pods": {
                "namespaceSelector": {},
                "podSelector": {"matchLabels": {"app": "web"}},
            }
        },
        "egress": [
            {"action": "Accept", "to": [{"domainNames": [API]}]},
            {"action": "Accept", "to": [{"networks": ["192.0.2.53/32"]}]},
            {"action": "Deny", "to": [{"networks": ["0.0.0.0/0"]}]},
        ],
    }
    version = f"policy.networking.k8s.io/{crds.versions()[0]}"
    path = f"/apis/{version}/clusternetworkpolicies"
    body = {"apiVersion": version, "kind": "ClusterNetworkPolicy", "metadata": {"name": name}}
    cluster.admin.create(path, {**body, "spec": spec})
    yield
    cluster.admin.request("DELETE", f"{path}/{name}")


def ask(here: Node) -> None:
    """The pod asks, and the resolver answers."""
    with here.pods["web"].socket() as asking, here.pods["resolver"].socket(53) as answering:
        asking.settimeout(PATIENCE)
        answering.settimeout(PATIENCE)
        told = threading.Thread(target=_answer, args=(answering,))
        told.start()
        asking.sendto(question(API), ("192.0.2.53", 53))
        assert asking.recv(1000)
        told.join()


def _answer(opened: socket.socket) -> None:
    _, sender = opened.recvfrom(1000)
    opened.sendto(answer(API, [(API, 60, "A", "192.0.2.1")]), sender)


@pytest.mark.usefixtures("policy")
def test_a_name_opens_after_an_answer_and_a_restart_leaves_it_open(
    here: Node, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    here.add("resolver", "192.0.2.53")
    here.add("outside", "192.0.2.1")
    here.add("strange", "192.0.2.2")
    agent = here.agent("--resolver", "192.0.2.53")
    here.becomes(False, "web", "outside")
    until = time.monotonic() + PATIENCE
    while TABLE not in here.nft("list", "tables"):
        assert time.monotonic() < until
        time.sleep(0.05)
    ask(here)
    here.becomes(True, "web", "outside")
    assert not here.passes("web", "strange")
    time.sleep(1.5)  # the file is written at most once a second
    agent.process.kill()
    agent.process.wait(PATIENCE)
    assert here.passes("web", "outside")
    again = here.agent("--resolver", "192.0.2.53")
    assert again.lines("in sync")[0]["operations"] == 0
    assert here.passes("web", "outside")
    again.end()
    assert here.cleanup().returncode == 0
    assert here.nft("list", "tables") == ""
    assert [*run.iterdir()]  # the lock stays
    assert not [*run.glob("names-*")]
