"""Containers in pods: how long they are awaited, and what an interruption leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from podfence.errors import ClusterError
from podfence.kube.client import Client
from podfence.kube.source import find_access
from podfence.podprobe.attempts import Dial
from podfence.podprobe.container import AT_ONCE, longest
from podfence.podprobe.run import ProbeOptions, ProbeRun
from tests.kube.fakeapi import Answer, Request
from tests.kube.fakecluster import kubeconfig, running
from tests.podprobe.network import IMAGE, Network, cluster_with
from tests.support.clock import Clock

DIALS = {"shop/web": (Dial("shop/web", ip_address("10.1.0.2"), "TCP", 5432),)}


def test_a_container_that_does_not_end_is_awaited_for_a_bounded_time(tmp_path: Path) -> None:
    cluster, clock = cluster_with(Network()), Clock()
    cluster.runs = lambda *_: ({"waiting": {"reason": "ContainerCreating"}}, b"")
    with running(cluster) as api:
        access = find_access("", str(kubeconfig(tmp_path, api.url)), {})
        with Client(access) as client:
            options = ProbeOptions("python:3", start=20.0)
            run = ProbeRun(client, DIALS, options, clock=clock, sleep=clock.sleep)
            with pytest.raises(ClusterError, match=r"has not ended after 33 s \(ContainerCreating"):
                run.outcomes()
    assert clock.now == pytest.approx(33, abs=1)


def test_the_life_of_a_container_is_bounded_by_what_it_tries() -> None:
    assert longest(1, 3.0) == 13
    assert longest(AT_ONCE, 3.0) == 16, "the decoy makes one more"
    assert longest(2000, 3.0) < 120


def test_an_interruption_says_what_is_left_and_when_it_ends(tmp_path: Path) -> None:
    cluster, awaited = cluster_with(Network()), threading.Event()
    cluster.runs = lambda *_: ({"running": {}}, b"")
    seen: list[str] = []

    def before(request: Request) -> Answer | None:
        """Both containers are there, and are asked for again: it waits for them."""
        if request.method == "PATCH":
            seen.append(request.path)
        elif len(seen) == 2 and request.path.startswith("/api/v1/namespaces/shop/pods/"):
            awaited.set()
        return None

    cluster.before = before
    file = tmp_path / "t.podfence.yaml"
    file.write_text(
        "apiVersion: podfence.io/v1alpha1\nkind: PolicyTests\ndefaults: {namespace: shop}\n"
        "tests: [{name: reads, from: web, to: db:5432, expect: allow}]\n"
    )
    with running(cluster) as api:
        command = [sys.executable, "-m", "podfence", "test", str(file), "--in", "cluster", *IMAGE]
        environment: dict[str, Any] = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig(tmp_path, api.url)),
        }
        with subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        ) as process:
            try:
                assert awaited.wait(60)
                process.send_signal(signal.SIGINT)
                said = process.communicate(timeout=60)[1]
            finally:
                process.kill()
    assert process.returncode == 130
    assert "of 2 pods end by themselves within 13 s\n" in said
    assert said.endswith("interrupted\n")
