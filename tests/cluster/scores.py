"""What the suites of others say, written down: ``./dev cluster score none`` and ``score podfence``.

Rule: a file of ``docs/scores`` is what one run gave, and is never written by hand.
"""

from __future__ import annotations

import platform
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tests.cluster import agents, build, suites
from tests.cluster.cluster import Cluster
from tests.cluster.suites import FAILED, LEFT_OUT, PASSED, Result

FOLDER = build.ROOT / "docs" / "scores"
PROCESSES = 3


def text_of(
    suite: str, enforcer: str, results: Sequence[Result], seconds: float, where: Sequence[str]
) -> str:
    """One run as a text: the sum, then a line for each test, those that failed first."""
    lines = [
        f"suite:     {suite}",
        f"enforcer:  {enforcer}",
        f"where:     {where[0]}",
        *(f"           {line}" for line in where[1:]),
        f"time:      {seconds:.0f} s",
        f"result:    {summary(results)}",
    ]
    for state in (FAILED, LEFT_OUT, PASSED):
        found = [result for result in results if result.state == state]
        if found:
            lines += ["", f"{state}:"]
        for result in found:
            took = "" if state == LEFT_OUT else f"{result.seconds:7.1f} s"
            why = f"  ({result.why})" if result.why and state == LEFT_OUT else ""
            lines.append(f"{took:>9}  {result.name}{why}")
    return "\n".join([*lines, ""])


def summary(results: Sequence[Result]) -> str:
    """How many of each state."""
    count = {s: sum(r.state == s for r in results) for s in (PASSED, FAILED, LEFT_OUT)}
    return ", ".join(f"{number} {state}" for state, number in count.items())


def has_sctp() -> bool:
    """Whether this kernel has SCTP sockets, which agnhost serves with."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


SUITES: dict[str, tuple[str, Callable[[Cluster], list[Result]]]] = {
    "networkpolicy": (
        f"Kubernetes {build.KUBERNETES}, test/e2e/network/netpol",
        lambda cluster: suites.netpol(cluster, processes=PROCESSES),
    ),
    "clusternetworkpolicy": (
        f"network-policy-api {build.NETWORK_POLICY_API}, conformance, all features",
        suites.conformance,
    ),
}


ENFORCERS: dict[str, Callable[[Cluster], AbstractContextManager[None]]] = {
    "none": lambda _: nullcontext(),
    "podfence": agents.from_image,
}


def write(cluster: Cluster, name: str, enforcer: str, file: Path) -> Sequence[Result]:
    """Runs a suite and writes its file; the results."""
    title, run = SUITES[name]
    started = time.monotonic()
    results = run(cluster)
    where = [
        f"{len(cluster.nodes)} nodes (tests/cluster), Linux {platform.release().split('-')[0]},",
        f"containerd {_containerd(cluster)}, CNI plugin ptp, kube-proxy in nftables mode",
        *([] if has_sctp() else ["SCTP through raw sockets, since this kernel has no others"]),
    ]
    text = text_of(title, enforcer, results, time.monotonic() - started, where)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return results


def _containerd(cluster: Cluster) -> str:
    with cluster.admin as admin:
        node = admin.request("GET", f"/api/v1/nodes/{cluster.nodes[0].name}").body
    version: str = node["status"]["nodeInfo"]["containerRuntimeVersion"]
    return version.removeprefix("containerd://").partition("~")[0]
