"""Edited manifests: shown as a difference, and written to their files.

Rule: all files are written, or none is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from difflib import unified_diff

from podfence.cli.terminal import echo
from podfence.errors import PodfenceError
from podfence.manifests.wholefiles import ReadOnlyFile, replace_whole
from podfence.manifests.yamledit import CannotEdit
from podfence.text import printable


def show_diff(texts: Mapping[str, tuple[str, str]]) -> None:
    """Print old and new texts by file as a unified difference."""
    for file, (before, after) in sorted(texts.items()):
        lines = unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            f"a/{file.lstrip('/')}",
            f"b/{file.lstrip('/')}",
        )
        for line in lines:
            echo("\t".join(map(printable, line.rstrip("\n").split("\t"))))
            if not line.endswith("\n"):
                echo("\\ No newline at end of file")


def require_as_read(texts: Mapping[str, tuple[str, str]]) -> None:
    """Raises CannotEdit for a file that has changed since it was read."""
    for file, (before, _) in texts.items():
        with suppress(OSError):
            if not _holds(file, before):
                raise CannotEdit(
                    "the file has unusual line ends, a byte order mark or another encoding, or "
                    "was changed meanwhile; edit it by hand"
                )


def write_edits(texts: Mapping[str, tuple[str, str]], option: str) -> None:
    """Replace the files, all or none.

    Raises PodfenceError where that is not possible, for a file that has changed since it was read,
    and for a write-protected file. ``option``: the option that asked for it.
    """

    def confirm() -> None:
        for file, (before, _) in texts.items():
            if not _holds(file, before):
                said = f"{printable(file)} was changed meanwhile; run it again"
                raise PodfenceError(f"{option}: {said}")

    try:
        replace_whole({file: after.encode() for file, (_, after) in texts.items()}, confirm)
    except ReadOnlyFile as error:
        named = printable(str(error.filename))
        said = f"{named} is write-protected (mode {error.mode:04o}); chmod u+w it first"
        raise PodfenceError(f"{option}: nothing was changed: {said}") from error
    except OSError as error:
        said = f"{error.strerror}: {printable(str(error.filename))}"
        raise PodfenceError(f"{option}: nothing was changed: {said}") from error


def _holds(file: str, text: str) -> bool:
    """Whether a file has exactly the bytes of a text. Raises OSError."""
    with open(file, "rb") as stream:
        return stream.read() == text.encode()
