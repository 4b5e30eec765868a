"""Many processes find what one finds, and a failure is written down."""

from __future__ import annotations

from pathlib import Path

from bench.fuzz import report, run_in_parts, write_failures
from tests.support.fuzzing import Failure, run_cases
from tests.support.mutations import case, seeds


def test_workers_find_what_one_process_finds() -> None:
    together, apart = run_cases(range(20), 3), run_in_parts(20, seed=3, jobs=1)
    assert (together.cases, together.codes) == (apart.cases, apart.codes)


def test_a_failure_is_written_down_and_counted(tmp_path: Path) -> None:
    failure = Failure(3, "traceback", "ValueError\n")
    [said] = write_failures([failure], 0, tmp_path)
    path = tmp_path / "fuzz-0-3.yaml"
    assert path.read_bytes() == case(seeds(), 0, 3)
    assert str(path) in said

    tally = run_cases([], 0)
    tally.failures.append(failure)
    assert "tracebacks                                  1" in report(tally, 1.0)
