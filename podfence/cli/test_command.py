"""``podfence test``: whether the cluster keeps what test files promise."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from podfence.cli.allcontexts import each_context
from podfence.cli.beside import known_entries
from podfence.cli.common import (
    asking,
    has_errors,
    keep_going_option,
    known_namespaces,
    lacks_files,
    load_cluster,
    read_names,
    require_stdin_once,
    resolve_option,
    watched_paths,
    without_verdict,
)
from podfence.cli.inputs import Inputs, complete_files, input_options
from podfence.cli.optionvalues import Number
from podfence.cli.outputs import outputs_option, read_outputs, write_outputs
from podfence.cli.settings import read_settings, settings_options
from podfence.cli.terminal import echo
from podfence.cli.testenvironments import (
    AskedTests,
    JudgedTests,
    environments_option,
    judged_in,
    packets_refuse,
    read_environments,
)
from podfence.cli.testincluster import Probing, probing_options
from podfence.cli.testinputs import read_tests
from podfence.errors import Locate, PodfenceError
from podfence.manifests.load import Loaded
from podfence.policy.domains import DomainTable
from podfence.questions.tests.form import PolicyTest
from podfence.questions.tests.judge import ResultStatus
from podfence.questions.tests.run import FileRunner, chosen
from podfence.render.jsontext import json_text
from podfence.render.tests_told import LAB, MODEL

if TYPE_CHECKING:
    from podfence.questions.tests.coverage import Coverage, Touching
    from podfence.questions.tests.mutation import Mutation

FORMATS = ("text", "json", "junit", "tap", "github", "sarif")


@click.command("test")
@click.argument("files", metavar="[FILE]...", nargs=-1, shell_complete=complete_files)
@each_context
@input_options
@click.option(
    "--run",
    "pattern",
    default="",
    metavar="REGEX",
    help="Only tests whose name matches this regular expression.",
)
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="Only tests with this tag. Repeatable."
)
@environments_option
@probing_options
@outputs_option(FORMATS)
@click.option(
    "--init",
    "first",
    metavar="NS",
    help="Write a test file that states what is true of this namespace now, for you to edit.",
)
@click.option(
    "--coverage",
    is_flag=True,
    help="Also show which rules of policies no test covers.",
)
@click.option(
    "--touched",
    type=Number(0, 100),
    metavar="PERCENT",
    help="With --coverage: fail when a smaller share of the rules is covered.",
)
@click.option(
    "--mutate",
    is_flag=True,
    help="Also make small mistakes in the policies, one at a time, and show which of them no test "
    "notices.",
)
@click.option(
    "--mutants",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    metavar="N",
    help="The most mistakes that are tried, spread evenly over all.",
)
@click.option(
    "--score",
    type=Number(0, 100),
    metavar="PERCENT",
    help="With --mutate: fail when a smaller share of the mistakes is noticed.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Run again whenever a test file or a manifest changes; Ctrl+C ends it.",
)
@click.option("--strict", is_flag=True, help="Fail tests that prove little (PF506).")
@settings_options
@resolve_option
@keep_going_option
def command(
    files: tuple[str, ...],
    inputs: Inputs,
    pattern: str,
    tags: tuple[str, ...],
    environments: str,
    probing: Probing,
    outputs: tuple[str, ...],
    first: str | None,
    coverage: bool,
    touched: float | None,
    mutate: bool,
    mutants: int,
    score: float | None,
    watch: bool,
    strict: bool,
    config: str | None,
    no_config: bool,
    resolve: str | None,
    keep_going: bool,
) -> int:
    """Judge whether the cluster keeps what test files promise.

    FILE is a file of kind PolicyTests, or a directory of them; without any, those that
    podfence.toml names. Its floors for --touched and --score count where the figure is asked for.
    Exit status 0: every test passed; 1: one failed, looked at nobody,
    or is about an entry of which the answer is unknown; 2: no test ran, a file is
    wrong, or part of the input cannot be judged.
    """
    if first is not None:
        if files:
            raise click.UsageError("--init writes a test file and reads none; drop one of the two")
        return _first(inputs, read_names(resolve, *inputs.paths), first)
    read = read_settings(config, none=no_config)
    settings = read.test
    files = files or settings.files
    if not files:
        raise click.UsageError("name at least one test file; podfence test --init NS writes one")
    require_stdin_once(*files, *inputs.paths)
    wanted = read_outputs(outputs, FORMATS)
    names = read_names(resolve, *files, *inputs.paths)
    if score is not None and not mutate:
        raise click.UsageError("--score is for mistakes; add --mutate")

    if touched is not None and not coverage:
        raise click.UsageError("--touched is for the coverage; add --coverage")
    where = read_environments(environments, inputs, probing)
    if MODEL not in where and (coverage or mutate):
        raise click.UsageError("--coverage and --mutate ask the model; add --in model")
    wanted_tests = _chosen(pattern, tags)
    floors = (
        settings.touched if touched is None else touched,
        settings.score if score is None else score,
    )

    def run() -> int:
        tests = read_tests(files)
        loaded = load_cluster(inputs)
        packets_refuse(loaded, where)
        controllers = read.cluster.controllers
        runs = FileRunner(loaded.cluster, names, partial(known_entries, loaded, controllers))
        touching = _touching(loaded) if coverage else None
        asked_tests = AskedTests(loaded, names, tests.files, wanted_tests)
        found = judged_in(where, asked_tests, runs, touching, inputs, probing)
        figures = Figures(
            touching.coverage() if touching is not None else None,
            runs.mutation(found.results, mutants) if mutate else None,
        )
        locate = tests.locating(loaded.locate)
        write_outputs(wanted, lambda form: _text(found, locate, form, figures, strict=strict))
        status = _status(found, loaded, strict=strict, keep_going=keep_going)
        return status or int(figures.are_below(*floors))

    if not watch:
        return run()
    if inputs.are_live or "-" in (*files, *inputs.paths):
        raise click.UsageError("--watch follows files; name them, and the manifests with -f")
    from podfence.cli.watching import again_and_again

    watched = (*files, *watched_paths(inputs))
    return again_and_again(run, watched, [each.file for each in wanted])


def _first(inputs: Inputs, names: DomainTable, namespace: str) -> int:
    """A first test file. Nothing is written while an object could not be read."""
    import yaml

    loaded = load_cluster(inputs, (namespace,))
    with asking(loaded, inputs):
        known_namespaces(loaded, (namespace,))
    if loaded.doubts:
        said = without_verdict(loaded, loaded.doubts)
        raise PodfenceError(f"no test file: {said}", code="PF007")
    found = FileRunner(loaded.cluster, names).first(namespace)
    if not found["tests"]:
        raise PodfenceError(
            f"no policy isolates anything in {namespace}, so there is nothing to test"
        )
    click.echo(yaml.safe_dump(found, sort_keys=False, width=100), nl=False)
    return 0


def _touching(loaded: Loaded) -> Touching:
    from podfence.questions.tests.coverage import Touching

    return Touching(loaded.cluster)


def _chosen(pattern: str, tags: Sequence[str]) -> Callable[[PolicyTest], bool]:
    try:
        return chosen(pattern, tags)
    except re.error as error:
        raise click.UsageError(f"--run {pattern!r} is not a regular expression: {error}") from error


def _text(
    found: JudgedTests, locate: Locate, output: str, figures: Figures, *, strict: bool
) -> str:
    if output == "text":
        text = _for_people(found, locate, strict=strict)
        return text + "".join(f"{line}\n" for line in figures.lines(locate))
    from podfence.render import tests_formats as formats

    if output == "json":
        return f"{json_text(_data(found, locate, figures.data(locate)))}\n"
    told = found.told(locate, strict=strict)
    if output == "junit":
        from podfence.render.junit import junit_text

        return junit_text(formats.suites(told, locate, figures.properties()))
    if output == "sarif":
        return f"{json_text(formats.sarif_of(told, locate))}\n"
    write = formats.tap_lines(told) if output == "tap" else formats.annotations_of(told, locate)
    return "".join(f"{line}\n" for line in write)


def _for_people(found: JudgedTests, locate: Locate, *, strict: bool) -> str:
    if not found.tried:
        from podfence.render.tests_text import render_tests

        return render_tests(found.results, locate, strict=strict)
    from podfence.render.lab_agreement import agreement_text
    from podfence.render.lab_tests import proved_text

    texts: list[str] = []
    for each in found.tried:
        if each.agreement is not None:
            texts += [agreement_text(each.agreement, locate, where=each.where, strict=strict)]
        else:
            texts += [f"in the {each.where}:\n"] if len(found.tried) > 1 else []
            texts += [proved_text(each.proved, locate)]
    return "".join(texts)


def _data(found: JudgedTests, locate: Locate, extra: dict[str, Any]) -> dict[str, Any]:
    from podfence.render import tests_formats as formats

    tests = [formats.test_data(r, locate) for each in found.results for r in each.results]
    where = [MODEL] if found.results else []
    for tried in found.tried:
        from podfence.render.lab_agreement import agreement_data
        from podfence.render.lab_tests import packets_data

        where.append(tried.where)
        tests += [{**packets_data(each, locate), "where": tried.where} for each in tried.proved]
        if tried.agreement is not None:
            name = "agreement" if tried.where == LAB else "agreementWithCluster"
            extra |= {name: agreement_data(tried.agreement, locate, tried.where)}
    return formats.results_data(tests, where, extra)


def _status(found: JudgedTests, loaded: Loaded, *, strict: bool, keep_going: bool) -> int:
    results = [result for each in found.results for result in each.results]
    if not found.ran:
        echo("error[PF001]: no test was run", err=True)
        return 2
    open_ = any(r.status is ResultStatus.UNDECIDED and not r.unknown for r in results)
    if open_:
        said = without_verdict(loaded, loaded.doubts)
        level = "warning" if keep_going else "error"
        echo(f"{level}[PF007]: some tests have no verdict: {said}", err=True)
    missing = has_errors(loaded.problems) and not loaded.doubts
    if lacks_files(loaded) or ((open_ or missing) and not keep_going):
        return 2
    wrong = (ResultStatus.FAILED, ResultStatus.VACUOUS)
    failed = int(any(r.status in wrong or r.unknown or (strict and r.weak) for r in results))
    return max(failed, *(each.status() for each in found.tried), 0)


# -- The figures of ``podfence test``: coverage, and mistakes that tests notice


class Figures(Struct, frozen=True):
    """A figure is None if it was not asked for."""

    coverage: Coverage | None = None
    mutation: Mutation | None = None

    def are_below(self, touched: float | None, score: float | None) -> bool:
        """Whether a figure is below its minimum. The exact fractions are compared, not the rounded
        figures."""
        shares: list[tuple[tuple[int, int], float]] = []
        if self.coverage is not None and touched is not None:
            shares.append((self.coverage.share, touched))
        if self.mutation is not None and score is not None:
            shares.append((self.mutation.score, score))
        return any(part * 100 < least * whole for (part, whole), least in shares)

    def lines(self, locate: Locate) -> Iterator[str]:
        """As text."""
        if self.coverage is None and self.mutation is None:
            return
        from podfence.render.tests_mutation import coverage_lines, mutation_lines

        if self.coverage is not None:
            yield from coverage_lines(self.coverage, locate)
        if self.mutation is not None:
            yield from mutation_lines(self.mutation, locate)

    def data(self, locate: Locate) -> dict[str, Any]:
        """As fields of the JSON answer."""
        from podfence.render.tests_mutation import coverage_data, mutation_data

        found = {} if self.mutation is None else mutation_data(self.mutation, locate)
        if self.coverage is not None:
            touched = coverage_data(self.coverage, locate)
            found["coverage"] = found.get("coverage", {}) | touched
        return found

    def properties(self) -> list[tuple[str, str]]:
        """As properties of a suite."""
        from podfence.render.tests_mutation import coverage_properties, mutation_properties

        found = [] if self.mutation is None else mutation_properties(self.mutation)
        more = [] if self.coverage is None else coverage_properties(self.coverage)
        return [*found, *(each for each in more if each not in found)]
