"""How long podfence and its peers take for the same work, as whole processes, in one run.

    python -m bench.beside [--runs N] [--only NAME] [--write docs/benchmarks.md]

Rule: both sides of a row have the same cluster and the same machine, one after the other, again and
again; what counts is the ratio of their CPU times. Peers are those of ``bench.conformance``, made
beforehand; one that cannot be had is left out by name.
Exit 0: every command did what it should; 1: one did not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.conformance.cases import objects_of, question
from bench.conformance.peers import PEERS, program, say
from bench.run import PODFENCE, Sample, machine, made, pod_names, run, written
from podfence.manifests.load import load
from podfence.model.cluster import Cluster
from podfence.policy.flow import Flow
from tests.support.golang import Unavailable

MARKS = ("<!-- beside:begin -->", "<!-- beside:end -->")
QUESTIONS = 10_000
HEADER = """| work | podfence CPU | peer | its CPU | peer / podfence | runs |
|---|---:|---|---:|---:|---:|"""
Command = Sequence[str]


@dataclass(frozen=True)
class Row:
    """``ours``: podfence's command. ``theirs``: a peer's name, and its command when it is there."""

    name: str
    ours: Callable[[], Command]
    theirs: Callable[[Command], Command]
    peer: str


def rows(scratch: Path) -> Iterator[Row]:
    """Every row, in the order of the table."""
    small = partial(made, scratch, 20, 125, 75, 1)
    usual = partial(made, scratch, 20, 500, 300, 1)
    analyzer = "network-config-analyzer"
    yield Row(
        "all pairs, 125 pods, 75 policies",
        lambda: (PODFENCE, "map", "-o", "json", "-f", str(small())),
        lambda command: (command[0], "-m", "nca", "--connectivity", "-r", str(small())),
        analyzer,
    )
    yield Row(
        "difference, 125 pods, 75 policies, 3 removed",
        lambda: (PODFENCE, "plan", str(small()), str(without(small(), 3))),
        lambda command: _difference(command, small(), without(small(), 3)),
        analyzer,
    )
    for count in (1, QUESTIONS):
        name = f"{count:,} question{'s' * (count > 1)}, 500 pods, 300 policies"
        for peer in ("kube-network-policies", "cyclonus"):
            ours, theirs = partial(_asked, usual, count), partial(_answering, usual, count)
            yield Row(name, ours, theirs, peer)


def _difference(command: Command, old: Path, new: Path) -> Command:
    return (command[0], "-m", "nca", "--semantic_diff", "-r", str(new), "-rb", str(old))


def without(there: Path, edits: int) -> Path:
    """The cluster without its first policies."""
    new = there.with_name(f"{there.name}-less")
    if not new.exists():
        new.mkdir()
        (new / "cluster.yaml").write_text((there / "cluster.yaml").read_text("utf-8"), "utf-8")
        policies = (there / "policies.yaml").read_text("utf-8").split("\n---\n")
        (new / "policies.yaml").write_text("\n---\n".join(policies[edits:]), "utf-8")
    return new


def flows(cluster: Cluster, count: int) -> list[Flow]:
    """Always the same connections between pods."""
    pods = [pod for pod in cluster.pods if pod.addresses]
    ends = [pod.addresses[0] for pod in pods]
    wanted = (Flow(ends[n % len(ends)], ends[n * 7 % len(ends)], "TCP", 8080) for n in range(count))
    return [flow for flow in wanted if flow.source != flow.destination] or [
        Flow(ends[0], ends[-1], "TCP", 8080)
    ]


def _asked(manifests: Callable[[], Path], count: int) -> Command:
    there = manifests()
    if count == 1:
        pods = pod_names(there)
        return (PODFENCE, "can", pods[0], f"{pods[-1]}:8080", "-f", str(there))
    cluster = load([str(there)]).cluster
    names = {a: f"{pod.namespace}/{pod.name}" for pod in cluster.pods for a in pod.addresses}
    asked = [
        {"src": names[f.source], "dst": names[f.destination], "protocol": "TCP", "port": f.port}
        for f in flows(cluster, count)
    ]
    file = there.with_name(f"{there.name}-{count}.json")
    file.write_text(json.dumps(asked), encoding="utf-8")
    return (PODFENCE, "can", "-o", "json", "--queries", str(file), "-f", str(there))


def _answering(manifests: Callable[[], Path], count: int, command: Command) -> Command:
    """The same questions to a peer's program, as its line of JSON."""
    there = manifests()
    cluster = load([str(there)]).cluster
    file = there.with_name(f"{there.name}-{count}.line")
    file.write_bytes(question(objects_of(cluster), flows(cluster, count)) + b"\n")
    return ("/bin/sh", "-c", 'exec "$0" < "$1"', command[0], str(file))


def measured(ours: Command, theirs: Command, runs: int) -> tuple[list[Sample], list[Sample]]:
    """Both in turn, after one run of each that warms the caches up; once where one takes long."""
    first = run(ours), run(theirs)
    if max(each.wall for each in first) > 20:
        return [first[0]], [first[1]]
    ours_all, theirs_all = zip(*((run(ours), run(theirs)) for _ in range(runs)), strict=True)
    return list(ours_all), list(theirs_all)


def line(row: Row, ours: Sequence[Sample], theirs: Sequence[Sample]) -> str:
    """One line of the table, of medians."""
    mine, other = (median(s.cpu for s in samples) for samples in (ours, theirs))
    failed = any(s.status not in (0, 1) for s in (*ours, *theirs))
    ratio = "FAILED" if failed else f"{other / mine:.1f}"
    cells = (row.name, f"{mine:.2f} s", row.peer, f"{other:.2f} s", ratio, str(len(ours)))
    return f"| {' | '.join(cells)} |"


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, write; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description="Beside peers.")
    parser.add_argument("--runs", type=int, default=3, help="runs of a row, after one to warm up")
    parser.add_argument("--only", default="", metavar="NAME", help="rows whose name holds NAME")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into FILE too")
    options = parser.parse_args(given)
    commands: dict[str, Command] = {}
    for peer in PEERS:
        try:
            commands[peer.name] = program(peer)
        except Unavailable as error:
            say(f"{peer.name} is left out: {error}")
    lines = [f"{machine()}.", "", HEADER]
    print("\n".join(lines), flush=True)
    with TemporaryDirectory(prefix="podfence-beside-") as scratch:
        for row in rows(Path(scratch)):
            if options.only in row.name and row.peer in commands:
                theirs = row.theirs(commands[row.peer])
                lines.append(line(row, *measured(row.ours(), theirs, options.runs)))
                print(lines[-1], flush=True)
    if options.write is not None:
        text = options.write.read_text(encoding="utf-8")
        text = written(text, "\n".join(lines), MARKS)
        options.write.write_text(text, encoding="utf-8")
    return 1 if any("| FAILED |" in each for each in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
