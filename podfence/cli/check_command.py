"""``podfence check``: what the API server would refuse, with file:line:col."""

from __future__ import annotations

import sys

import click

from podfence.cli.common import describe_problem, files_option, output_option
from podfence.edge.load import Loaded, load
from podfence.errors import Severity
from podfence.render.jsontext import json_text
from podfence.render.problems import problem_data
from podfence.render.safe import printable


@click.command("check")
@files_option
@output_option
def command(paths: tuple[str, ...], output: str) -> int:
    """Validate manifests as the API server would, all errors at once.

    NetworkPolicies are checked field by field; of other kinds, what podfence reads of them. Exit
    status 1 when there is an error; warnings alone are fine.
    """
    loaded = load(paths, stdin=sys.stdin.buffer if "-" in paths else None)
    if output == "json":
        click.echo(json_text(_data(loaded)))
    else:
        for problem in loaded.problems:
            click.echo(describe_problem(loaded, problem))
        click.echo(_summary(loaded))
    return 1 if loaded.errors else 0


def _data(loaded: Loaded) -> dict[str, object]:
    return {
        "schema": "podfence.check/v1",
        "ok": not loaded.errors,
        "problems": [
            problem_data(p, p.position or loaded.locate(p.source, p.path)) for p in loaded.problems
        ],
        "objects": dict(loaded.kinds),
        "passedOver": dict(loaded.passed_over),
    }


def _summary(loaded: Loaded) -> str:
    warnings = sum(p.severity is Severity.WARNING for p in loaded.problems)
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(loaded.kinds.items())) or "no object"
    words = [f"{_count(loaded.files, 'file')}: {kinds}"]
    if loaded.passed_over:
        others = ", ".join(f"{n} {printable(k)}" for k, n in sorted(loaded.passed_over.items()))
        words.append(f"passed over: {others}")
    words.append(f"{_count(len(loaded.errors), 'error')}, {_count(warnings, 'warning')}")
    return "; ".join(words)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
