"""Mutated manifests through everything that reads them: no traceback, no hang, bounded memory.

    python bench/fuzz.py --count 100000 --seed 1 --jobs 2

Rule: ``--only NUMBER`` runs one case of a seed again.
Exit 0: all clean; 1: a violation, its input is written to a file and its reason printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.fuzzing import CASE_SECONDS, Failure, Tally, run_cases
from tests.support.mutations import case, seeds

ADDRESS_SPACE = 1 << 30
"""Bytes that a worker may map beyond what it inherits; a case that wants more gets a MemoryError,
which is a violation."""

CHUNK = 250


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


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
