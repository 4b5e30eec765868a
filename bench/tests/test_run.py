"""The benchmark itself: what it measures, what it writes."""

from __future__ import annotations

import sys

import pytest

from bench.run import BEGIN, END, Row, Sample, line, main, repeated, run, written

PYTHON = sys.executable


@pytest.mark.parametrize("status", [0, 1, 3])
def test_the_exit_status_of_a_command_is_kept(status: int) -> None:
    assert run([PYTHON, "-c", f"raise SystemExit({status})"]).status == status


def test_a_process_takes_time_and_memory() -> None:
    sample = run([PYTHON, "-c", "pass"])
    assert sample.wall > 0
    assert sample.memory > 1


@pytest.mark.parametrize("runs", [1, 2])
def test_a_row_is_measured_as_often_as_asked(runs: int) -> None:
    samples, yards = repeated([PYTHON, "-c", "pass"], runs)
    assert len(samples) == len(yards) == runs


def test_the_yardstick_is_more_work_than_nothing() -> None:
    (nothing,), (yard,) = repeated([PYTHON, "-c", "pass"], 1)
    assert (nothing.status, yard.status) == (0, 0)
    assert yard.cpu > nothing.cpu


def test_a_line_shows_medians_and_the_largest_memory() -> None:
    samples = [Sample(1.0, 0.5, 10, 0), Sample(3.0, 1.5, 30, 0), Sample(2.0, 1.0, 20, 0)]
    row = Row("map", tuple, "< 5 s", amount=100)
    yards = [Sample(1.0, each, 10, 0) for each in (0.7, 0.8, 0.9)]
    shown = "| map | < 5 s | 2.00 s | 1.00 s | 1.25 Y | 30 MiB | 50/s | 3 |"
    assert line(row, samples, yards) == shown


def test_a_command_that_failed_has_no_time() -> None:
    assert "FAILED: exit 2" in line(Row("map", tuple), [Sample(1, 1, 1, 2)], [Sample(1, 1, 1, 0)])


def test_an_expected_status_is_no_failure() -> None:
    row = Row("why", tuple, statuses=(0, 1))
    assert "FAILED" not in line(row, [Sample(1, 1, 1, 1)], [Sample(1, 1, 1, 0)])


def test_the_table_stands_between_its_markers() -> None:
    assert written(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"


@pytest.mark.parametrize("text", ["", BEGIN, END])
def test_a_table_without_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no markers"):
        written(text, "new")


def test_one_row_is_printed_with_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "no such row"]) == 0
    assert "Python" in capsys.readouterr().out
