"""An agent on a real node, asked over HTTP while it enforces with real packets."""

from __future__ import annotations

import http.client
import time
from pathlib import Path

import pytest

from podfence.kernel import netns
from tests.agent.cluster import Cluster
from tests.agent.exposition import Samples, parse
from tests.agent.network import Node

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(240)]

DENIED = "podfence_denied_packets_total"


def get(node: Node, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", 9740, timeout=20)
    with netns.inside(node.namespace):
        connection.connect()
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def ready_within(node: Node, seconds: float) -> bool:
    """Whether the agent says so in time: pages tell a state that may be a little old."""
    end = time.monotonic() + seconds
    while get(node, "/readyz") != (200, "ok\n"):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def metrics(node: Node) -> Samples:
    status, text = get(node, "/metrics")
    assert status == 200
    return parse(text)


def test_it_tells_what_it_enforces_and_denies(here: Node, cluster: Cluster) -> None:
    here.agent()
    cluster.policy("db", {"app": "db"}, {"app": "web"})
    assert get(here, "/healthz") == (200, "ok\n")
    assert ready_within(here, 60.0)
    here.becomes(False, "far", "db")
    here.add("stranger", f"{here.prefix}.0.99")
    assert not here.passes("stranger", "web")
    found = metrics(here)
    assert found[DENIED, (("direction", "ingress"), ("reason", "policy"))] > 0
    assert found[DENIED, (("direction", "any"), ("reason", "unknown"))] > 0
    assert found["podfence_pods", ()] == 2
    assert found["podfence_elements", ()] > 0
    assert found["podfence_event_to_kernel_seconds_count", (("kind", "NetworkPolicy"),)] > 0
    assert found["podfence_conntrack_entries", ()] > 0
    assert found["podfence_source_live", (("kind", "Pod"), ("part", "own"))] == 1


def test_it_lives_but_is_not_ready_while_the_server_is_away(here: Node) -> None:
    here.relay.cut()
    here.agent(wait=False).wait_for("start")
    status, text = get(here, "/readyz")
    assert (status, text.splitlines()[0]) == (503, "not in sync")
    assert get(here, "/healthz") == (200, "ok\n")


def test_a_port_that_is_taken_ends_it_before_anything_is_touched(
    here: Node, kubeconfig: Path, tmp_path: Path
) -> None:
    here.agent()
    here.nft("add", "table", "inet", "other")
    before = here.nft("list", "ruleset")
    words = ("--kubeconfig", str(kubeconfig), "--run-dir", str(tmp_path / "other"))
    done = here.podfence("agent", "--node", "x", *words)
    assert done.returncode == 2
    assert "127.0.0.1:9740 cannot be listened on: Address already in use" in done.stderr
    assert here.nft("list", "ruleset") == before
