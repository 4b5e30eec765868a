"""A lab that stays: changes, questions, commands, and its end."""

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
from dataclasses import replace
from pathlib import Path

import pytest

from podfence.errors import LabError, NftError, PodfenceError
from podfence.lab.messages import Apply, Exec, Input, Namespace, Reply, TryAll, Why
from podfence.lab.probing.process import LabProcess
from podfence.lab.run import LabOptions
from podfence.lab.session import Session, world
from podfence.manifests.positions import Positions
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import ObjectRef, labels_of
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import Service, ServicePort
from podfence.nft.difference import diff
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import DeleteChain, Transaction
from podfence.questions.can import Can
from podfence.testing.builders import peer, pod, policy, rule
from tests.lab.clusters import SHOP
from tests.lab.test_run_lab import alone

pytestmark = pytest.mark.kernel
OPEN_DB = policy(
    "shop/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=["pg", 7000])]
)
HOSTILE = 'x\x1b[31m"; drop'


def read(*objects: ClusterObject) -> Input:
    return Input.of(Cluster.of(objects), Positions())


@contextmanager
def running(*objects: ClusterObject, nodes: int = 2) -> Iterator[Session]:
    options = LabOptions(nodes=nodes)
    first = world(read(*objects), options)
    with LabProcess(first.plan) as lab:
        yield Session("test", lab, first, options)


def said(session: Session, *objects: ClusterObject) -> list[str]:
    reply = session.do(Apply(read(*objects)))
    assert isinstance(reply, Reply)
    return reply.text.splitlines()


def agrees(session: Session) -> bool:
    reply = session.do(TryAll())
    assert isinstance(reply, Reply)
    return reply.status == 0


def packet(session: Session, *question: str | int) -> str:
    source, destination, port = question
    assert isinstance(source, str)
    assert isinstance(destination, str)
    reply = session.do(Why(Can(source, destination, port)))
    assert isinstance(reply, Reply)
    return next(line for line in reply.text.splitlines() if line.startswith("packet: "))


WEB_7000 = policy(
    "shop/web",
    {"app": "web"},
    egress=[rule(peer(pods={"app": "db"}), ports=[5432, 7000])],
    types=["Egress"],
)


def test_a_change_is_enforced_and_said_by_workload() -> None:
    with running(*SHOP) as session:
        before = packet(session, "shop/web", "shop/db", 7000)
        lines = said(session, *SHOP[:3], OPEN_DB, WEB_7000)
        after = packet(session, "shop/web", "shop/db", 7000)
        assert agrees(session)
    assert lines[:2] == [
        "opened  shop/web -> shop/db  TCP/7000",
        "closed  outside 203.0.113.10 -> shop/db  TCP/8000-8010",
    ]
    assert "2 of 2 node(s) got other rules, live connections are judged again on 2" in lines[2]
    assert before.endswith("IPv4: no answer: as the engine says")
    assert after.endswith("IPv4: open: as the engine says")


def test_nothing_changed_is_said_and_touches_no_rules() -> None:
    with running(*SHOP) as session:
        lines = said(session, *SHOP)
    assert lines[0] == "no verdict changed"
    assert lines[1].endswith("0 of 2 node(s) got other rules")


def test_pods_come_and_go() -> None:
    new = pod("shop/new", {"app": "web"}, ports=[":4000"])
    with running(*SHOP) as session:
        came = said(session, *SHOP, new)
        assert agrees(session)
        assert packet(session, "shop/new", "shop/db", 5432).endswith("open: as the engine says")
        gone = said(session, *SHOP)
        assert agrees(session)
        with pytest.raises(PodfenceError, match="no pod or workload"):
            session.do(Why(Can("shop/new", "shop/db", 5432)))
    assert came[0] == "new pod: shop/new (10.244.128.2, fd00:10:244:8000::2) on lab-node-2"
    assert gone[0].startswith("pod gone: shop/new")


def test_a_new_pod_may_take_the_address_of_one_that_goes() -> None:
    old, new = (pod(f"a/{name}", addresses=["10.0.0.9"]) for name in ("old", "new"))
    with running(pod("a/other", addresses=["10.0.0.1"]), old) as session:
        said(session, pod("a/other", addresses=["10.0.0.1"]), new)
        assert agrees(session)


def test_what_one_node_refuses_is_taken_back_on_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Transaction] = []

    def second_is_wrong(old: Ruleset, new: Ruleset) -> Transaction:
        made.append(diff(old, new))
        if len(made) != 2:
            return made[-1]
        return replace(made[-1], operations=(*made[-1].operations, DeleteChain("nowhere")))

    with running(*SHOP) as session:
        before = session.plan
        monkeypatch.setattr("podfence.lab.session.diff", second_is_wrong)
        with pytest.raises(NftError, match="nowhere"):
            said(session, *SHOP[:3], OPEN_DB, WEB_7000, pod("shop/new"))
        monkeypatch.undo()
        assert session.plan == before
        assert agrees(session)


def test_a_change_without_pods_is_refused() -> None:
    with running(*SHOP) as session:
        with pytest.raises(LabError, match="nothing to build"):
            said(session, SHOP[3])
        assert agrees(session)


@pytest.mark.parametrize(
    ("node", "name"),
    [
        pytest.param("", "shop/db", id="pod"),
        pytest.param("lab-node", "default/lab-node", id="node"),
    ],
)
def test_commands_run_in_a_namespace_of_the_lab_process(node: str, name: str) -> None:
    with running(*SHOP) as session:
        found = session.do(Exec(node, name))
        assert isinstance(found, Namespace)
        assert os.readlink(f"/proc/{found.pid}/fd/{found.number}").startswith("net:[")


def test_hostile_names_are_escaped() -> None:
    with running(*SHOP) as session:
        lines = said(session, *SHOP, pod(f"shop/{HOSTILE}", {"app": HOSTILE}))
    assert all(line.isprintable() for line in lines)


# -- by the command line, in a process that ends


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
    until = time.monotonic() + 10
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
            timeout=60,
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


def test_files_with_errors_leave_the_lab_as_it_is(lab: Run, tmp_path: Path) -> None:
    lab("up", "-f", "INPUT")
    broken = MANIFEST.replace("[Ingress]", "[Inside]").replace("matchLabels: {", "matchLabel: {")
    (tmp_path / "input" / "shop.yaml").write_text(broken + "---\nkind: NetworkPolicy\n")
    refused = lab("apply", "-f", "INPUT")
    assert refused.returncode == 2
    assert refused.stderr.count("error[") >= 3  # every error of the files, then the refusal
    assert "so the lab stays as it is" in refused.stderr
    assert lab("why", "shop/web", "shop/db:5432").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("status",), "no lab named default is up", id="none-is-up"),
        pytest.param(("down",), "no lab named default is up", id="nothing-to-end"),
        pytest.param(("status", "--name", "../x"), "is no name for a lab", id="hostile-name"),
        pytest.param(("up", "-f", "/nowhere"), "nothing could be read", id="no-input"),
    ],
)
def test_mistakes_are_told(lab: Run, arguments: tuple[str, ...], message: str) -> None:
    done = lab(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_status_lists_what_can_be_dialled() -> None:
    service = Service(
        ObjectRef("Service", "shop", "db"),
        labels_of({"app": "db"}),
        (),
        (ServicePort("", 80, 5432, Protocol.TCP),),
    )
    with running(*SHOP, service) as session:
        found = session.status(parties=True).text.splitlines()
        why = session.do(Why(Can("shop/web", "10.96.0.1", 80)))
    assert "    shop/web (10.244.0.1, fd00:10:244::1)" in found
    assert "  service shop/db (10.96.0.1, fd00:10:96::1): TCP/80" in found
    assert isinstance(why, Reply)
    assert "packet: none sent, for 10.96.0.1 only stands for pods" in why.text


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
