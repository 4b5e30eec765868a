"""The long run in the kernel: random clusters in the lab, real packets against the engine.

    python -m bench.kernel --probes 20000 --seed 1 --nodes 1,3 [--tiers] [--odd] [--rootless]

Rule: every cluster is reproducible. Cluster ``k`` of seed ``n`` depends on nothing but ``n``,
``k``, ``--tiers`` and ``--odd``; ``--only k`` tries that cluster alone. ``--rootless`` goes on as
an ordinary user, in a user namespace. Exit 0: no difference; 1: some difference, or a probe
without control.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

from podfence.errors import LabError
from podfence.lab.run import run_lab
from podfence.lab.testbed.report import LabReport
from podfence.lab.trial import LabOptions
from podfence.policy.compile import compile_cluster
from podfence.render.lab_report import packet_text
from tests.support.odd_clusters import odd_cluster
from tests.support.random_clusters import TIERS, Size, random_cluster

NOBODY = "65534"
TIMEOUT = 0.15  # seconds after which a probe counts as dropped; lost ones are sent again
SHOWN = 5


@dataclass
class Total:
    """Sums over the labs of one number of nodes."""

    nodes: int
    clusters: int = 0
    probes: int = 0
    repeated: int = 0
    different: int = 0
    uncontrolled: int = 0
    empty: int = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether the kernel did what the engine says, each probe with its control."""
        return not (self.different or self.uncontrolled)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print the table."""
    options = _options(arguments)
    if options.rootless and os.geteuid() == 0:
        os.execvp("setpriv", _as_ordinary_user(sys.argv[1:]))
    totals = [_run(nodes, options) for nodes in options.nodes]
    print(f"{'nodes':>5} {'clusters':>9} {'probes':>9} {'sent again':>11} "
          f"{'different':>10} {'no control':>11} {'seconds':>8}")  # fmt: skip
    for t in totals:
        print(f"{t.nodes:5} {t.clusters:9} {t.probes:9} {t.repeated:11} "
              f"{t.different:10} {t.uncontrolled:11} {t.seconds:8.1f}")  # fmt: skip
        if t.empty:
            print(f"      {t.empty} clusters had no pod that can be probed")
    return 0 if all(total.clean for total in totals) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="random clusters in the kernel")
    parser.add_argument("--probes", type=int, default=20_000, help="at least this many a table row")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one cluster, by its number")
    parser.add_argument("--nodes", type=_numbers, default=(1, 3), help="such as 1,3")
    parser.add_argument("--tiers", action="store_true", help="with ClusterNetworkPolicies")
    parser.add_argument("--odd", action="store_true", help="of objects that are odd but legal")
    parser.add_argument("--rootless", action="store_true")
    return parser.parse_args(arguments)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _as_ordinary_user(arguments: Sequence[str]) -> list[str]:
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [*user, sys.executable, "-m", "bench.kernel", *arguments]


def _run(nodes: int, options: argparse.Namespace) -> Total:
    total = Total(nodes)
    start = time.monotonic()
    for number, report in _reports(nodes, options):
        if report is None:
            total.empty += 1
            continue
        total.clusters += 1
        total.probes += report.probes
        total.repeated += report.repeated
        total.different += len(report.disagreements)
        total.uncontrolled += len(report.without_control)
        for check in (*report.disagreements, *report.without_control)[:SHOWN]:
            print(f"cluster {number}: {packet_text(check.packet)}; {check.verdict}")
        if total.probes >= options.probes:
            break
    total.seconds = time.monotonic() - start
    return total


def _reports(nodes: int, options: argparse.Namespace) -> Iterator[tuple[int, LabReport | None]]:
    size = TIERS if options.tiers else Size()
    numbers = count() if options.only is None else [options.only]
    for number in numbers:
        make = odd_cluster if options.odd else random_cluster
        cluster = make(Random(f"{options.seed} {number}"), size)
        lab = LabOptions(timeout=TIMEOUT, nodes=nodes)
        try:
            yield number, run_lab(compile_cluster(cluster), lab, progress=lambda _: None)
        except LabError as error:
            if "nothing to try" not in error.message:
                raise
            yield number, None


if __name__ == "__main__":
    sys.exit(main())
