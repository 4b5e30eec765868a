"""How long a node's agent takes to be in sync with a real API server, and what it needs for that.

    python -m bench.firstsync C100 [--dual-stack] [--runs 3]

Rule: the agent is the program itself, with health, metrics and the log of denials, and is looked at
from outside: CPU and memory are its process's. The cluster of ``eventfeed`` is written into etcd
before the API server starts; a run is a new agent in a new network namespace. How long the server
alone needs for the same pages is measured beside it, by who asks for them and reads nothing, and
how long the reader alone takes (``firstread``).
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bench.eventfeed import NODE, SHAPES, Feed, arguments, filled
from bench.generate import Manifest, Shape
from podfence.agent.sources import resources
from podfence.kernel import netns
from podfence.kube.client import Client
from podfence.kube.source import find_access
from tests.apiserver.build import assets
from tests.apiserver.server import ApiServer, etcd_call, running

_FOLDERS: Final = {
    "Namespace": "namespaces",
    "Node": "minions",
    "Pod": "pods",
    "NetworkPolicy": "networkpolicies",
}
_BATCH: Final = 100
"""Objects that are written at once: etcd takes 128 steps, and a request of 1.5 MiB."""
_SETTLED: Final = 15.0
"""Seconds after which all is said and done, and memory is read."""
_CONTINUE: Final = re.compile(rb'"continue":"([^"]+)"')
_HEAD: Final = 1000
"""Bytes of a list in which its metadata stand."""
_PATIENCE: Final = 900.0
"""Seconds that a server may take to read a large cluster from etcd."""
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def stored(shape: Shape) -> Iterator[tuple[str, Manifest]]:
    """Keys and objects of etcd."""
    for number, (_, thing) in enumerate(Feed(shape).objects()):
        found = filled(thing)
        metadata = found["metadata"]
        metadata["uid"] = f"00000000-0000-0000-0000-{number:012}"
        metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
        namespace = f"{metadata['namespace']}/" if "namespace" in metadata else ""
        yield f"/registry/{_FOLDERS[found['kind']]}/{namespace}{metadata['name']}", found


def fill(folder: Path, shape: Shape) -> int:
    """Write a cluster into etcd; how many objects it has."""
    things, count = stored(shape), 0
    while batch := [*islice(things, _BATCH)]:
        puts = [
            {
                "requestPut": {
                    "key": _coded(key.encode()),
                    "value": _coded(json.dumps(thing).encode()),
                }
            }
            for key, thing in batch
        ]
        etcd_call(folder, "/v3/kv/txn", {"success": puts})
        count += len(batch)
    return count


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def listed(kubeconfig: Path) -> tuple[float, int]:
    """The same pages as an agent's, one after the other, unread: seconds and bytes."""
    access = find_access("", str(kubeconfig), os.environ)
    begin, size = time.monotonic(), 0
    with Client(access) as client:
        for resource, *_ in resources(NODE):
            if resource.kind not in _FOLDERS:
                continue
            query = resource.query(limit="500")
            while True:
                body = client.get(resource.path(), query)
                size += len(body)
                token = _CONTINUE.search(body, 0, _HEAD)
                if token is None:
                    break
                query["continue"] = token[1].decode()
    return time.monotonic() - begin, size


class Process:
    """What the kernel tells of one."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")

    def cpu(self) -> float:
        """Seconds that its threads took."""
        fields = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory(self) -> tuple[float, float]:
        """MiB now, and at most."""
        lines = (self._folder / "status").read_text().splitlines()
        said = dict(line.split(":", 1) for line in lines if ":" in line)
        now, most = (int(said[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return now, most


def run(kubeconfig: Path, scratch: Path, servers: tuple[int, ...]) -> None:
    """One agent, from its start until it is settled."""
    command = [sys.executable, "-m", "podfence", "agent", "--node", NODE]
    command += ["--kubeconfig", str(kubeconfig), "--run-dir", str(scratch)]
    command += ["--state-dir", str(scratch / "state")]
    command += ["--netns", f"/proc/{os.getpid()}/fd/{netns.create()}", "--http-port", "9740"]
    others = [Process(pid) for pid in servers]
    before = sum(each.cpu() for each in others)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as agent:
        try:
            assert agent.stderr is not None
            found = Process(agent.pid)
            told: dict[str, Any] = {}
            while told.get("event") != "in sync":
                line = agent.stderr.readline()
                if not line:
                    raise RuntimeError("the agent ended")
                told = json.loads(line)
            cpu, theirs = found.cpu(), sum(each.cpu() for each in others) - before
            time.sleep(_SETTLED)
            now, most = found.memory()
        finally:
            agent.terminate()
            agent.wait(30)
    print(
        f"in sync after {told['seconds']:.2f} s, {cpu:.2f} s of CPU of its own, {theirs:.2f} s of "
        f"the server's; {now:.0f} MiB, {most:.0f} MiB at most; {told['operations']} operations; "
        f"load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> None:
    """Run and print."""
    options = arguments(__doc__)
    shape = SHAPES[options.shape]
    if options.dual_stack:
        shape = Shape(shape.namespaces, shape.pods, shape.policies, shape.replicas, 1, True)
    with running(assets()) as server:
        server.kill_apiserver()
        count = fill(server.folder, shape)
        server.start_apiserver(_PATIENCE)
        measure(server, count, options.runs)


def measure(server: ApiServer, count: int, runs: int) -> None:
    """The server alone, then some readers, then some agents."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        kubeconfig = server.kubeconfig(scratch / "kubeconfig")
        for _ in range(2):  # the second time, the server's own caches are warm
            seconds, size = listed(kubeconfig)
        print(f"{count} objects; pages unread: {seconds:.2f} s, {size / (1 << 20):.0f} MiB")
        for _ in range(runs):
            subprocess.run([sys.executable, "-m", "bench.firstread", str(kubeconfig)], check=True)
        for _ in range(runs):
            run(kubeconfig, scratch, server.pids)


if __name__ == "__main__":
    main()
