"""Options, loading and problems on standard error, shared by the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click
from msgspec.structs import replace

from podfence.cli.inputs import Inputs, RenderMode, complete_files
from podfence.cli.terminal import echo
from podfence.errors import PodfenceError, Problem, Severity, UnknownObject, UnreadObject
from podfence.manifests.inputfiles import InputFile, SkippedLink, is_chart, sources_of
from podfence.manifests.inputfiles import read_inputs as read_files
from podfence.manifests.load import Loaded, load_files
from podfence.model.doubt import Doubt
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.questions.phrases.words import some
from podfence.render.problems import problem_line
from podfence.text import printable

if TYPE_CHECKING:
    from podfence.intake.documents import DecodedDocuments
    from podfence.kube.snapshot import Tell
    from podfence.questions.can import CanAnswer

F = TypeVar("F", bound=Callable[..., Any])


def keep_going_option(function: F) -> F:
    """``--keep-going``."""
    return click.option(
        "--keep-going",
        is_flag=True,
        help="Leave out the verdicts that an unreadable object could change, and do not fail "
        "because of it. A file that cannot be read at all is still exit status 2.",
    )(function)


def output_option(function: F) -> F:
    """``-o text|json``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(("text", "json")),
        default="text",
        show_default=True,
        help="Text for people, or JSON for programs (schemas: podfence schema).",
    )(function)


def resolve_option(function: F) -> F:
    """``--resolve FILE``."""
    return click.option(
        "--resolve",
        metavar="FILE|-",
        shell_complete=complete_files,
        help="Addresses of the domain names in policies: on each line a name, then its addresses; "
        "or a YAML or JSON mapping from names to lists of addresses.",
    )(function)


def require_stdin_once(*paths: str) -> None:
    """Raises UsageError where standard input is named twice. ``paths``: everything that is read."""
    if paths.count("-") > 1:
        raise click.UsageError("standard input can be read only once")


def strict_option(function: F) -> F:
    """``--strict`` about policies of other APIs."""
    return click.option(
        "--strict",
        is_flag=True,
        help="Exit status 2 where policies of other APIs, which are not judged, may decide too.",
    )(function)


def read_names(path: str | None, *others: str | None) -> DomainTable:
    """The table of ``--resolve``; ``others``: other paths that may be standard input.

    Raises PodfenceError when it cannot be used, after its problems were shown.
    """
    if path is None:
        return NO_NAMES
    if path == "-" and "-" in others:
        raise click.UsageError("standard input cannot be both the names and something else")
    from podfence.manifests.domaintable import read_name_table

    table = read_name_table(path, sys.stdin.buffer if path == "-" else None)
    for problem in table.problems:
        echo(problem_line(problem, problem.position), err=True)
    if table.problems:
        raise PodfenceError("the table of --resolve cannot be used; fix it", code="PF111")
    return table.names


def read_inputs(
    inputs: Inputs,
    about: Iterable[str] = (),
    *,
    policies_of: tuple[str, ...] | None = None,
    kept: DecodedDocuments | None = None,
    stdin: BinaryIO | None = None,
    other_side: Iterable[str] = (),
    tell: Tell | None = None,
) -> Loaded:
    """Read manifests or a cluster; the result holds the problems.

    ``about``: the namespaces that the command is about; where a cluster may not be read whole, only
    these are read. ``policies_of``: the namespaces whose NetworkPolicies suffice, None for all.
    ``kept``: results of reading another version, to be used again. ``other_side``: paths of another
    reading with the same options. ``tell``: is told how many objects of a cluster were listed.
    Raises ClusterError when a cluster cannot be asked, RenderError,
    and UsageError as ``require_charts``.
    """
    if inputs.are_live:
        from podfence.cli.live import load_live

        return load_live(inputs, about, policies_of=policies_of, tell=tell)
    require_charts(inputs, other_side)
    if stdin is None and "-" in inputs.paths:
        stdin = sys.stdin.buffer
    return load_files(
        input_files(inputs, stdin),
        inputs.paths,
        namespace=inputs.namespace,
        strict_cidrs=inputs.strict_cidrs,
        kept=kept,
    )


def input_files(inputs: Inputs, stdin: BinaryIO | None) -> Iterable[InputFile | SkippedLink]:
    """The files of an input, rendered where that is asked for. Raises RenderError."""
    if not renders(inputs):
        return read_files(inputs.paths, stdin, inputs.exclude)
    from podfence.cli.rendering import rendered_files

    return rendered_files(inputs, stdin)


def renders(inputs: Inputs) -> bool:
    """Whether reading may start a program."""
    mode = inputs.rendering.mode
    named = mode is RenderMode.AUTO and any(map(sources_of, inputs.paths))
    return named or mode is RenderMode.ALWAYS


def require_charts(inputs: Inputs, other_side: Iterable[str] = ()) -> None:
    """Raises UsageError for options of charts where no path names a chart. ``other_side``: paths
    that are read with the same options."""
    rendering = inputs.rendering
    if not rendering.is_of_charts or rendering.mode is RenderMode.ALWAYS:
        return
    named = (each for path in (*inputs.paths, *other_side) for each in sources_of(path))
    if rendering.mode is RenderMode.NEVER or not any(map(is_chart, named)):
        raise click.UsageError(
            "--values, --set, --release and --api-versions are for charts: name a Chart.yaml or "
            "the directory that holds it, or use --render always"
        )


def watched_paths(inputs: Inputs) -> tuple[str, ...]:
    """Where a change of a file changes the input: the paths, and what is rendered for them."""
    if not renders(inputs):
        return inputs.paths
    from podfence.cli.rendering import rendered_from

    return (*inputs.paths, *rendered_from(inputs))


def load_cluster(
    inputs: Inputs, about: Iterable[str] = (), policies_of: tuple[str, ...] | None = None
) -> Loaded:
    """Read manifests or a cluster and show every problem on standard error. The arguments are those
    of ``read_inputs``. Raises PodfenceError when nothing could be read."""
    return usable(read_inputs(inputs, about, policies_of=policies_of))


def usable(loaded: Loaded, told: set[str] | None = None) -> Loaded:
    """The input, after every problem was shown. ``told``: lines that were shown before and are not
    repeated. Raises PodfenceError when nothing could be read."""
    show_problems(loaded, set() if told is None else told)
    if not loaded.documents and loaded.errors:
        raise PodfenceError("nothing could be read", code="PF006")
    return loaded


def show_problems(loaded: Loaded, told: set[str]) -> None:
    """Show all problems, then the kinds that were ignored, on standard error, without the lines of
    ``told``."""
    before = frozenset(told)
    for line in _problem_lines(loaded):
        if line not in before:
            echo(line, err=True)
        told.add(line)


def _problem_lines(loaded: Loaded) -> Iterator[str]:
    for problem in loaded.problems:
        yield describe_problem(loaded, as_verdicts_see_it(problem))
    if loaded.passed_over:
        kinds = ", ".join(f"{n} {printable(k)}" for k, n in sorted(loaded.passed_over.items()))
        yield f"ignored (no part in network policy): {kinds}"


def describe_problem(loaded: Loaded, problem: Problem) -> str:
    """One problem as one line."""
    position = loaded.positions.locate_problem(problem)
    return problem_line(problem, position)


def as_verdicts_see_it(problem: Problem) -> Problem:
    """An object that a server refuses, but whose meaning is clear, is only a warning where verdicts
    are given."""
    return replace(problem, severity=Severity.WARNING) if problem.refused_only else problem


SHOWN_DOUBTS = 3


def without_verdict(loaded: Loaded, doubts: Sequence[Doubt]) -> str:
    """Which objects leave a verdict open, with their positions, in one sentence."""
    unlisted = [doubt for doubt in doubts if doubt.listed_in is not None]
    unread = [doubt for doubt in doubts if doubt.listed_in is None and not doubt.pods]
    said = []
    if unread:
        them = "it" if len(unread) == 1 else "them"
        said.append(f"{_some(loaded, unread)} could not be read and could change this; fix {them}")
    if unlisted:
        listed = some([printable(str(doubt)) for doubt in unlisted], len(unlisted))
        said.append(
            f"{listed} could change this, and cannot be listed (PF117 names the missing RBAC rule)"
        )
    if not said:
        asks = (
            f"{('selects' if len(doubts) == 1 else 'select')} by labels that only running pods have"
        )
        what = _some(loaded, doubts)
        return f"{what} {asks} and could change this; use labels of the pod template"
    return "; ".join(said)


def _some(loaded: Loaded, doubts: Sequence[Doubt]) -> str:
    lost = {
        each.source.file for each in loaded.problems if each.code in FILE_UNREAD and each.source
    }
    said = [
        printable(doubt.source.file)
        if doubt.source is not None and doubt.source.file in lost
        else f"{printable(str(doubt))}{_position(loaded, doubt)}"
        for doubt in doubts
    ]
    return some(said, SHOWN_DOUBTS)


def _position(loaded: Loaded, doubt: Doubt) -> str:
    position = loaded.locate(doubt.source, doubt.path)
    return f" ({printable(str(position))})" if position else ""


def require_certain(loaded: Loaded, answer: CanAnswer) -> None:
    """Raises PodfenceError when an object that could not be read could change the answer."""
    if answer.doubts:
        text = f"no verdict: {without_verdict(loaded, answer.doubts)}"
        raise PodfenceError(text, code="PF007")


def known_namespaces(loaded: Loaded, asked: Iterable[str]) -> None:
    """Raises UnknownObject for a namespace that no object of the input is in."""
    for name in asked:
        if name not in loaded.cluster.namespaces:
            known = ", ".join(sorted(loaded.cluster.namespaces)[:10])
            what = "cluster" if loaded.live else "input"
            raise UnknownObject(
                f"there is no namespace {name!r}; the {what} has: {known or 'none'}"
            )


@contextmanager
def asking(loaded: Loaded, inputs: Inputs) -> Iterator[None]:
    """Adds hints to lookups that fail: a missing name may exist in another namespace, or its object
    could not be read."""
    try:
        yield
    except UnreadObject as error:
        position = loaded.locate(error.source, error.path)
        if position is None:
            raise
        raise UnknownObject(f"{error.message} ({printable(str(position))})") from error
    except UnknownObject as error:
        if inputs.namespace is not None or not loaded.without_namespace:
            raise
        hint = (
            f"objects of the input without a namespace ({loaded.without_namespace}) are in "
            f"{DEFAULT_NAMESPACE}; --input-namespace NAME puts them in another"
        )
        raise UnknownObject(f"{error.message}; {hint}") from error


FILE_UNREAD = frozenset({"PF106"})
"""Codes of files that could not be read at all: nothing is known of what they hold."""


def lacks_files(loaded: Loaded) -> bool:
    """Whether a whole file could not be read. A command ends with 2 then, also if it is to keep
    going: no green answer lacks a file that somebody named."""
    return any(problem.code in FILE_UNREAD for problem in loaded.problems)


def lacks_input(loaded: Loaded, *, keep_going: bool) -> bool:
    """Whether a command ends with 2 because of what could not be read: of a whole file always, of
    an object unless it is to keep going."""
    unread = bool(loaded.doubts) or has_errors(loaded.problems)
    return lacks_files(loaded) or (unread and not keep_going)


def has_errors(problems: tuple[Problem, ...]) -> bool:
    """Whether one of the problems is an error where verdicts are given."""
    return any(p.severity is Severity.ERROR and not p.refused_only for p in problems)
