"""``podfence test``: does the cluster keep what test files promise."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import click

from podfence.cli.common import (
    has_errors,
    keep_going_option,
    load_cluster,
    read_names,
    resolve_option,
    without_verdict,
)
from podfence.cli.inputs import Inputs, complete_files, input_options
from podfence.cli.outputs import Output, read_outputs, write_output
from podfence.cli.terminal import echo
from podfence.errors import PodfenceError, Position, Source
from podfence.manifests.load import Loaded
from podfence.manifests.testfiles import ReadTests, read_test_files
from podfence.policy.domains import Names
from podfence.questions.tests.judge import Status
from podfence.questions.tests.run import Found, Runs, chosen
from podfence.render.jsontext import json_text
from podfence.render.problems import problem_line
from podfence.render.verdicts import Locate

FORMATS = ("text", "json", "junit", "tap", "github")


@click.command("test")
@click.argument("files", metavar="FILE...", nargs=-1, shell_complete=complete_files)
@input_options
@click.option(
    "--run",
    "pattern",
    default="",
    metavar="REGEX",
    help="Only tests whose name holds this regular expression.",
)
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="Only tests with this tag. Repeatable."
)
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    default=("text",),
    metavar="FORMAT[=FILE]",
    help="text, json, junit, tap or github; with =FILE it is written to a file. Repeatable: "
    "-o text -o junit=out.xml. Without it: text.",
)
@click.option("--strict", is_flag=True, help="A test that proves little (PF506) fails.")
@resolve_option
@keep_going_option
def command(
    files: tuple[str, ...],
    inputs: Inputs,
    pattern: str,
    tags: tuple[str, ...],
    outputs: tuple[str, ...],
    strict: bool,
    resolve: str | None,
    keep_going: bool,
) -> int:
    """Judge whether the cluster keeps what test files promise.

    FILE is a file of kind PolicyTests, or a directory of them. Exit status 0: every test passed;
    1: one failed, or looked at nobody; 2: no test ran, a file is wrong, or part of the input
    cannot be judged.
    """
    if not files:
        raise click.UsageError("name at least one test file; podfence test --init NS writes one")
    if [*files, *inputs.paths].count("-") > 1:
        raise click.UsageError("standard input can be read once only")
    wanted = read_outputs(outputs, FORMATS)
    names = read_names(resolve, *files, *inputs.paths)
    tests = _read(files)
    loaded = load_cluster(inputs)
    found = _judged(tests, loaded, names, pattern, tags)
    _show(found, tests, loaded, wanted, strict=strict)
    return _status(found, loaded, strict=strict, keep_going=keep_going)


def _read(files: Sequence[str]) -> ReadTests:
    """The test files. Raises PodfenceError when one of them is wrong, after all was said."""
    tests = read_test_files(files, sys.stdin.buffer if "-" in files else None)
    for problem in tests.problems:
        echo(problem_line(problem, tests.positions.locate_problem(problem)), err=True)
    if has_errors(tests.problems):
        raise PodfenceError("no test was run; fix the test files", code="PF500")
    return tests


def _judged(
    tests: ReadTests, loaded: Loaded, names: Names, pattern: str, tags: Sequence[str]
) -> list[Found]:
    try:
        wanted = chosen(pattern, tags)
    except re.error as error:
        raise click.UsageError(f"--run {pattern!r} is no regular expression: {error}") from error
    return list(Runs(loaded.cluster, names).all(tests.files, wanted))


def _show(
    found: Sequence[Found],
    tests: ReadTests,
    loaded: Loaded,
    outputs: Sequence[Output],
    *,
    strict: bool,
) -> None:
    places = {file.source.file for file in tests.files}

    def locate(source: Source | None, path: str) -> Position | None:
        of_test = source is not None and source.file in places
        return (tests.positions.shown if of_test else loaded.locate)(source, path)

    for output in outputs:
        write_output(output, _text(found, locate, output.format, strict=strict))


def _text(found: Sequence[Found], locate: Locate, output: str, *, strict: bool) -> str:
    if output == "text":
        from podfence.render.tests_text import render_tests

        return render_tests(found, locate, strict=strict)
    from podfence.render import tests_formats as formats

    if output == "json":
        return f"{json_text(formats.results_data(found, locate))}\n"
    if output == "junit":
        from podfence.render.junit import junit_text

        return junit_text(formats.suites(found, locate, strict=strict))
    write = formats.tap_lines if output == "tap" else formats.annotations_of
    return "".join(f"{line}\n" for line in write(found, locate, strict=strict))


def _status(found: Sequence[Found], loaded: Loaded, *, strict: bool, keep_going: bool) -> int:
    results = [result for each in found for result in each.results]
    if not any(result.status is not Status.SKIPPED for result in results):
        echo("error[PF001]: no test was run", err=True)
        return 2
    open_ = any(result.status is Status.UNDECIDED for result in results)
    if open_:
        said = without_verdict(loaded, loaded.doubts)
        level = "warning" if keep_going else "error"
        echo(f"{level}[PF007]: some tests have no verdict: {said}", err=True)
    missing = has_errors(loaded.problems) and not loaded.doubts
    if (open_ or missing) and not keep_going:
        return 2
    wrong = (Status.FAILED, Status.VACUOUS)
    return int(any(r.status in wrong or (strict and r.weak) for r in results))
