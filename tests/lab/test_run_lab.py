"""The lab in the real kernel: what it finds, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from random import Random

import pytest

from podfence.errors import LabError, NftError
from podfence.kernel import netns
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import Build, Enforce
from podfence.lab.run import run_lab
from podfence.lab.testbed.compare import Observed, expect
from podfence.lab.testbed.probeplan import PartyKind, PlanLimits, ProbePlan, make_plan
from podfence.lab.testbed.probes import ProbeKind, ProbeOutcome
from podfence.lab.testbed.report import LabReport
from podfence.lab.testbed.scheduling import schedule
from podfence.lab.trial import LabOptions
from podfence.model.cluster import Cluster
from podfence.nft.difference import load
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.policy.compile import compile_cluster
from podfence.sets.ports import OTHER
from podfence.testing.builders import node, peer, pod, policy, rule
from tests.lab.clusters import SHOP, plan_of, scheduled
from tests.lab.sending import everything, send
from tests.support.random_clusters import random_cluster

pytestmark = pytest.mark.kernel
NOTHING_IS_ENFORCED = "table inet podfence {\n}\n"
NOTHING_PASSES = """table inet podfence {
    chain forward { type filter hook forward priority 0; policy drop; }
    chain input { type filter hook input priority 0; policy drop; }
}
"""
ONE_WAY_PASSES = """table inet podfence {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct direction original accept
    }
}
"""
HALF_PASSES = """table inet podfence {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established accept
        tcp dport 5432 accept
    }
}
"""
SANDBOX = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
both_kinds = pytest.mark.parametrize("kind", [ProbeKind.SYN, ProbeKind.CONNECT])
AS_USER = ("unshare", "--user", "--map-root-user")


def quiet(line: str) -> None:
    """Takes progress and tells nobody."""


def test_kernel_and_engine_agree() -> None:
    home = netns.identity()
    lines: list[str] = []
    report = run_lab(scheduled(*SHOP), progress=lines.append)
    assert report.clean
    assert (report.probes, report.agreements) == (720, 720)
    assert [line.split()[0].rstrip(":") for line in lines] == [
        "building",
        "control",
        "enforcing",
        "probing",
    ]
    assert netns.identity() == home


def test_report_shows_each_pair() -> None:
    report = run_lab(scheduled(*SHOP), progress=quiet)
    pair = next(
        p for p in report.pairs if (p.source.name, p.target.name) == ("shop/web", "shop/db")
    )
    assert [(p.family, p.protocol, p.port) for p in pair.ports if p.open] == [
        (4, "TCP", 5432),
        (6, "TCP", 5432),
    ]


def open_between(report: LabReport, source: str, target: str) -> set[int]:
    """Ports that were open by either protocol in either family."""
    pair = next(p for p in report.pairs if (p.source.name, p.target.name) == (source, target))
    return {port.port for port in pair.ports if port.open and port.protocol != OTHER}


def test_np52_np53_np54_own_node_and_self() -> None:
    closed = policy("a/closed", {"app": "x"}, types=["Ingress", "Egress"])
    to_node = policy(
        "a/to-node",
        {"app": "y"},
        egress=[rule(peer(cidr="10.9.0.1/32"), ports=[443])],
        types=["Egress"],
    )
    pods = [pod("a/x", {"app": "x"}), pod("a/y", {"app": "y"})]
    report = run_lab(scheduled(*pods, node("n1", "10.9.0.1"), closed, to_node), progress=quiet)
    assert report.clean
    assert open_between(report, "n1", "a/x") == {443, 7777}
    assert open_between(report, "a/x", "a/x") == {443, 7777}
    assert open_between(report, "a/x", "n1") == set()
    assert open_between(report, "a/y", "n1") == {443}


@pytest.mark.parametrize("seed", range(4))
def test_random_clusters(seed: int) -> None:
    index = compile_cluster(random_cluster(Random(seed)))
    report = run_lab(index, LabOptions(PlanLimits(ports=8)), progress=quiet)
    assert report.clean, report.disagreements[:5]


def test_pods_on_three_nodes_are_judged_by_both_ends_nodes() -> None:
    index = compile_cluster(Cluster.of(SHOP))
    report = run_lab(index, LabOptions(nodes=3), progress=quiet)
    assert report.clean
    assert {p.node for p in report.parties if p.side is PartyKind.POD} == {
        "lab-node",
        "lab-node-2",
        "lab-node-3",
    }
    assert open_between(report, "shop/web", "shop/db") == {5432}


@pytest.mark.parametrize("seed", range(4, 7))
def test_random_clusters_on_three_nodes(seed: int) -> None:
    index = compile_cluster(random_cluster(Random(seed)))
    report = run_lab(index, LabOptions(PlanLimits(ports=6), nodes=3), progress=quiet)
    assert report.clean, report.disagreements[:5]


def test_an_address_of_the_range_that_no_known_pod_has_is_cut_off() -> None:
    whole = scheduled(pod("a/known"), pod("a/unknown"))
    known = compile_cluster(schedule(Cluster.of([pod("a/known")]), before=whole.cluster))
    plan = make_plan(whole)
    (only,) = plan.nodes
    rules = LocalNode(only.name, frozenset({"a/known"}), only.pod_cidrs)
    with LabProcess(plan) as lab:
        lab.call(Build())
        lab.call(Enforce(only.name, load(lower(known, rules))))
        outcomes = send(lab, everything(len(plan.probes)), 0.3)
    for probe, outcome in zip(plan.probes, outcomes, strict=True):
        source, target = plan.parties[probe.source], plan.parties[probe.target]
        closed = "a/unknown" in (source.name, target.name) and source is not target
        # the node's own packets never pass the forward hook
        expected = source.side is not PartyKind.NODE and closed
        assert (outcome == ProbeOutcome.TIMEOUT) is expected, (source.name, target.name)


def outcomes_under(text: str, kind: ProbeKind) -> tuple[ProbePlan, Observed]:
    plan = plan_of(*SHOP)
    index = scheduled(*SHOP)
    with LabProcess(plan) as lab:
        lab.call(Build())
        control = send(lab, everything(len(plan.probes), kind), 0.3)
        lab.call(Enforce("lab-node", text))
        enforced = send(lab, everything(len(plan.probes), kind), 0.3, arrivals=True)
    return plan, Observed(plan, index, expect(index, plan), control, enforced)


@both_kinds
def test_rules_that_enforce_nothing_are_found_out(kind: ProbeKind) -> None:
    _, seen = outcomes_under(NOTHING_IS_ENFORCED, kind)
    assert set(seen.control) == set(seen.enforced) == {ProbeOutcome.OPEN}
    leaks = list(seen.disagreements())
    assert len(leaks) == seen.allowed.count(0)
    assert {check.packet.outcome for check in leaks} == {ProbeOutcome.OPEN}


@both_kinds
def test_rules_that_let_nothing_pass_are_found_out(kind: ProbeKind) -> None:
    plan, seen = outcomes_under(NOTHING_PASSES, kind)
    for probe, outcome in zip(plan.probes, seen.enforced, strict=True):
        reaches_itself = probe.source == probe.target
        assert (outcome == ProbeOutcome.OPEN) is reaches_itself
    # what nodes send comes to their pods, which cannot answer
    packets = [check.packet for check in seen.disagreements()]
    found = {(p.source.side, p.protocol): p.outcome for p in packets}
    arrived = {"UDP", OTHER} | ({"TCP"} if kind is ProbeKind.SYN else set())
    assert {found.pop((PartyKind.NODE, protocol)) for protocol in arrived} == {ProbeOutcome.ONE_WAY}
    assert set(found.values()) == {ProbeOutcome.TIMEOUT}


def test_what_arrives_is_a_leak_though_its_answer_does_not() -> None:
    _, seen = outcomes_under(ONE_WAY_PASSES, ProbeKind.SYN)
    packets = [c.packet for c in seen.disagreements() if not c.verdict.allowed]
    denied = [p for p in packets if p.target.side is PartyKind.POD is p.source.side]
    assert {p.outcome for p in denied} == {ProbeOutcome.ONE_WAY}
    assert {p.protocol for p in denied} == {"TCP", "UDP", OTHER}


@both_kinds
def test_both_protocols_are_told_apart(kind: ProbeKind) -> None:
    plan, seen = outcomes_under(HALF_PASSES, kind)
    among_pods = [
        (probe, outcome)
        for probe, outcome in zip(plan.probes, seen.enforced, strict=True)
        if probe.source < 3 and probe.target < 3 and probe.source != probe.target
    ]
    assert {probe.protocol for probe, _ in among_pods} >= {"TCP", "UDP"}
    for probe, outcome in among_pods:
        expected = (probe.protocol, probe.port) == ("TCP", 5432)
        assert (outcome == ProbeOutcome.OPEN) is expected


def test_refused_rules_are_an_error_with_the_words_of_nft() -> None:
    with LabProcess(plan_of(*SHOP)) as lab:
        lab.call(Build())
        with pytest.raises(NftError, match="nft refused the ruleset"):
            lab.call(Enforce("lab-node", "table inet podfence { chain c { frobnicate } }\n"))


@pytest.mark.parametrize("number", range(20_000, 20_008))
def test_ports_from_which_the_lab_sends_are_probed_like_others(number: int) -> None:
    """A question that comes from the port it is for would look like the answer to the one that
    goes the other way."""
    pods = [pod("a/x", {"app": "x"}, node="n1"), pod("a/y", {"app": "y"}, node="n2")]
    other = policy("a/other", ingress=[rule(peer(pods={"app": "z"}), ports=[number])])
    nodes = [node("n1", "10.9.0.1"), node("n2", "10.9.0.2")]
    report = run_lab(scheduled(*pods, *nodes, other), progress=quiet)
    assert report.clean, report.disagreements[:3]


def test_nothing_to_try_is_an_error() -> None:
    with pytest.raises(LabError, match="nothing to probe"):
        run_lab(scheduled(policy("a/p")), progress=quiet)


def test_hostile_names_reach_no_interface_and_no_rule() -> None:
    nasty = 'a"; drop\n} $(reboot) {' + "x" * 240
    isolated = policy(f"shop/{nasty}", {"app": nasty})
    index = scheduled(pod(f"shop/{nasty}", {"app": nasty}), isolated)
    report = run_lab(index, LabOptions(PlanLimits(ports=2)), progress=quiet)
    assert report.clean


def alone(*arguments: str, user: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    needs_user = () if os.geteuid() == 0 else AS_USER
    return subprocess.run(
        [*(user or needs_user), *SANDBOX, *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize(
    ("ending", "step", "status"),
    [
        pytest.param("none", "", 0, id="finished"),
        pytest.param("SIGINT", "control", 130, id="interrupted-early"),
        pytest.param("SIGINT", "probing", 130, id="interrupted"),
        pytest.param("SIGTERM", "probing", 130, id="terminated"),
        pytest.param("SIGKILL", "probing", -9, id="killed"),
    ],
)
def test_host_is_as_before(ending: str, step: str, status: int) -> None:
    done = alone(sys.executable, "-m", "tests.lab.host", ending, step)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["left"]) == (status, {})
    if ending != "none":
        assert "lsns -n -t net -o NS" in found["during"]
    assert set(found["during"]) <= {
        "lsns -n -t net -o NS",
        "lsns -n -t user -o NS",
        "processes",
    }


LAB = (sys.executable, "-m", "tests.lab.host", "lab", "0.2")


def test_rootless() -> None:
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("setpriv is not installed")
        as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [*as_nobody, *LAB],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    else:
        done = subprocess.run(LAB, capture_output=True, text=True, timeout=200, check=False)
    if "PermissionError" in done.stderr or "cannot open" in done.stderr:
        pytest.skip("another user cannot read this checkout")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("knob", ["max_net_namespaces", "max_user_namespaces"])
def test_a_kernel_that_forbids_it_is_told_in_one_sentence(knob: str) -> None:
    script = (
        f"echo 0 > /proc/sys/user/{knob}; exec setpriv --bounding-set=-sys_admin {' '.join(LAB)}"
    )
    done = subprocess.run(
        [*AS_USER, "sh", "-c", script], capture_output=True, text=True, timeout=200, check=False
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("podfence.errors.HostError: no private network: ")
    assert f"(user.{knob}=0); run it with sudo" in last


@pytest.mark.parametrize(
    ("before", "message"),
    [
        pytest.param(
            "ulimit -n 100",
            "LabError: the lab needs 899 open files and may have 100; raise the limit (ulimit -n)",
            id="open-files",
        ),
        pytest.param(
            "mount -t tmpfs none /usr/sbin; PATH=/nowhere",
            "HostError: nft is not installed; it is in the package nftables, for example: sudo apt",
            id="no-nft",
        ),
        pytest.param(
            "mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys",
            "Read-only file system; a container needs a writable /proc/sys",
            id="read-only-settings",
        ),
    ],
)
def test_a_machine_that_cannot_run_the_lab_is_told_why(before: str, message: str) -> None:
    done = alone("sh", "-c", f"{before}; exec {' '.join(LAB)}")
    assert done.returncode == 1
    assert message in done.stderr.strip().splitlines()[-1]


def test_ipv6_switched_off_on_the_host_is_on_in_the_lab() -> None:
    off = "net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1"
    done = alone("sh", "-c", f"sysctl -qw {off}; exec {' '.join(LAB)}")
    assert (done.returncode, done.stderr) == (0, "")
