"""Fuzzing that is led by coverage: every reader of ``tests/support/readers.py``, with atheris.

    pip install 'atheris>=3'
    python -m bench.readers --inputs 1000000 [--only NAME] [--seconds N] [--keep]

What a run learns stays in ``tests/fuzz/corpus`` with ``--keep``: a file for each reader, an input a
line, in base64; no more than KEPT lines, the short ones first. The tests put them through the
readers again. Each reader runs in a process of its own, with bounded memory and time.
Exit 0: no fault; 1: a fault, its input is printed; 2: atheris is not installed.
"""

from __future__ import annotations

import argparse
import base64
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
KEPT, LONGEST = 100, 400
"""Lines of a corpus file, and bytes of an input that is kept."""
_MEMORY, _SECONDS_OF_ONE = 1024, 20
"""MiB of a process; seconds that one input may take."""

# In the process that fuzzes: only what is imported in here is seen by the coverage.
_CHILD = """
import sys
import atheris
with atheris.instrument_imports(include=["podfence"]):
    from tests.support.readers import READERS, answers
name = sys.argv.pop(1)
reader = next(each for each in READERS if each.name == name)
atheris.Setup(sys.argv, lambda data: answers(reader, data) and None)
atheris.Fuzz()
"""


@dataclass(frozen=True)
class Run:
    """What became of a reader. ``fault``: the input, and what was raised; None: no fault. ``cpu``:
    seconds of a processor, those included in which the code was made ready to be watched."""

    name: str
    inputs: int
    edges: int
    cpu: float
    fault: tuple[bytes, str] | None = None


def corpus(name: str) -> list[bytes]:
    """What is kept of a reader."""
    file = CORPUS / f"{name}.txt"
    return [base64.b64decode(line) for line in file.read_text().split()] if file.is_file() else []


def kept(inputs: Iterable[bytes]) -> str:
    """A corpus file: the short ones first, each once."""
    chosen = sorted({each for each in inputs if len(each) <= LONGEST}, key=lambda x: (len(x), x))
    return "".join(f"{base64.b64encode(each).decode()}\n" for each in chosen[:KEPT])


def fuzz(name: str, start: Iterable[bytes], limits: Sequence[str], keep: bool) -> Run:
    """Fuzz one reader, from the inputs that are given."""
    with tempfile.TemporaryDirectory(prefix="podfence-fuzz-") as scratch:
        folder = Path(scratch) / "corpus"
        folder.mkdir()
        for number, data in enumerate(start):
            (folder / f"{number:06}").write_bytes(data)
        options = (*limits, f"-artifact_prefix={scratch}/", f"-rss_limit_mb={_MEMORY}")
        before = _children()
        words = (f"-timeout={_SECONDS_OF_ONE}", "-max_len=4096", "-print_final_stats=1")
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, name, str(folder), *options, *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if keep:
            CORPUS.mkdir(exist_ok=True)
            found = (file.read_bytes() for file in sorted(folder.iterdir()))
            (CORPUS / f"{name}.txt").write_text(kept([*corpus(name), *found]))
        faults = [
            file
            for file in sorted(Path(scratch).iterdir())
            if file.name.startswith(("crash-", "timeout-", "oom-", "leak-"))
        ]
        fault = (faults[0].read_bytes(), raised(done.stdout + done.stderr)) if faults else None
        if done.returncode and fault is None:
            raise RuntimeError(f"{name}: the fuzzer ended: {done.stderr[-2000:]}")
        return Run(name, *counted(done.stderr), _children() - before, fault)


def _children() -> float:
    """Seconds of a processor that processes of this one took, and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def counted(said: str) -> tuple[int, int]:
    """Inputs and edges, out of what libFuzzer prints."""
    inputs = re.findall(r"^stat::number_of_executed_units:\s*(\d+)", said, re.MULTILINE)
    inputs = inputs or re.findall(r"^#(\d+)\s", said, re.MULTILINE)
    edges = re.findall(r"^#\d+.* cov: (\d+)", said, re.MULTILINE)
    return int(inputs[-1]) if inputs else 0, int(edges[-1]) if edges else 0


def raised(said: str) -> str:
    """What Python raised, or how libFuzzer calls it: the last lines of it."""
    lines = said.splitlines()
    begins = [
        n for n, line in enumerate(lines) if "Traceback" in line or "ERROR: libFuzzer" in line
    ]
    return "\n".join(lines[begins[0] : begins[0] + 40]) if begins else "no traceback"


def report(runs: Sequence[Run]) -> Iterator[str]:
    """A table, then the faults."""
    yield f"{'reader':<18}{'inputs':>12}{'edges':>8}{'CPU s':>8}  fault"
    for run in runs:
        numbers = f"{run.inputs:>12,}{run.edges:>8,}{run.cpu:>8,.0f}"
        yield f"{run.name:<18}{numbers}  {'yes' if run.fault else 'none'}"
    cpu = sum(run.cpu for run in runs)
    yield f"{'all':<18}{sum(run.inputs for run in runs):>12,}{'':>8}{cpu:>8,.0f}"
    for run in runs:
        if run.fault:
            data, said = run.fault
            yield f"\n{run.name}: {base64.b64encode(data).decode()}\n{said}"


def main(given: Sequence[str] | None = None) -> int:
    """Fuzz, print; see the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m bench.readers", description="Fuzz readers.")
    parser.add_argument("--inputs", type=int, default=100_000, help="of each reader")
    parser.add_argument("--seconds", type=int, default=600, help="that each reader may take")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="NAME", help="readers whose name holds NAME")
    parser.add_argument("--keep", action="store_true", help="keep what was learnt")
    options = parser.parse_args(given)
    if find_spec("atheris") is None:
        print("atheris is not installed: pip install 'atheris>=3'", file=sys.stderr)
        return 2
    from tests.support.readers import READERS

    limits = [f"-runs={options.inputs}", f"-max_total_time={options.seconds}"]
    limits.append(f"-seed={options.seed}")
    runs = []
    for reader in READERS:
        if options.only in reader.name:
            start = [*reader.seeds(), *corpus(reader.name)]
            runs.append(fuzz(reader.name, start, limits, options.keep))
            print(f"{reader.name}: {runs[-1].inputs:,} inputs", file=sys.stderr, flush=True)
    print("\n".join(report(runs)))
    return 1 if any(run.fault for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
