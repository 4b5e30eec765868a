"""Test files on the command line: read, and what is wrong with them is said."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from podfence.cli.common import has_errors
from podfence.cli.terminal import echo
from podfence.errors import PodfenceError
from podfence.manifests.testfiles import ReadTests, read_test_files
from podfence.render.problems import problem_line


def read_tests(files: Sequence[str]) -> ReadTests:
    """The test files. Raises PodfenceError when one of them is wrong, after all was said."""
    tests = read_test_files(files, sys.stdin.buffer if "-" in files else None)
    for problem in tests.problems:
        echo(problem_line(problem, tests.positions.locate_problem(problem)), err=True)
    if has_errors(tests.problems):
        raise PodfenceError("no test was run; fix the test files", code="PF500")
    return tests
