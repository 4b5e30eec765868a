"""Programs of a person in a pod: names resolve, and servers take the ports that they ask for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.test_commands import PODFENCE, Run, lab, runtime, valid  # noqa: F401

pytestmark = pytest.mark.kernel
SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {name: sql, namespace: shop}
spec: {selector: {app: db}, ports: [{port: 80, targetPort: 5432}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{ports: [{port: 5432}, {port: 53, protocol: UDP}]}]
"""
GET = "import urllib.request as u; print(u.urlopen('http://{}/', timeout=30).read().decode())"
LOOK = "import socket; print(socket.gethostbyname('{}'))"
SERVER = """
import socket, sys
made = socket.socket(socket.AF_INET, socket.{kind})
made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
made.bind(("0.0.0.0", {port}))
if socket.{kind} is socket.SOCK_STREAM:
    made.listen()
print("ready", flush=True)
while "{kind}" == "SOCK_STREAM":
    other, _ = made.accept()
    other.recv(4096)
    other.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nmine")
    other.close()
sys.stdin.read()
"""


@pytest.fixture
def up(lab: Run, tmp_path: Path) -> Run:  # noqa: F811 - the fixture of that name
    """A lab in which everybody may reach the database and its Service."""
    policies = tmp_path / "input" / "shop.yaml"
    policies.write_text(policies.read_text() + SERVICE)
    started = lab("up", "-f", "INPUT")
    assert started.returncode == 0, started.stderr
    return lab


@contextmanager
def server(runtime: Path, kind: str, port: int) -> Iterator[None]:  # noqa: F811
    """A program in shop/db that has bound a port, until the end of the block."""
    with subprocess.Popen(
        [
            *PODFENCE,
            "exec",
            "shop/db",
            "--",
            sys.executable,
            "-c",
            SERVER.format(kind=kind, port=port),
        ],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            running.kill()


def get(lab: Run, where: str) -> str:  # noqa: F811
    return lab("exec", "shop/web", "--", sys.executable, "-c", GET.format(where)).stdout.strip()


def until(lab: Run, where: str, expected: str) -> None:  # noqa: F811
    """The lab notices the end of a program in its own time."""
    end = time.monotonic() + 60
    while get(lab, where) != expected:
        assert time.monotonic() < end
        time.sleep(0.1)


def report(lab: Run) -> dict[str, Any]:  # noqa: F811
    return valid(lab("test", "-o", "json"), "lab-report")


both_users = pytest.mark.parametrize("lab", ["self", "ordinary"], indirect=True)


@both_users
def test_names_resolve_in_a_pod_and_the_host_keeps_its_own(up: Run) -> None:
    before = Path("/etc/hosts").read_bytes()
    assert get(up, "sql") == get(up, "sql.shop.svc.cluster.local") == "shop/db (1)"
    assert get(up, "db.sql.shop:5432") == "shop/db (1)"
    shown = up("exec", "lab-node", "--", "cat", "/etc/hosts", "/etc/resolv.conf").stdout
    assert "sql.shop.svc" in shown
    assert "nameserver 127.0.0.1" in shown
    unknown = up("exec", "shop/web", "--", sys.executable, "-c", LOOK.format("nowhere.example"))
    assert unknown.returncode == 1
    assert Path("/etc/hosts").read_bytes() == before


def test_a_server_takes_a_port_that_a_policy_names(up: Run, runtime: Path) -> None:  # noqa: F811
    assert get(up, "db.shop:5432") == "shop/db (1)"
    with server(runtime, "SOCK_STREAM", 5432):
        assert get(up, "10.244.0.2:5432") == "mine"
        assert get(up, "sql") == "mine"
        said = valid(up("why", "shop/web", "shop/db:5432", "-o", "json"), "lab-why")
        assert (said["packet"]["outcome"], said["agrees"], said["held"]) == ("open", True, True)
        found = report(up)
        assert found["clean"]
        assert [(h["family"], h["protocol"], h["port"], h["probed"]) for h in found["held"]] == [
            ("IPv4", "TCP", 5432, True),
            ("IPv6", "TCP", 5432, False),
        ]
        assert up("test").stdout.count("held: TCP/5432 of shop/db over IPv4") == 1
        assert up("apply", "-f", "INPUT", "--watch").returncode == 0
    until(up, "10.244.0.2:5432", "shop/db (1)")
    assert report(up)["held"] == []


def test_a_server_by_udp_is_no_missing_control(up: Run, runtime: Path) -> None:  # noqa: F811
    with server(runtime, "SOCK_DGRAM", 53):
        said = valid(up("why", "shop/web", "shop/db:53/udp", "-o", "json"), "lab-why")
        assert "a program in the target holds the port" in said["notSent"]
        end = time.monotonic() + 60
        found = report(up)
        while any(each["protocol"] == "TCP" for each in found["held"]):
            assert time.monotonic() < end, "the TCP port of that number is not the lab's again"
            found = report(up)
    assert found["clean"]
    assert found["withoutControl"] == []
    assert {(h["name"], h["protocol"], h["port"]) for h in found["held"]} == {
        ("shop/db", "UDP", 53)
    }
    assert not any(h["probed"] for h in found["held"])


@both_users
def test_a_server_of_an_ordinary_user_gets_its_port(up: Run) -> None:
    code = "import socket; s = socket.create_server(('0.0.0.0', 5432)); print('mine')"
    for _ in range(2):
        assert up("exec", "shop/db", "--", sys.executable, "-c", code).stdout == "mine\n"
    assert report(up)["clean"]


def test_a_port_that_is_not_of_the_plan_is_said_to_be_held(up: Run, runtime: Path) -> None:  # noqa: F811
    with server(runtime, "SOCK_STREAM", 9999):
        said = valid(up("why", "shop/db", "shop/db:9999", "-o", "json"), "lab-why")
        assert (said["packet"]["outcome"], said["held"]) == ("open", True)


def test_a_lab_that_goes_leaves_its_programs_alone(up: Run, runtime: Path) -> None:  # noqa: F811
    with server(runtime, "SOCK_STREAM", 5432):
        assert up("down").returncode == 0
