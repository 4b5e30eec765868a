"""The suites that others publish, run in a cluster: which of their tests passed, and in what time.

Rule: a suite is run whole and as it is.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.cluster import build
from tests.cluster.cluster import Cluster

PASSED, FAILED, LEFT_OUT = "passed", "failed", "left out"
CONFORMANCE_FLAGS = ("-all-features", "-test.v", "-test.timeout=90m")


class Result(Struct, frozen=True):
    """One test of a suite. ``why``: what a failed one says, or why one was left out."""

    name: str
    state: str
    seconds: float = 0.0
    why: str = ""


# ---------------------------------------------------- Kubernetes' own for NetworkPolicy (Ginkgo)


def netpol(cluster: Cluster, only: str = "", processes: int = 1) -> list[Result]:
    """Runs the specifications whose name matches, in several processes at once: each has namespaces
    of its own, and mostly waits. Raises RuntimeError where not all of them ran.
    """
    wanted = [
        spec
        for spec in _netpol(cluster, ["--ginkgo.dry-run", "--ginkgo.focus=."])
        if re.search(only, spec.name)
    ]
    shares = [wanted[first::processes] for first in range(processes)]
    with ThreadPoolExecutor(max_workers=processes) as pool:
        ran = list(pool.map(lambda share: _netpol(cluster, _focus(share)), filter(None, shares)))
    results = [result for share in ran for result in share]
    if len(results) != len(wanted):
        raise RuntimeError(f"{len(wanted)} specifications were asked for, {len(results)} ran")
    return sorted(results, key=_by_name)


def _by_name(result: Result) -> str:
    return result.name


def _focus(specs: Sequence[Result]) -> list[str]:
    # Ginkgo puts the name of the suite in front.
    return [f"--ginkgo.focus= ({'|'.join(re.escape(spec.name) for spec in specs)})$"]


def _netpol(cluster: Cluster, flags: Sequence[str]) -> list[Result]:
    with tempfile.TemporaryDirectory() as name:
        report = Path(name) / "report.json"
        words = [
            str(cluster.assets / "netpol.test"),
            f"--kubeconfig={cluster.kubeconfig}",
            f"--ginkgo.json-report={report}",
            "--ginkgo.timeout=2h",
            "--test.timeout=2h",
            *flags,
        ]
        done = subprocess.run(
            cluster.command(words), stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if not report.exists():
            raise RuntimeError(f"the suite wrote no report\n{done.stdout}\n{done.stderr}")
        suites = json.loads(report.read_text(encoding="utf-8"))
    return [
        _spec(spec)
        for suite in suites
        for spec in suite["SpecReports"] or ()
        if spec["LeafNodeType"] == "It" and spec["State"] != "skipped"
    ]


def _spec(spec: dict[str, Any]) -> Result:
    name = " ".join([*(spec["ContainerHierarchyTexts"] or ()), spec["LeafNodeText"]])
    why = spec.get("Failure", {}).get("Message", "")
    state = PASSED if spec["State"] == "passed" else FAILED
    return Result(name, state, spec["RunTime"] / 1e9, why)


# -------------------------------------------------- that of the cluster tiers (Go's own runner)


def install_tiers(cluster: Cluster) -> None:
    """The kind of the cluster tiers, served. Raises CalledProcessError."""
    file = str(cluster.assets / build.CRD)
    cluster.kubectl("apply", "--server-side", "-f", file)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", file)


def conformance(cluster: Cluster, only: str = "") -> list[Result]:
    """Runs the tests whose name matches, as Go reads it: level by level. What they say is in a log
    in the cluster's folder.
    """
    # Those of a run before may still be going away.
    namespaces = ("--for=delete", "namespace", "--selector=conformance-house")
    cluster.kubectl("wait", *namespaces, "--timeout=180s", check=False)
    run = f"-test.run=^TestConformance$/{only}"
    words = [str(cluster.assets / "conformance.test"), *CONFORMANCE_FLAGS, run]
    environment = ["env", f"KUBECONFIG={cluster.kubeconfig}"]
    done = subprocess.run(
        cluster.command([*environment, *words]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    (cluster.folder / "conformance.log").write_text(done.stdout, encoding="utf-8")
    return results_of_go(done.stdout)


_LINE = re.compile(r"^( *)--- (PASS|FAIL|SKIP): (\S+) \(([0-9.]+)s\)$")
_STATES = {"PASS": PASSED, "FAIL": FAILED, "SKIP": LEFT_OUT}


def results_of_go(output: str) -> list[Result]:
    """The innermost tests that Go's runner speaks of. Raises RuntimeError where it ran none."""
    found: dict[str, Result] = {}
    for line in output.splitlines():
        if match := _LINE.match(line):
            _, state, name, seconds = match.groups()
            found[name] = Result(name, _STATES[state], float(seconds))
    inner = [
        result
        for name, result in found.items()
        if not any(other.startswith(f"{name}/") for other in found)
    ]
    if not inner:
        raise RuntimeError(f"the suite ran no test\n{output[-4000:]}")
    return inner
