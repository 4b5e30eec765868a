"""Test files on the command line: reads them, and reports their errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from podfence.cli.common import has_errors
from podfence.cli.inputs import complete_files
from podfence.cli.terminal import echo
from podfence.errors import PodfenceError
from podfence.manifests.testfiles import ReadTests, read_test_files
from podfence.render.problems import problem_line

F = TypeVar("F", bound=Callable[..., object])


tests_option: Callable[[F], F] = click.option(
    "--tests",
    "tests",
    multiple=True,
    metavar="FILE|DIR",
    help="Test files, as for podfence test: the page also shows which of the tests pass. "
    "Repeatable.",
    shell_complete=complete_files,
)


def read_tests(files: Sequence[str], undone: str = "no test was run") -> ReadTests:
    """The test files. Raises PodfenceError when one of them is wrong, after all errors were shown.
    ``undone``: what does not happen then."""
    tests = read_test_files(files, sys.stdin.buffer if "-" in files else None)
    for problem in tests.problems:
        echo(problem_line(problem, tests.positions.locate_problem(problem)), err=True)
    if has_errors(tests.problems):
        raise PodfenceError(f"{undone}; fix the test files", code="PF500")
    return tests
