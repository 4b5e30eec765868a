"""A lab with an API server, and what its tests ask of it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.apiserver.build import assets
from tests.apiserver.client import Client
from tests.lab.test_commands import PODFENCE

PATIENCE = 60.0
"""Seconds: machines are shared. What is awaited comes within one on a free one."""
POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"


class Lab:
    """A lab that is up, by its command line, and a client of its API server."""

    def __init__(self, runtime: Path, user: tuple[str, ...] = ()) -> None:
        self.runtime = runtime
        self.user = user

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "XDG_RUNTIME_DIR": str(self.runtime),
            "TMPDIR": str(self.runtime),
            "PODFENCE_APISERVER_ASSETS": str(assets()),
        }

    def run(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.user, *PODFENCE, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ok("status", "-o", "json"))
        return found

    @contextmanager
    def client(self) -> Iterator[Client]:
        config = yaml.safe_load(Path(self.status["api"]["kubeconfig"]).read_text())
        port = int(config["clusters"][0]["cluster"]["server"].rpartition(":")[2])
        ca = Path(self.status["api"]["kubeconfig"]).parent / "apiserver.crt"
        with Client(port, ca, config["users"][0]["user"]["token"]) as opened:
            yield opened

    def passes(self, source: str, target: str, port: int = 80) -> bool:
        """Whether a packet that asks for a connection is answered; the engine has to agree."""
        done = self.run("why", source, f"{target}:{port}", "-o", "json")
        assert done.returncode in (0, 1), done.stderr
        found = json.loads(done.stdout)
        assert found["agrees"], done.stdout
        return done.returncode == 0


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.05)


@contextmanager
def runtime_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp") as directory:
        os.chmod(directory, 0o777)
        yield Path(directory)


def spec(**more: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "image": "nginx"}], **more}


def add_pods(admin: Client, namespace: str, *names: str, **more: Any) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    for name in names:
        admin.create(
            path, {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec(**more)}
        )
    for name in names:
        eventually(lambda: is_ready(admin, f"{path}/{name}"))  # noqa: B023 - called at once


def is_ready(admin: Client, path: str) -> bool:
    conditions = admin.request("GET", path).body.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def allow(pods: dict[str, str], source: dict[str, str]) -> dict[str, Any]:
    peer = {"podSelector": {"matchLabels": source}}
    return {
        "metadata": {"name": "only"},
        "spec": {"podSelector": {"matchLabels": pods}, "ingress": [{"from": [peer]}]},
    }
