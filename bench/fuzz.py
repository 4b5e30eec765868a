"""Mutated manifests through everything that reads them: no traceback, no hang, bounded memory.

    python bench/fuzz.py --count 100000 --seed 1 --jobs 2

Every case is loaded, compiled, mapped, checked and described in this process, and asked one
question. Rule: a case depends on seed, number and the seed files alone; ``--only NUMBER`` runs one
again.
Exit 0: all clean; 1: a violation, its input is written to a file and its reason printed.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import resource
import signal
import sys
import time
import traceback
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec

from podfence.cli.common import describe_problem
from podfence.errors import PodfenceError, Position, Source
from podfence.manifests.load import Loaded, load
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.can import Asker, Can
from podfence.questions.connectivity import connectivity
from podfence.questions.describe import describe
from podfence.questions.lint.notes import notes_for
from podfence.questions.why import why
from podfence.render.describe import render_description
from podfence.render.map_data import map_csv, map_dot, map_json, map_mermaid
from podfence.render.map_table import render_matrix, render_table
from podfence.render.problems import problem_data
from podfence.render.verdicts import VerdictEncoder, can_text, why_text
from tests.support.mutations import case, seeds

CASE_SECONDS = 5
"""Processor time that a case may take, in seconds."""
WAITING = 12
"""Times as much may pass by the clock."""
ADDRESS_SPACE = 1 << 30
"""Bytes that a worker may map; a case that wants more gets a MemoryError, which is a violation."""

CHUNK = 250
_HARMLESS = frozenset("LMNPS")


class Hang(BaseException):
    """A case took longer than CASE_SECONDS; no ``except Exception`` swallows it."""


class Violation(Exception):
    """A case was answered, but not as it must be."""


@dataclass(frozen=True)
class Failure:
    """A case that broke the rule. ``reason``: one word; ``detail``: the traceback."""

    number: int
    reason: str
    detail: str


@dataclass
class Tally:
    """What a run saw."""

    cases: int = 0
    clean: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, 0)
    peak: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add the counts of another tally; the extremes stay."""
        self.cases += other.cases
        self.clean += other.clean
        self.codes += other.codes
        self.slowest = max(self.slowest, other.slowest)
        self.peak = max(self.peak, other.peak)
        self.failures += other.failures


# -- one case


def exercise(data: bytes) -> list[str]:
    """Put one input through every reader and every output; the codes of its problems.

    Raises Violation when an output is wrong, and whatever podfence itself raises.
    """
    loaded = load(["-"], stdin=io.BytesIO(data))
    _check(loaded)
    index = compile_cluster(loaded.cluster)
    _map(index)
    _describe(loaded, index)
    _ask(loaded, index)
    return [problem.code for problem in loaded.problems]


def _check(loaded: Loaded) -> None:
    for problem in loaded.problems:
        line = describe_problem(loaded, problem)
        _single_line(line)
        position = problem.position or loaded.locate(problem.source, problem.path)
        if position is None or position.line < 1 or position.column < 1:
            raise Violation(f"no place: {line}")
        _json([msgspec.json.encode(problem_data(problem, position))])


def _map(index: PolicyIndex) -> None:
    answer = connectivity(index)
    check_harmless(render_table(answer))
    check_harmless(render_matrix(answer))
    _json(map_json(answer))
    for piece in (*map_csv(answer), *map_dot(answer), *map_mermaid(answer)):
        piece.encode()


def _describe(loaded: Loaded, index: PolicyIndex) -> None:
    def place(source: Source | None, path: str) -> str:
        return str(_place(loaded, source, path))

    for policy in loaded.cluster.policies:
        notes = notes_for(index, policy, loaded.raw(policy.source))
        check_harmless(render_description(describe(index, policy), place, notes))


def _place(loaded: Loaded, source: Source | None, path: str) -> Position | None:
    position = loaded.locate(source, path)
    if position is not None and (position.line < 1 or position.column < 1):
        raise Violation(f"no place for {path}")
    return position


def _ask(loaded: Loaded, index: PolicyIndex) -> None:
    """The first pod asks the last one; a port or a pod that cannot be asked is an answer too."""
    pods = loaded.cluster.pods
    if not pods:
        return
    names = [f"{pod.namespace}/{pod.name}" for pod in (pods[0], pods[-1])]
    try:
        answer = why(Asker(index), Can(names[0], names[1], 80))
    except PodfenceError as error:
        error.message.encode("utf-8", "surrogatepass")
        return
    check_harmless(can_text(answer.can, loaded.locate))
    check_harmless(why_text(answer, loaded.locate))
    _json([msgspec.json.encode(VerdictEncoder(loaded.locate).why(answer))])


def _json(pieces: Iterable[bytes]) -> None:
    json.loads(b"".join(pieces))


def check_harmless(text: str) -> None:
    """Raises Violation when a terminal would obey some character of ``text``."""
    for line in text.split("\n"):
        _single_line(line)


def _single_line(line: str) -> None:
    if line.isascii() and line.isprintable():
        return
    bad = {c for c in line if c != " " and unicodedata.category(c)[0] not in _HARMLESS}
    if bad:
        raise Violation(f"unprintable {bad!r} in {line[:200]!r}")


# -- many cases


def run_cases(numbers: Iterable[int], seed: int) -> Tally:
    """Run cases one after the other in this process, each under the time limit."""
    corpus = seeds()
    tally = Tally()
    signal.signal(signal.SIGPROF, _raise_hang)
    signal.signal(signal.SIGALRM, _raise_hang)
    for number in numbers:
        _run(tally, number, case(corpus, seed, number))
    tally.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return tally


def _raise_hang(_: int, __: FrameType | None) -> None:
    raise Hang


def _run(tally: Tally, number: int, data: bytes) -> None:
    start = time.perf_counter()
    # Work is bounded by the processor's time: a busy machine is no hang. Waiting is one, too.
    signal.setitimer(signal.ITIMER_PROF, CASE_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING * CASE_SECONDS)
    try:
        codes = exercise(data)
    except Hang:
        tally.failures.append(Failure(number, "hang", traceback.format_exc()))
    except Violation:
        tally.failures.append(Failure(number, "output", traceback.format_exc()))
    except Exception:  # noqa: BLE001 - anything at all is what this looks for
        tally.failures.append(Failure(number, "traceback", traceback.format_exc()))
    else:
        tally.codes.update(codes)
        tally.clean += not codes
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    tally.cases += 1
    tally.slowest = max(tally.slowest, (time.perf_counter() - start, number))


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def run_in_parts(count: int, seed: int, jobs: int) -> Tally:
    """Cases 0 to ``count`` in worker processes of bounded memory."""
    total = Tally()
    chunks = [range(at, min(at + CHUNK, count)) for at in range(0, count, CHUNK)]
    context = multiprocessing.get_context("fork")
    with context.Pool(jobs, initializer=_limit_memory) as pool:
        results = pool.imap_unordered(partial(run_cases, seed=seed), chunks)
        for tally in _each(results, len(chunks)):
            total.add(tally)
            _progress(total, count)
    return total


def _each(results: Iterator[Tally], count: int) -> Iterator[Tally]:
    """Results as they come; a worker that died, or hangs in code that no signal stops, ends it."""
    limit = CASE_SECONDS * CHUNK
    for _ in range(count):
        try:
            yield results.next(limit)  # type: ignore[attr-defined]
        except multiprocessing.TimeoutError:
            yield Tally(failures=[Failure(-1, "hang", f"no answer within {limit} s\n")])
            return


def _progress(total: Tally, count: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{total.cases}/{count}, {len(total.failures)} violations")
        sys.stderr.flush()


# -- the report


def report(tally: Tally, seconds: float) -> str:
    """The table that a run ends with."""
    reasons = Counter(failure.reason for failure in tally.failures)
    rows = [
        ("cases", f"{tally.cases} in {seconds:.0f} s"),
        ("without any problem", str(tally.clean)),
        *((f"problems {code}", str(n)) for code, n in sorted(tally.codes.items())),
        ("slowest case", f"{tally.slowest[0] * 1000:.0f} ms (case {tally.slowest[1]})"),
        ("peak memory", f"{tally.peak / 1024:.0f} MiB"),
        ("tracebacks", str(reasons["traceback"])),
        ("hangs", str(reasons["hang"])),
        ("wrong outputs", str(reasons["output"])),
    ]
    return "".join(f"{name:<22} {value:>22}\n" for name, value in rows)


def write_failures(failures: Iterable[Failure], seed: int, directory: Path) -> Iterator[str]:
    """Write the input of each failure to a file; yields what to print about it."""
    corpus = seeds()
    for failure in failures:
        where = "no single case"
        if failure.number >= 0:
            path = directory / f"fuzz-{seed}-{failure.number}.yaml"
            path.write_bytes(case(corpus, seed, failure.number))
            where = str(path)
        yield f"\n{failure.reason}: {where}\n{failure.detail}"


def main() -> int:
    """Run; print the table and the first failures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run this one case again")
    parser.add_argument("--out", type=Path, default=Path(), help="directory for failing inputs")
    options = parser.parse_args()
    start = time.perf_counter()
    if options.only is not None:
        tally = run_cases([options.only], options.seed)
    else:
        tally = run_in_parts(options.count, options.seed, options.jobs)
    sys.stdout.write(report(tally, time.perf_counter() - start))
    sys.stdout.writelines(write_failures(tally.failures[:5], options.seed, options.out))
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
