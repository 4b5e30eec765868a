"""What it costs to read a week of flows: ``podfence suggest`` from so many lines of Hubble.

    python -m bench.flows [--lines 2000000]

Rule: a whole process, as a person waits for it; CPU time over the yardstick of ``bench.run``, and
peak memory. The lines are those of ``hubble observe -o jsonpb`` of 60 workloads: each connection is
told at both ends, packet by packet, a third of it answers, with new times, identifiers and ports of
clients in every line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from bench.run import PODFENCE, YARDSTICK, run

WORKLOADS = 60
CONNECTIONS = 240
_FLAGS = ({"SYN": True}, {"PSH": True, "ACK": True}, {"ACK": True}, {"FIN": True, "ACK": True})


def deployment(number: int) -> dict[str, Any]:
    """A workload that has one label of its own."""
    labels = {"app": f"app-{number}"}
    ports = [{"containerPort": 8000 + number % 7}]
    containers = [{"name": "c", "ports": ports}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"app-{number}", "namespace": f"space-{number % 6}"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    }


def endpoint(number: int) -> dict[str, Any]:
    """The same as Hubble tells it."""
    space = f"space-{number % 6}"
    return {
        "ID": 400 + number,
        "identity": 20_000 + number,
        "cluster_name": "prod",
        "namespace": space,
        "labels": [
            f"k8s:app=app-{number}",
            f"k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name={space}",
            "k8s:io.cilium.k8s.policy.cluster=prod",
            f"k8s:io.cilium.k8s.policy.serviceaccount=app-{number}",
            f"k8s:io.kubernetes.pod.namespace={space}",
        ],
        "pod_name": f"app-{number}-9b649846d-bxqf{'cdfgh'[number % 5]}",
        "workloads": [{"name": f"app-{number}", "kind": "Deployment"}],
    }


def lines(count: int) -> Iterator[str]:
    """So many lines."""
    rng = Random(1)
    pairs = [(rng.randrange(WORKLOADS), rng.randrange(WORKLOADS)) for _ in range(CONNECTIONS)]
    shapes = [shape for near, far in pairs if near != far for shape in _shapes(near, far)]
    for number in range(count):
        time = f"2026-11-{1 + number * 28 // count:02}T10:41:02.{rng.randrange(10**9):09}Z"
        uuid = f"{rng.randrange(16**8):08x}-8dd3-486b-beca-{rng.randrange(16**12):012x}"
        head, tail = rng.choice(shapes)
        client = rng.randrange(32768, 61000)
        yield f'{{"flow":{{"time":"{time}","uuid":"{uuid}"{head}{client}{tail}"time":"{time}"}}\n'


def _shapes(near: int, far: int) -> Iterator[tuple[str, str]]:
    """The records of one connection, cut at what is new in each."""
    for at, node in (("EGRESS", near % 4), ("INGRESS", far % 4)):
        for reply in (False, False, True):
            for flags in _FLAGS:
                yield _cut(near, far, at, f"worker-{node}", flags, reply=reply)


def _cut(
    near: int, far: int, at: str, node: str, flags: dict[str, bool], *, reply: bool
) -> tuple[str, str]:
    ends = (far, near) if reply else (near, far)
    ports = {"source_port": 1, "destination_port": 8000 + far % 7}
    if reply:
        ports = {"source_port": 8000 + far % 7, "destination_port": 1}
    flow = {
        "verdict": "FORWARDED",
        "ethernet": {"source": "62:6b:d0:a4:c5:63", "destination": "6e:d0:ea:78:fc:0a"},
        "IP": {
            "source": f"10.0.{ends[0] % 4}.{ends[0]}",
            "destination": f"10.0.{ends[1] % 4}.{ends[1]}",
            "ipVersion": "IPv4",
        },
        "l4": {"TCP": {**ports, "flags": flags}},
        "source": endpoint(ends[0]),
        "destination": endpoint(ends[1]),
        "Type": "L3_L4",
        "node_name": node,
        "event_type": {"type": 4, "sub_type": 3},
        "traffic_direction": at,
        "trace_observation_point": "TO_STACK",
        "trace_reason": "ESTABLISHED",
        "is_reply": reply,
        "Summary": f"TCP Flags: {', '.join(flags)}",
    }
    text = json.dumps(flow, separators=(",", ":"))
    mark = '"source_port":1,' if not reply else '"destination_port":1,'
    head, _, tail = text[1:].partition(mark)
    return f",{head}{mark[:-2]}", f',{tail},"node_name":"{node}",'


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and say it in one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2_000_000)
    asked = parser.parse_args(given)
    with TemporaryDirectory() as scratch:
        manifests, flows = Path(scratch, "workloads.json"), Path(scratch, "flows.jsonl")
        items = [deployment(number) for number in range(WORKLOADS)]
        manifests.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        # By another process: a child's peak memory is never below that of its parent.
        made = [sys.executable, "-m", "bench.flows", "--print", str(asked.lines)]
        with flows.open("w") as file:
            subprocess.run(made, stdout=file, check=True)
        size = flows.stat().st_size
        command = (PODFENCE, "suggest", "--flows", str(flows), "-f", str(manifests))
        before, done, after = run(YARDSTICK), run(command), run(YARDSTICK)
    yard = (before.cpu + after.cpu) / 2
    print(
        f"suggest, {asked.lines:,} lines of Hubble ({size / 2**20:,.0f} MiB): "
        f"{done.cpu:.1f} s CPU, {done.cpu / yard:.1f} Y, {done.memory:.0f} MiB, "
        f"exit status {done.status}"
    )
    return int(done.status != 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--print"]:
        sys.stdout.writelines(lines(int(sys.argv[2])))
    else:
        sys.exit(main())
