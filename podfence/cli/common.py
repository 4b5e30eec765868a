"""What the commands share: options, loading, problems on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from podfence.errors import PodfenceError, Problem, Severity, UnknownObject
from podfence.manifests.load import EVERY_NAMESPACE, Loaded, load
from podfence.policy.domains import NO_NAMES, Names
from podfence.render.problems import problem_line
from podfence.text import printable

F = TypeVar("F", bound=Callable[..., Any])


def files_option(function: F) -> F:
    """``-f FILE|DIR|-``, repeatable."""
    return click.option(
        "-f",
        "--filename",
        "paths",
        multiple=True,
        required=True,
        metavar="FILE|DIR|-",
        help="Manifests: a file, a directory (with everything below it), or - for standard input. "
        "May be given more than once.",
    )(function)


def keep_going_option(function: F) -> F:
    """``--keep-going``."""
    return click.option(
        "--keep-going",
        is_flag=True,
        help="Answer even where a policy could not be read, as if it did not exist.",
    )(function)


def namespace_option(function: F) -> F:
    """``-n NAMESPACE``."""
    return click.option(
        "-n", "--namespace", metavar="NAME", help="Namespace of names given without one."
    )(function)


def output_option(function: F) -> F:
    """``-o text|json``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(("text", "json")),
        default="text",
        show_default=True,
        help="Text for people, or JSON for programs (schemas are under docs/schemas).",
    )(function)


def resolve_option(function: F) -> F:
    """``--resolve FILE``."""
    return click.option(
        "--resolve",
        metavar="FILE|-",
        help="What the domainNames of policies stand for: a line a name, with its addresses, or a "
        "YAML or JSON mapping from names to lists of addresses.",
    )(function)


def read_names(path: str | None, *others: str | None) -> Names:
    """The table of ``--resolve``; ``others``: what else may be standard input.

    Raises PodfenceError when it cannot be used, after all its problems were shown.
    """
    if path is None:
        return NO_NAMES
    if path == "-" and "-" in others:
        raise click.UsageError("standard input cannot be both the names and something else")
    from podfence.manifests.domaintable import read_name_table

    table = read_name_table(path, sys.stdin.buffer if path == "-" else None)
    for problem in table.problems:
        click.echo(problem_line(problem, problem.position), err=True)
    if table.problems:
        raise PodfenceError("the table of --resolve cannot be used; mend it", code="PF111")
    return table.names


def load_cluster(paths: tuple[str, ...], *, keep_going: bool = True) -> Loaded:
    """Read manifests and show every problem on standard error.

    Raises PodfenceError when nothing at all could be read.
    """
    loaded = load(paths, stdin=sys.stdin.buffer if "-" in paths else None)
    show_problems(loaded)
    if not loaded.documents and loaded.errors:
        raise PodfenceError("nothing could be read", code="PF006")
    if keep_going and loaded.unreadable_policies:
        click.echo(
            "warning: answers ignore the policies that could not be read (--keep-going)", err=True
        )
    return loaded


def show_problems(loaded: Loaded) -> None:
    """All problems, then what was passed over, on standard error."""
    for problem in loaded.problems:
        click.echo(describe_problem(loaded, problem), err=True)
    if loaded.passed_over:
        kinds = ", ".join(f"{n} {printable(k)}" for k, n in sorted(loaded.passed_over.items()))
        click.echo(f"passed over (no part in network policy): {kinds}", err=True)


def describe_problem(loaded: Loaded, problem: Problem) -> str:
    """One problem as one line."""
    position = loaded.positions.locate_problem(problem)
    return problem_line(problem, position)


def unjudgeable(loaded: Loaded, *, keep_going: bool) -> frozenset[str]:
    """Namespaces without a verdict; all of them when an unreadable policy may be of any."""
    if keep_going:
        return frozenset()
    if EVERY_NAMESPACE in loaded.unreadable_policies:
        return frozenset(loaded.cluster.namespaces)
    return loaded.unreadable_policies


def refuse(namespaces: frozenset[str]) -> str:
    """Why there is no verdict for these namespaces, in one sentence."""
    names = ", ".join(map(printable, sorted(namespaces)[:5]))
    more = f" and {len(namespaces) - 5} more" if len(namespaces) > 5 else ""
    return (
        f"no verdict for namespace {names}{more}: a policy that concerns it could not be read; "
        "mend that policy, or say --keep-going to answer without it"
    )


def known_namespaces(loaded: Loaded, asked: Iterable[str]) -> None:
    """Raises UnknownObject for a namespace that no object of the input is in."""
    for name in asked:
        if name not in loaded.cluster.namespaces:
            known = ", ".join(sorted(loaded.cluster.namespaces)[:10])
            raise UnknownObject(f"there is no namespace {name!r}; the input has: {known or 'none'}")


def has_errors(problems: tuple[Problem, ...]) -> bool:
    """Whether any of them is more than a warning."""
    return any(p.severity is Severity.ERROR for p in problems)
