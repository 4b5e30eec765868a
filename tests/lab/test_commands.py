"""A lab that stays, by the command line: in a process of its own, which ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.schema import violations
from tests.cli.session import ROOT
from tests.lab.test_run_lab import alone

pytestmark = pytest.mark.kernel

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: main, ports: [{name: http, containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: main, ports: [{containerPort: 5432}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}
"""
PODFENCE = (sys.executable, "-c", "from podfence.cli.main import main; main()", "lab")
Run = Callable[..., subprocess.CompletedProcess[str]]


ORDINARY = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
"""Makes of root somebody without any privilege who may still read its files."""


def until_mapped(pid: int) -> None:
    """Wait until a process is in its own user namespace and somebody there."""
    until = time.monotonic() + 60
    while "1000" not in Path(f"/proc/{pid}/uid_map").read_text().split()[:1]:
        assert time.monotonic() < until, "unshare did not make a user namespace"
        time.sleep(0.01)


@contextmanager
def becoming(user: str) -> Iterator[tuple[str, ...]]:
    """What to write before a command so that it runs as ``user``, always the same one."""
    if user == "self":
        yield ()
        return
    possible = os.geteuid() == 0 and shutil.which("nsenter") is not None
    if not possible or subprocess.run([*ORDINARY, "true"], check=False).returncode:
        pytest.skip("only root can become somebody else, and only with user namespaces")
    with subprocess.Popen([*ORDINARY, "cat"], stdin=subprocess.PIPE) as somebody:
        until_mapped(somebody.pid)
        yield ("nsenter", f"--target={somebody.pid}", "--user", "--preserve-credentials")
        somebody.communicate()


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A runtime directory with a short path, wherever pytest keeps its own: a socket's path has
    108 bytes."""
    with tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture
def lab(tmp_path: Path, runtime: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs ``podfence lab ...`` with a runtime directory and manifests of its own, as this user or
    as the one that a test asks for."""
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "shop.yaml").write_text(MANIFEST)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, *PODFENCE, *(a.replace("INPUT", str(tmp_path / "input")) for a in arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    with becoming(getattr(request, "param", "self")) as prefix:
        yield run
        run("down", "--all")


@pytest.mark.parametrize("lab", ["self", "ordinary"], indirect=True)
def test_a_session_of_work(lab: Run, tmp_path: Path, runtime: Path) -> None:
    up = lab("up", "-f", "INPUT")
    assert (up.returncode, up.stderr) == (0, "")
    assert "2 pods, 1 node(s), 1 policies" in up.stdout
    assert lab("why", "shop/web", "shop/db:5432").returncode == 1
    policy_file = tmp_path / "input" / "shop.yaml"
    policy_file.write_text(MANIFEST.replace("[Ingress]", "[Ingress], ingress: [{}]"))
    applied = lab("apply", "-f", "INPUT").stdout.splitlines()
    assert applied[0] == "opened  shop/web -> shop/db  all"
    why = lab("why", "shop/web", "shop/db:5432")
    assert (why.returncode, "open: as the engine says" in why.stdout) == (0, True)
    assert lab("test").returncode == 0
    policy_file.write_text(MANIFEST)
    watched = lab("apply", "-f", "INPUT", "--watch").stdout
    assert "12 connections revoked, 0 of " in watched
    status = lab("status").stdout
    (address,) = re.findall(r"^    shop/db \((\S+), \S+\)$", status, re.M)
    page = f"import urllib.request as u; print(u.urlopen('http://{address}:5432/').read().decode())"
    assert lab("exec", "lab-node", "--", sys.executable, "-c", page).stdout.startswith("shop/db (")
    done = lab("exec", "shop/db", "--", "sh", "-c", "cat /proc/net/dev; exit 7")
    assert (done.returncode, "eth0" in done.stdout) == (7, True)
    down = lab("down")
    assert (down.returncode, down.stdout) == (0, "lab default is down\n")
    assert list(runtime.glob("*/*")) == []


NAMED = """
---
apiVersion: policy.networking.k8s.io/v1beta1
kind: ClusterNetworkPolicy
metadata: {name: api}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress:
  - {action: Accept, to: [{domainNames: [api.example.com]}]}
  - {action: Deny, to: [{networks: [0.0.0.0/0]}]}
"""


def test_the_table_of_domain_names_is_that_of_the_lab(lab: Run, tmp_path: Path) -> None:
    (tmp_path / "input" / "shop.yaml").write_text(MANIFEST + NAMED)
    (tmp_path / "names.txt").write_text("api.example.com 198.51.100.7\n")
    resolve = ("--resolve", str(tmp_path / "names.txt"))
    assert lab("up", "-f", "INPUT", *resolve).returncode == 0
    told = lab("why", "shop/web", "198.51.100.7:443")
    assert (told.returncode, "--resolve" in told.stdout) == (0, False)
    other = lab("why", "shop/web", "198.51.100.8:443")
    assert (other.returncode, "--resolve" in other.stdout) == (1, False)
    assert lab("test").returncode == 0
    assert lab("apply", "-f", "INPUT").returncode == 0
    untold = lab("why", "shop/web", "198.51.100.7:443").stdout
    assert "depends on DNS" in untold


def valid(done: subprocess.CompletedProcess[str], name: str) -> dict[str, Any]:
    """What a command printed with ``-o json``, for which the schema of its name holds."""
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text("utf-8"))
    found: dict[str, Any] = json.loads(done.stdout)
    assert violations(found, schema, schema) == []
    return found


def test_every_command_answers_as_json(lab: Run, tmp_path: Path) -> None:
    as_json = ("-o", "json")
    assert valid(lab("run", "-f", "INPUT", *as_json), "lab-report")["clean"]
    assert valid(lab("list", *as_json), "lab-list")["labs"] == []
    assert valid(lab("up", "-f", "INPUT", *as_json), "lab-status")["pods"] == 2
    assert valid(lab("status", *as_json), "lab-status")["name"] == "default"
    denied = lab("why", "shop/web", "shop/db:5432", *as_json)
    said = valid(denied, "lab-why")
    assert (denied.returncode, said["packet"]["outcome"], said["agrees"]) == (1, "no answer", True)
    assert said["control"]["outcome"] == "open"
    outside = valid(lab("why", "shop/web", "203.0.113.250:80", *as_json), "lab-why")
    assert "no such party" in outside["notSent"]
    policy_file = tmp_path / "input" / "shop.yaml"
    policy_file.write_text(MANIFEST.replace("[Ingress]", "[Ingress], ingress: [{}]"))
    applied = valid(lab("apply", "-f", "INPUT", "--watch", *as_json), "lab-apply")
    assert ("shop/web", "shop/db", ["all"]) in [
        (change["from"], change["to"], change["opened"]) for change in applied["changes"]
    ]
    assert applied["traffic"]["lost"] == 0
    assert valid(lab("test", *as_json), "lab-report")["controls"] == "live"
    (listed,) = valid(lab("list", *as_json), "lab-list")["labs"]
    assert (listed["name"], listed["pods"]) == ("default", 2)
    assert valid(lab("down", *as_json), "lab-down")["ended"] == ["default"]


def test_labs_that_are_up_are_listed(lab: Run) -> None:
    nothing = lab("list")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "no lab is up" in nothing.stderr
    for name in ("one", "two"):
        lab("up", "-f", "INPUT", "--name", name)
    lines = lab("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "one", "two"]
    assert lines[1].split()[3:] == ["2", "1", "1", "no"]
    assert "up are: one, two" in lab("down").stderr


def test_files_with_errors_leave_the_lab_as_it_is(lab: Run, tmp_path: Path) -> None:
    lab("up", "-f", "INPUT")
    broken = MANIFEST.replace("[Ingress]", "[Inside]").replace("matchLabels: {", "matchLabel: {")
    (tmp_path / "input" / "shop.yaml").write_text(broken + "---\nkind: NetworkPolicy\n")
    refused = lab("apply", "-f", "INPUT")
    assert refused.returncode == 2
    assert refused.stderr.count("error[") >= 3  # every error of the files, then the refusal
    assert "the lab is unchanged: " in refused.stderr
    assert lab("why", "shop/web", "shop/db:5432").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("status",), "no lab named default is up", id="none-is-up"),
        pytest.param(("down",), "no lab named default is up", id="nothing-to-end"),
        pytest.param(
            ("status", "--name", "../x"), "is not a valid name for a lab", id="hostile-name"
        ),
        pytest.param(("up", "-f", "/nowhere"), "nothing could be read", id="no-input"),
    ],
)
def test_mistakes_are_told(lab: Run, arguments: tuple[str, ...], message: str) -> None:
    done = lab(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_wrong_name_of_a_lab_is_told_the_right_one(lab: Run) -> None:
    lab("up", "-f", "INPUT", "--name", "mine")
    assert "no lab named default is up; up are: mine" in lab("status").stderr


def test_two_labs_have_two_names(lab: Run) -> None:
    assert lab("up", "-f", "INPUT").returncode == 0
    again = lab("up", "-f", "INPUT")
    assert (again.returncode, "is up already" in again.stderr) == (2, True)
    assert lab("up", "-f", "INPUT", "--name", "second").returncode == 0
    assert sorted(lab("down", "--all").stdout.splitlines()) == [
        "lab default is down",
        "lab second is down",
    ]


def test_commands_that_cannot_be_started(lab: Run) -> None:
    lab("up", "-f", "INPUT")
    assert lab("exec", "shop/db", "--", "/nowhere").returncode == 127
    assert lab("exec", "shop/db", "--", "/etc/passwd").returncode == 126
    assert lab("exec", "shop/nobody", "--", "true").returncode == 2


def test_a_runtime_directory_that_others_may_enter_is_refused(lab: Run, runtime: Path) -> None:
    (runtime / f"podfence-{os.geteuid()}").mkdir(mode=0o755)
    done = lab("status")
    assert (done.returncode, "is not a directory of yours alone" in done.stderr) == (2, True)


ENDINGS = ["down", "SIGTERM", "SIGKILL", "SIGKILL-of-the-network"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_host_is_as_before(ending: str, tmp_path: Path) -> None:
    done = alone(sys.executable, "-m", "tests.lab.host", "session", ending, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["left"] == {}
    assert found["status"] == 0
    assert set(found["during"]) <= {"lsns -n -t net -o NS", "lsns -n -t user -o NS", "processes"}
    assert "lsns -n -t net -o NS" in found["during"]
