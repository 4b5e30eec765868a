"""Uses of rules are counted: a real API server, a real agent, real packets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.agent.cluster import MERGE, POLICIES, Cluster
from tests.agent.network import PATIENCE, Node

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(240)]

Found = dict[str, dict[str, Any]]


def rules(here: Node, folder: Path, until: Callable[[Found], bool], *options: str) -> Found:
    """What ``podfence rules`` tells, by path, asked until it is what is waited for."""
    end = time.monotonic() + PATIENCE
    while True:
        done = here.podfence("rules", "--run-dir", str(folder / "run"), "-o", "json", *options)
        assert not done.stderr
        found = {rule["path"]: rule for rule in json.loads(done.stdout)["rules"]}
        if until(found):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.2)


def two_rules(cluster: Cluster) -> None:
    """The pod db lets in web at port 80, and cron at any."""
    body = {
        "metadata": {"name": "db"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "db"}},
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                    "ports": [{"protocol": "UDP", "port": 80}],
                },
                {"from": [{"podSelector": {"matchLabels": {"app": "cron"}}}]},
            ],
        },
    }
    cluster.admin.create(POLICIES.format(cluster.namespace), body)


def test_what_passed_is_put_down_to_its_rule(here: Node, cluster: Cluster, tmp_path: Path) -> None:
    two_rules(cluster)
    here.agent()
    here.becomes(False, "far", "db")
    assert here.passes("web", "db")
    found = rules(here, tmp_path, lambda f: "last" in f.get("spec.ingress[0]", {}))
    used, unused = found["spec.ingress[0]"], found["spec.ingress[1]"]
    assert used["uses"] >= 1
    assert (unused["uses"], unused.get("last", "")) == (0, "")
    assert {used["policy"], unused["policy"]} == {f"{cluster.namespace}/db"}


def test_a_connection_that_lives_on_uses_the_next_revision(
    here: Node, cluster: Cluster, tmp_path: Path
) -> None:
    """Nobody sends a packet after the policy was changed."""
    two_rules(cluster)
    here.agent()
    here.becomes(False, "far", "db")
    assert here.passes("web", "db")
    rules(here, tmp_path, lambda f: "last" in f.get("spec.ingress[0]", {}))
    more = {"spec": {"policyTypes": ["Ingress", "Egress"], "egress": [{}]}}
    path = f"{POLICIES.format(cluster.namespace)}/db"
    assert cluster.admin.request("PATCH", path, more, MERGE).status == 200
    found = rules(
        here,
        tmp_path,
        lambda f: "spec.egress[0]" in f and "last" in f.get("spec.ingress[0]", {}),
    )
    used, unused = found["spec.ingress[0]"], found["spec.ingress[1]"]
    assert (used["generation"], used["uses"], unused.get("last", "")) == (2, 0, "")


def test_an_agent_that_is_started_again_goes_on(
    here: Node, cluster: Cluster, tmp_path: Path
) -> None:
    two_rules(cluster)
    agent = here.agent()
    here.becomes(False, "far", "db")
    assert here.passes("web", "db")
    before = rules(here, tmp_path, lambda f: "last" in f.get("spec.ingress[0]", {}))
    agent.end()
    here.agent()
    after = rules(here, tmp_path, lambda f: "spec.ingress[0]" in f)
    assert {p: r["since"] for p, r in after.items()} == {p: r["since"] for p, r in before.items()}
    assert after["spec.ingress[0]"]["uses"] >= before["spec.ingress[0]"]["uses"]


def test_only_what_was_unused_for_so_long(here: Node, cluster: Cluster, tmp_path: Path) -> None:
    two_rules(cluster)
    here.agent()
    here.becomes(False, "far", "db")
    assert here.passes("web", "db")
    rules(here, tmp_path, lambda f: "last" in f.get("spec.ingress[0]", {}))
    assert rules(here, tmp_path, lambda _: True, "--unused", "1d") == {}
    time.sleep(1.1)
    assert "spec.ingress[1]" in rules(here, tmp_path, bool, "--unused", "1s")
    options = ("rules", "--run-dir", str(tmp_path / "run"), "--unused")
    done = here.podfence(*options, "1s")
    assert (done.returncode, "never" in done.stdout) == (1, True)
    done = here.podfence(*options, "1d")
    assert done.returncode == 0
    assert "but not for so long" in done.stderr
