"""Denied packets get names: a real API server, a real agent, real packets."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from podfence.kernel.nflog import LogListener
from tests.agent.cluster import POLICIES, Cluster
from tests.agent.network import PATIENCE, Node

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(240)]

DB, WEB = {"app": "db"}, {"app": "web"}
Found = list[dict[str, Any]]


def drops(here: Node, folder: Path, until: Callable[[Found], bool], *options: str) -> Found:
    """What ``podfence drops`` tells, asked until it is what is waited for."""
    end = time.monotonic() + PATIENCE
    while True:
        done = here.podfence("drops", "--run-dir", str(folder / "run"), "-o", "json", *options)
        assert done.returncode == 0, done.stderr
        found: Found = json.loads(done.stdout)["nodes"][0]["drops"]
        if until(found):
            return found
        assert time.monotonic() < end, found


def names(drop: dict[str, Any], namespace: str) -> tuple[str, ...]:
    ends = (drop["source"].get("pods", ["?"])[0], drop["destination"].get("pods", ["?"])[0])
    cause = drop["cause"]
    policies = (rule["policy"] for rule in cause.get("policies", ()))
    texts = (*ends, drop["direction"], cause["reason"], *policies)
    return tuple(text.removeprefix(f"{namespace}/") for text in texts)


def test_who_was_denied_by_what(here: Node, cluster: Cluster, tmp_path: Path) -> None:
    cluster.policy("db", DB, WEB)
    here.agent()
    here.becomes(False, "far", "db")
    assert here.passes("web", "db")
    (drop,) = drops(here, tmp_path, bool)
    assert names(drop, cluster.namespace) == ("far", "db", "ingress", "isolated", "db")
    assert (drop["protocol"], drop["port"], drop["node"]) == ("UDP", 80, here.name)
    assert [rule["path"] for rule in drop["cause"]["near"]] == ["spec.ingress[0]"]


def test_what_is_printed(here: Node, cluster: Cluster, tmp_path: Path) -> None:
    cluster.policy("db", DB, WEB)
    here.agent()
    here.becomes(False, "far", "db", 5432)
    drops(here, tmp_path, bool)
    done = here.podfence("drops", "--run-dir", str(tmp_path / "run"))
    space = cluster.namespace
    head, near = done.stdout.splitlines()
    assert head.endswith(
        f"x {space}/far -> {space}/db UDP/5432 ingress: isolated by {space}/db, no rule matches"
    )
    assert near.startswith(f"    {space}/db spec.ingress[0]: near miss: the port fits")


def test_a_pod_that_nobody_knows(here: Node, cluster: Cluster, tmp_path: Path) -> None:
    here.agent()
    here.add("new", f"{here.prefix}.0.9")
    assert not here.passes("new", "web")
    (drop,) = drops(here, tmp_path, bool)
    assert (drop["cause"], drop["direction"]) == ({"reason": "unknown"}, "")
    assert drop["source"] == {"address": f"{here.prefix}.0.9"}


def test_an_answer_that_may_not_come_back_is_told_from_the_client(
    here: Node, cluster: Cluster, tmp_path: Path
) -> None:
    """Both ends are here: the policy comes when the connection is there already."""
    here.agent()
    with here.pods["web"].socket(4000) as web, here.pods["db"].socket(5432) as db:
        web.sendto(b"x", (here.pods["db"].address, 5432))
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                _, client = db.recvfrom(10)
                break
            except BlockingIOError:
                time.sleep(0.01)
        cluster.policy("db", DB, None)
        here.becomes(False, "far", "db")
        db.sendto(b"y", client)
        found = drops(here, tmp_path, lambda f: any("reply" in d for d in f))
    (drop,) = [d for d in found if "reply" in d]
    assert names(drop, cluster.namespace)[:3] == ("web", "db", "ingress")
    assert (drop["port"], drop["reply"]) == (5432, True)


def test_only_those_of_a_pod_or_a_namespace(here: Node, cluster: Cluster, tmp_path: Path) -> None:
    for name in ("db", "web"):
        cluster.policy(name, {"app": name}, None)
    here.agent()
    here.becomes(False, "far", "db")
    here.becomes(False, "far", "web")
    drops(here, tmp_path, lambda found: len(found) == 2)
    for option in ("web", f"{cluster.namespace}/web"):
        (drop,) = drops(here, tmp_path, bool, "--pod", option)
        assert drop["destination"]["pods"] == [f"{cluster.namespace}/web"]
    assert len(drops(here, tmp_path, bool, "-n", cluster.namespace)) == 2
    assert drops(here, tmp_path, lambda _: True, "-n", "elsewhere") == []


def test_only_rules_that_come_near_are_told(here: Node, cluster: Cluster, tmp_path: Path) -> None:
    """Of one neither the peer nor the port fits."""
    body = {
        "metadata": {"name": "db"},
        "spec": {
            "podSelector": {"matchLabels": DB},
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {"app": "far"}}}],
                    "ports": [{"protocol": "TCP", "port": 5432}],
                },
                {
                    "from": [{"podSelector": {"matchLabels": WEB}}],
                    "ports": [{"protocol": "TCP", "port": 1}],
                },
            ],
        },
    }
    cluster.admin.create(POLICIES.format(cluster.namespace), body)
    here.agent()
    here.becomes(False, "far", "db")
    (drop,) = drops(here, tmp_path, bool)
    (near,) = drop["cause"]["near"]
    assert near["path"] == "spec.ingress[0]"
    assert near["said"] == (
        "near miss: the peer fits (spec.ingress[0].from[0]), but it allows only TCP/5432"
    )


def test_another_listener_keeps_nothing_from_being_enforced(
    here: Node, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.policy("db", DB, None)
    other = LogListener(77, here.namespace)
    agent = here.agent()
    assert "another process listens" in str(agent.wait_for("denied packets are not reported"))
    here.becomes(False, "web", "db")
    other.close()


def test_the_pod_is_told_by_an_event(here: Node, cluster: Cluster, tmp_path: Path) -> None:
    cluster.policy("db", DB, WEB)
    here.agent()
    here.becomes(False, "far", "db")
    path = f"/api/v1/namespaces/{cluster.namespace}/events?fieldSelector=reason=PacketsDenied"
    end = time.monotonic() + PATIENCE
    while not (found := cluster.admin.request("GET", path).body["items"]):
        assert time.monotonic() < end
        time.sleep(0.2)
    (event,) = found
    space = cluster.namespace
    assert (event["involvedObject"]["kind"], event["involvedObject"]["name"]) == ("Pod", "db")
    assert event["message"].startswith(
        f"ingress from {space}/far at UDP/80 is denied: isolated by {space}/db, no rule matches; "
        "spec.ingress[0]: near miss"
    )


def test_root_alone_may_ask(here: Node, cluster: Cluster, tmp_path: Path) -> None:
    here.agent()
    path = tmp_path / "run" / f"agent-{os.fstat(here.namespace).st_ino}.sock"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("has_folder", [True, False])
def test_without_an_agent_nobody_answers(here: Node, tmp_path: Path, has_folder: bool) -> None:
    if has_folder:
        (tmp_path / "run").mkdir()
    done = here.podfence("drops", "--local", "--run-dir", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "no agent runs in this network namespace" in done.stderr
