"""``--all-contexts``: one question to the cluster of every context of the kubeconfig.

Rule: one context after another, each answer under its context's name. A cluster that cannot be
asked is said and does not hold up the others; the exit status is that of the worst answer.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final

import click
import msgspec

from podfence.cli.terminal import echo
from podfence.errors import ClusterError, PodfenceError
from podfence.render.jsontext import json_text
from podfence.text import printable

_FOR_PEOPLE: Final = frozenset({"text", "table", "wide", "matrix"})


def each_context(function: Callable[..., int]) -> Callable[..., int]:
    """``--all-contexts`` of a command whose options are those of ``input_options``."""

    @click.option(
        "--all-contexts",
        "every",
        is_flag=True,
        help="Ask the cluster of every context of the kubeconfig, one after another (text and "
        "JSON).",
    )
    @wraps(function)
    def command(*args: Any, every: bool, **options: Any) -> int:
        if not every:
            return function(*args, **options)
        _require_clusters(options)
        names = _contexts(options.get("kubeconfig"))

        def ask(name: str) -> int:
            return function(*args, **{**options, "context": name})

        return _as_data(names, ask) if _format(options) == "json" else _for_people(names, ask)

    return command


def _require_clusters(options: dict[str, Any]) -> None:
    """Raises UsageError where something is asked that is not about each cluster."""
    if options.get("paths"):
        raise click.UsageError(
            "-f reads files and --all-contexts asks clusters; drop one of the two"
        )
    if options.get("context") is not None:
        raise click.UsageError("--context is one of them; drop it or --all-contexts")
    if _format(options) not in {*_FOR_PEOPLE, "json"}:
        raise click.UsageError("--all-contexts answers in text or JSON, on standard output")


def _format(options: dict[str, Any]) -> str:
    """The form of the answer; "" for one that does not go to standard output, or not alone."""
    several = options.get("outputs")
    if several is None:
        return str(options.get("output", "text"))
    return str(several[0]) if len(several) == 1 and "=" not in several[0] else ""


def _contexts(kubeconfig: str | None) -> Sequence[str]:
    """Raises ClusterError where there is none."""
    from podfence.cli.live import context_names

    names = context_names(kubeconfig)
    if not names:
        raise ClusterError("no kubeconfig with a context was found, so there is no cluster to ask")
    return names


def _for_people(names: Sequence[str], ask: Callable[[str], int]) -> int:
    worst = 0
    for number, name in enumerate(names):
        echo(("\n" if number else "") + f"== {printable(name)}")
        try:
            worst = max(worst, ask(name))
        except PodfenceError as error:
            echo(f"error[{error.code}]: {printable(name)}: {error.message}", err=True)
            worst = 2
    return worst


def _as_data(names: Sequence[str], ask: Callable[[str], int]) -> int:
    """One document for all; what commands print is taken as it is."""
    worst = 0
    answers: list[dict[str, object]] = []
    for name in names:
        data = io.BytesIO()
        printed = io.TextIOWrapper(data, encoding="utf-8")
        answer: dict[str, object] = {"context": name}
        try:
            with contextlib.redirect_stdout(printed):
                answer["status"] = ask(name)
            printed.flush()
            if text := data.getvalue().strip():
                answer["answer"] = msgspec.json.decode(text)
        except PodfenceError as error:
            echo(f"error[{error.code}]: {printable(name)}: {error.message}", err=True)
            answer |= {"status": 2, "error": {"code": error.code, "message": error.message}}
        worst = max(worst, int(str(answer["status"])))
        answers.append(answer)
    click.echo(json_text({"schema": "podfence.contexts/v1", "contexts": answers}))
    return worst
