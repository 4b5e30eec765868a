"""What it costs to judge a text while somebody types: from the text to the answer's JSON.

    python -m bench.drafts [--namespaces 604 --pods 5413 --policies 13678] [--drafts 60]

Rule: CPU time alone, of this process, of what `/evaluate` does in its thread. A draft is one file
with one NetworkPolicy, in which a rule goes, a rule comes, or another pods are selected.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import process_time
from typing import Any

import yaml

from bench.generate import Shape, generate
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES
from podfence.web.draft import Base
from podfence.web.editing import judgement_data
from podfence.web.folder import Folder
from podfence.web.revision import ReadInput


def write(folder: Path, shape: Shape) -> dict[str, dict[str, Any]]:
    """The cluster as files, a file for each policy; the policies by file."""
    workloads, policies = generate(shape)
    listed = {"apiVersion": "v1", "kind": "List", "items": workloads}
    (folder / "workloads.json").write_text(json.dumps(listed))
    found, numbers = {}, Counter[str]()
    for policy in policies:
        namespace = policy["metadata"]["namespace"]
        numbers[namespace] += 1
        path = folder / f"{namespace}-{numbers[namespace]}.yaml"
        path.write_text(json.dumps(policy))
        found[str(path)] = policy
    return found


def edited(policy: dict[str, Any], kind: int) -> str:
    """A draft of one of three kinds."""
    spec = dict(policy["spec"])
    if kind == 0 and spec.get("ingress"):
        spec["ingress"] = spec["ingress"][:-1]
    elif kind == 1:
        spec["ingress"] = [{"ports": [{"port": 80}]}]
    else:
        spec["podSelector"] = {}
    return yaml.safe_dump({**policy, "spec": spec}, sort_keys=False)


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.drafts", description=main.__doc__)
    for name, default in (("namespaces", 604), ("pods", 5413), ("policies", 13678)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--replicas", type=int, default=6)
    parser.add_argument("--drafts", type=int, default=60)
    options = parser.parse_args(given)
    shape = Shape(options.namespaces, options.pods, options.policies, options.replicas)
    with tempfile.TemporaryDirectory() as name:
        policies = write(Path(name), shape)
        folder = Folder((name,))
        start = process_time()
        loaded, files = folder.read()
        read = ReadInput(loaded, compile_cluster(loaded.cluster, NO_NAMES), files)
        was_read = process_time()
        base = Base(folder, read, NO_NAMES)
        base.prepare()
        print(f"read and compiled in {was_read - start:.1f} s,", end=" ")
        print(f"ready for drafts after {process_time() - was_read:.1f} s more. CPU.", flush=True)
        random, costs, judged = Random(1), [], 0
        for number in range(options.drafts):
            path = random.choice(sorted(policies))
            text = edited(policies[path], number % 3)
            start = process_time()
            answer = judgement_data(base.judge({path: text}))
            costs.append(1000 * (process_time() - start))
            judged += "plan" in answer
    costs.sort()
    p50, p95 = (costs[int(len(costs) * share)] for share in (0.5, 0.95))
    print(f"{judged} of {len(costs)} drafts judged: p50 {p50:.1f}, p95 {p95:.1f}, ", end="")
    print(f"max {costs[-1]:.1f} ms CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
