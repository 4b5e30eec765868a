"""How long commands take and how much memory they need, as whole processes.

    python -m bench.run [--quick] [--only NAME] [--input DIR] [--write docs/benchmarks.md]

Rule: what is measured is what a person waits for: a fresh process, from its start to its end, with
its output thrown away. Beside every row the yardstick Y is measured, the same interpreter at ten
million additions: CPU seconds over Y can be compared between machines and between loads.
Exit 0: every command did what it should; 1: one did not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
PODFENCE = str(Path(sys.executable).parent / "podfence")
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
QUERIES = 30_000
SAMPLES = 20_000
PORTS = (80, 443, 3306, 5432, 8080, 9090)


@dataclass(frozen=True)
class Row:
    """One command. ``prepare`` makes its input and gives its words; ``statuses``: exit statuses
    that are no failure; ``amount``: what it works through, for a rate; ``large``: left out of a
    quick run."""

    name: str
    prepare: Callable[[], Sequence[str]]
    target: str = ""
    statuses: tuple[int, ...] = (0,)
    amount: int = 0
    large: bool = False


@dataclass(frozen=True)
class Sample:
    """One run: elapsed and CPU seconds, peak memory in MiB, exit status."""

    wall: float
    cpu: float
    memory: float
    status: int


def run(command: Sequence[str]) -> Sample:
    """Run a command to its end, its output thrown away."""
    # Compiled modules have to stay, as they do wherever podfence is installed.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    started = time.perf_counter()
    pid = os.posix_spawn(command[0], list(command), environment, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    return Sample(
        time.perf_counter() - started,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024,
        os.waitstatus_to_exitcode(status),
    )


YARDSTICK = (sys.executable, "-c", "total = 0\nfor _ in range(10_000_000):\n    total += 1")


def repeated(command: Sequence[str], runs: int) -> tuple[list[Sample], list[Sample]]:
    """Several runs after one that warms the caches up, a single one where one takes long; and runs
    of the yardstick in between, so that both had the same machine."""
    first = run(command)
    if first.wall > 10 or runs == 1:
        return [first], [run(YARDSTICK)]
    samples, yards = zip(*((run(command), run(YARDSTICK)) for _ in range(runs)), strict=True)
    return list(samples), list(yards)


# -- what is measured


def baseline() -> Iterator[Row]:
    """The yardstick, and what no command can be faster than."""
    yield Row("Y: ten million additions", lambda: YARDSTICK)
    yield Row("python -c pass", lambda: (sys.executable, "-c", "pass"))
    libraries = "import yaml, click, msgspec"
    yield Row(f'python -c "{libraries}"', lambda: (sys.executable, "-c", libraries))
    yield Row("podfence --help", lambda: (PODFENCE, "--help"), "< 0.15 s")


def questions(
    name: str, manifests: Callable[[], Path], scratch: Path, targets: Sequence[str]
) -> Iterator[Row]:
    """Map, one question, one explanation, thirty thousand questions. ``targets``: of these."""

    def whole_map() -> Sequence[str]:
        return PODFENCE, "map", "-o", "json", "-f", str(manifests())

    def many() -> Sequence[str]:
        there = manifests()
        asked = scratch / f"queries-{there.name}.json"
        asked.write_text(json.dumps(list(queries(pod_names(there)))), encoding="utf-8")
        return PODFENCE, "can", "-o", "json", "--queries", str(asked), "-f", str(there)

    def one(command: str) -> Sequence[str]:
        pods = pod_names(manifests())
        return PODFENCE, command, pods[0], f"{pods[-1]}:8080", "-f", str(manifests())

    yield Row(f"map -o json, {name}", whole_map, targets[0])
    for command, target in (("can", targets[1]), ("why", targets[2])):
        yield Row(f"{command}, {name}", partial(one, command), target, statuses=(0, 1))
    yield Row(f"can --queries, {QUERIES:,} on {name}", many, targets[3], amount=QUERIES)


def pod_names(manifests: Path) -> list[str]:
    """``namespace/pod`` of every pod on the map."""
    command = [PODFENCE, "map", "-o", "json", "-f", str(manifests)]
    made = subprocess.run(command, capture_output=True, check=True).stdout
    endpoints = json.loads(made)["endpoints"]
    return [f"{e['namespace']}/{pod}" for e in endpoints for pod in e.get("pods", ())]


def queries(pods: Sequence[str]) -> Iterator[dict[str, object]]:
    """Random questions, always the same for the same pods."""
    source = random.Random(1)
    for _ in range(QUERIES):
        src, dst = source.choice(pods), source.choice(pods)
        yield {"src": src, "dst": dst, "protocol": "TCP", "port": source.choice(PORTS)}


def promises(scratch: Path) -> Iterator[Row]:
    """A hundred tests of every sort."""
    manifests = partial(made, scratch, 20, 500, 300, 1)

    def words() -> Sequence[str]:
        there = manifests()
        file = scratch / "promises.podfence.yaml"
        head = {"apiVersion": "podfence.io/v1alpha1", "kind": "PolicyTests"}
        tests = list(random_tests(pod_names(there)))
        file.write_text(json.dumps({**head, "tests": tests}), encoding="utf-8")
        return PODFENCE, "test", str(file), "-f", str(there)

    yield Row(
        "test, 100 tests, 500 pods, 300 policies", words, "<= 0.5 Y", statuses=(0, 1), amount=100
    )


def random_tests(pods: Sequence[str]) -> Iterator[dict[str, object]]:
    """Always the same tests for the same pods."""
    source = random.Random(1)

    def pod() -> str:
        return source.choice(pods)

    def namespace() -> str:
        return pod().partition("/")[0]

    for number in range(100):
        tests: tuple[dict[str, object], ...] = (
            {"from": pod(), "to": pod(), "expect": "deny"},
            {"from": f"{namespace()}/*", "to": pod(), "ports": [80], "expect": "deny"},
            {"to": pod(), "only": [{"from": pod(), "ports": [80], "optional": True}]},
            {"from": pod(), "only": [{"to": "outside", "optional": True}]},
            {"newcomers": {"namespace": namespace()}, "isolated": ["ingress"]},
        )
        yield {"name": f"test {number}", **tests[number % len(tests)]}


def plans(scratch: Path) -> Iterator[Row]:
    """A change of some policies: everything else is read, parsed and compiled on both sides."""
    for sizes, edits, target, is_large in (
        ((20, 500, 300, 1), 1, "<= 0.6 Y", False),
        ((604, 5413, 13678, 6), 30, "<= 8 Y, < 500 MiB", True),
    ):
        words = partial(_plan, partial(made, scratch, *sizes), edits)
        name = f"plan, {sizes[1]:,} pods, {sizes[2]:,} policies, {edits} removed"
        yield Row(name, words, target, statuses=(0, 1), large=is_large)


def _plan(manifests: Callable[[], Path], edits: int) -> Sequence[str]:
    """Between a made-up cluster and the same without some policies, always the same ones."""
    old = manifests()
    new = old.with_name(f"{old.name}-without-{edits}")
    if not new.exists():
        new.mkdir()
        (new / "cluster.yaml").write_text((old / "cluster.yaml").read_text("utf-8"), "utf-8")
        policies = (old / "policies.yaml").read_text("utf-8").split("\n---\n")
        gone = set(random.Random(1).sample(range(len(policies)), edits))
        kept = (text for number, text in enumerate(policies) if number not in gone)
        (new / "policies.yaml").write_text("\n---\n".join(kept), "utf-8")
    return PODFENCE, "plan", str(old), str(new)


def large(scratch: Path) -> Iterator[Row]:
    """Large clusters, with pods that share a workload and with none that do."""
    check = ("check", "--fail-on", "never")
    for replicas, *targets in ((6, "<= 4 Y, < 400 MiB", "<= 6 Y"), (1, "", "")):
        there = partial(made, scratch, 604, 5413, 13678, replicas)
        name = f"5,413 pods, 13,678 policies, replicas {replicas}"
        whole_map = partial(_on, there, "map", "-o", "json")
        yield Row(f"map -o json, {name}", whole_map, targets[0], large=True)
        yield Row(f"check, {name}", partial(_on, there, *check), targets[1], large=True)
    server = partial(_on, there, *check, "--server-only")
    yield Row("check --server-only, 13,678 policies", server, large=True)
    there = partial(made, scratch, 1000, 100_000, 10_000, 12, "list")
    yield Row(
        "map -o json, 100,000 pods, 10,000 policies, one JSON List",
        partial(_on, there, "map", "-o", "json"),
        "<= 12 Y, < 800 MiB",
        large=True,
    )


def kernel(scratch: Path) -> Iterator[Row]:
    """Real packets; needs root, or user namespaces."""
    shop = partial(Path, ROOT / "examples" / "shop")
    yield Row("lab run, examples/shop", partial(_on, shop, "lab", "run"))
    for pods, policies, target in ((50, 30, "< 5 s"), (100, 60, "< 10 s")):
        there = partial(made, scratch, 5, pods, policies, 1)
        name = f"lab run, {pods} pods, all pairs"
        yield Row(name, partial(_on, there, "lab", "run"), target, large=True)


def blocks(scratch: Path) -> Iterator[Row]:
    """One rule with thousands of ipBlocks: the time is to grow with their number, not with its
    square."""
    for count in (1000, 3000, 7460):
        there = partial(with_blocks, scratch, count)
        name = f"{count:,} ipBlocks"
        ask = ("can", "n/web", "20.0.0.1:443")
        yield Row(f"can, {name}", partial(_on, there, *ask), large=True)
        target = "< 10 times 1,000" if count == 7460 else ""
        yield Row(f"lab run, {name}", partial(_on, there, "lab", "run"), target, large=True)


def with_blocks(scratch: Path, count: int) -> Path:
    """A pod, and a policy that lets it reach ``count`` ipBlocks that neither touch nor overlap."""
    there = scratch / f"blocks-{count}.json"
    cidrs = (f"{20 + n // 65536}.{n // 256 % 256}.{n % 256}.0/25" for n in range(count))
    egress = [{"to": [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]}]
    metadata = {"name": "web", "namespace": "n"}
    items = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}},
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress},
        },
    ]
    there.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return there


def _on(manifests: Callable[[], Path], *command: str) -> Sequence[str]:
    return PODFENCE, *command, "-f", str(manifests())


def judges() -> Iterator[Row]:
    """The naive judge of the tests against the engine."""
    script = str(ROOT / "bench" / "judge.py")
    command = (sys.executable, script, "--samples", str(SAMPLES), "--jobs", "2")
    yield Row(f"oracle against engine, {SAMPLES:,} flows", lambda: command, amount=SAMPLES)


def made(
    scratch: Path, namespaces: int, pods: int, policies: int, replicas: int, form: str = "yaml"
) -> Path:
    """A made-up cluster on disk. Made by another process: a child's peak memory is never below
    that of the process that started it."""
    there = scratch / f"{pods}-{policies}-{replicas}"
    sizes = ("--namespaces", namespaces, "--pods", pods, "--policies", policies)
    shape = ("--replicas", replicas, "--format", form)
    generator = (sys.executable, "-m", "bench.generate", there)
    if not there.exists() and run([*map(str, (*generator, *sizes, *shape))]).status:
        raise RuntimeError(f"no cluster could be made in {there}")
    return there


def rows(scratch: Path, given: Path | None) -> Iterator[Row]:
    """Every row, in the order of the table; ``given``: manifests to measure instead."""
    yield from baseline()
    if given is not None:
        yield from questions(given.name, lambda: given, scratch, ("",) * 4)
        yield Row(f"check, {given.name}", partial(_on, lambda: given, "check"), statuses=(0, 1))
        return
    small = partial(made, scratch, 20, 500, 300, 1)
    targets = ("<= 0.25 Y", "<= 0.15 Y", "<= 0.15 Y", "< 1.5 s")
    yield from questions("500 pods, 300 policies", small, scratch, targets)
    yield from promises(scratch)
    yield from plans(scratch)
    yield from large(scratch)
    yield from blocks(scratch)
    yield from kernel(scratch)
    yield from judges()


# -- the table


def machine() -> str:
    """What was measured on, and when."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}, "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )


def line(row: Row, samples: Sequence[Sample], yards: Sequence[Sample]) -> str:
    """One line of the table; medians, and the largest memory. ``yards``: runs of the yardstick."""
    failed = next((s.status for s in samples if s.status not in row.statuses), None)
    wall, cpu = median(s.wall for s in samples), median(s.cpu for s in samples)
    rate = f"{row.amount / wall:,.0f}/s" if row.amount else ""
    cells = (
        row.name,
        row.target,
        f"{wall:.2f} s" if failed is None else f"FAILED: exit {failed}",
        f"{cpu:.2f} s",
        f"{cpu / median(s.cpu for s in yards):.2f} Y",
        f"{max(s.memory for s in samples):.0f} MiB",
        rate,
        str(len(samples)),
    )
    return f"| {' | '.join(cells)} |"


HEADER = """| what | target | elapsed | CPU | CPU / Y | peak memory | rate | runs |
|---|---|---:|---:|---:|---:|---:|---:|"""


def written(text: str, table: str, marks: tuple[str, str] = (BEGIN, END)) -> str:
    """``text`` with the table between its two marks. Raises ValueError when a mark is missing."""
    first, last = marks
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(
            f"no markers for the table: write {first} and {last} on lines of their own"
        )
    return f"{before}{first}\n{table}\n{last}{after}"


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Measure podfence.")
    parser.add_argument("--quick", action="store_true", help="no large rows, one run each")
    parser.add_argument("--only", default="", metavar="NAME", help="rows whose name holds NAME")
    parser.add_argument("--runs", type=int, default=5, help="runs of a row, after one to warm up")
    parser.add_argument("--input", type=Path, metavar="DIR", help="measure these manifests instead")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into FILE too")
    return parser


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, write; see the module's docstring."""
    options = arguments().parse_args(given)
    lines = [f"{machine()}.", "", HEADER]
    print("\n".join(lines), flush=True)
    with TemporaryDirectory(prefix="podfence-bench-") as scratch:
        for row in rows(Path(scratch), options.input):
            if options.only in row.name and not (options.quick and row.large):
                samples, yards = repeated(row.prepare(), 1 if options.quick else options.runs)
                lines.append(line(row, samples, yards))
                print(lines[-1], flush=True)
    if options.write is not None:
        text = options.write.read_text(encoding="utf-8")
        options.write.write_text(written(text, "\n".join(lines)), encoding="utf-8")
    return 1 if any("| FAILED" in each for each in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
