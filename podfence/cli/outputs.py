"""``-o FORMAT`` and ``-o FORMAT=FILE``, repeatable: one run, several answers.

Rule: at most one answer goes to standard output. Either all files are written completely, or none
is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from msgspec import Struct

from podfence.cli.terminal import echo
from podfence.manifests.wholefiles import replace_whole

F = TypeVar("F", bound=Callable[..., Any])


def outputs_option(formats: Sequence[str], said: str = "") -> Callable[[F], F]:
    """``-o FORMAT[=FILE]``, repeatable: the parameter ``outputs``, for ``read_outputs``. ``said``:
    a remark about the formats for the help."""
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
    """What ``-o`` asks for; ``=-`` is standard output. Raises UsageError for an unknown format, and
    for two to one file."""
    found: list[Output] = []
    for word in words:
        name, is_named, file = word.partition("=")
        if name not in formats:
            raise click.UsageError(f"-o {word}: there are {', '.join(formats)}, each with =FILE")
        if is_named and not file:
            raise click.UsageError(f"-o {word} names no file; -o {name} prints it")
        found.append(Output(name, "" if file == "-" else file))
    named = Counter(os.path.realpath(output.file) for output in found if output.file)
    for output in found:
        if output.file and named[os.path.realpath(output.file)] > 1:
            said = f"two formats cannot share {output.file}; name a file for each"
            raise click.UsageError(f"-o: {said}")
    if sum(not output.file for output in found) > 1:
        raise click.UsageError("-o: two formats cannot share standard output; give one a =FILE")
    return tuple(found)


def require_writable(option: str, files: Iterable[str]) -> None:
    """Before other files are edited. Raises UsageError for a file in a directory that does not
    exist or that nobody may write to, and for a directory."""
    for file in filter(None, files):
        real = os.path.realpath(file)
        folder = os.path.dirname(real)
        if os.path.isdir(real):
            raise click.UsageError(f"{option}: cannot write {file}: it is a directory")
        if not os.path.isdir(folder):
            raise click.UsageError(f"{option}: cannot write {file}: there is no {folder}")
        if not os.access(folder, os.W_OK) and not os.access(real, os.W_OK):
            raise click.UsageError(f"{option}: cannot write {file}: {folder} is write-protected")


def write_outputs(outputs: Sequence[Output], text: Callable[[str], str]) -> None:
    """Write the answer in each format. ``text``: makes the answer in one format. Raises UsageError
    for a file that cannot be written; then none is."""
    texts = [(output.file, text(output.format)) for output in outputs]
    files = {file: said.encode("utf-8", "backslashreplace") for file, said in texts if file}
    try:
        replace_whole(files)
    except OSError as error:
        raise click.UsageError(f"-o: cannot write {error.filename}: {error.strerror}") from error
    for file, said in texts:
        if not file:
            echo(said, nl=False)
