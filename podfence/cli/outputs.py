"""``-o FORMAT`` and ``-o FORMAT=FILE``, given several times: one run, several answers.

Rule: one answer at most goes to standard output; a file is there whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import click
from msgspec import Struct

from podfence.cli.terminal import echo

F = TypeVar("F", bound=Callable[..., Any])


def outputs_option(formats: Sequence[str], said: str = "") -> Callable[[F], F]:
    """``-o FORMAT[=FILE]``, repeatable: the parameter ``outputs``, for ``read_outputs``. ``said``:
    what else is to be known of formats."""
    words = f"{', '.join(formats[:-1])} or {formats[-1]}"
    return click.option(
        "-o",
        "--output",
        "outputs",
        multiple=True,
        default=formats[:1],
        metavar="FORMAT[=FILE]",
        help=f"{words}; with =FILE it is written to a file. Repeatable: -o {formats[0]} "
        f"-o {formats[-1]}=FILE. Without it: {formats[0]}.{said}",
    )


class Output(Struct, frozen=True):
    """``file`` "": standard output."""

    format: str
    file: str = ""


def read_outputs(words: Sequence[str], formats: Sequence[str]) -> tuple[Output, ...]:
    """What ``-o`` asks for. Raises UsageError for an unknown format."""
    found: list[Output] = []
    for word in words:
        name, _, file = word.partition("=")
        if name not in formats:
            raise click.UsageError(f"-o {word}: there are {', '.join(formats)}, each with =FILE")
        found.append(Output(name, file))
    if sum(not output.file for output in found) > 1:
        raise click.UsageError("-o: two formats cannot share standard output; give one a =FILE")
    return tuple(found)


def write_output(output: Output, text: str) -> None:
    """Raises UsageError for a file that cannot be written."""
    if not output.file:
        echo(text, nl=False)
        return
    made = f"{output.file}.{os.getpid()}.tmp"
    try:
        try:
            with open(made, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            os.replace(made, output.file)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(made)
    except OSError as error:
        raise click.UsageError(f"-o: cannot write {output.file}: {error.strerror}") from error
