"""Edited manifests: shown as a difference, and written to their files.

Rule: all files are written, or none is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from difflib import unified_diff

from msgspec import Struct

from podfence.cli.terminal import echo
from podfence.errors import PodfenceError
from podfence.manifests.inputfiles import encoding_of
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
            if _form_of(_bytes_of(file), before) is None:
                raise CannotEdit(
                    "the file has line ends of several kinds, or was changed meanwhile; edit it "
                    "by hand"
                )


def line_end_of(file: str, text: str) -> str:
    """How the lines of a file end that was read as this text: ``\\r\\n`` or ``\\n``."""
    with suppress(OSError):
        form = _form_of(_bytes_of(file), text)
        if form is not None:
            return form.newline
    return "\n"


def write_edits(texts: Mapping[str, tuple[str, str]], option: str) -> None:
    """Replace the files, all or none.

    Raises PodfenceError where that is not possible, for a file that has changed since it was read,
    and for a write-protected file. ``option``: the option that asked for it.
    """

    before: dict[str, bytes] = {}

    def changed(file: str) -> PodfenceError:
        return PodfenceError(f"{option}: {printable(file)} was changed meanwhile; run it again")

    def written(file: str, old: str, new: str) -> bytes:
        before[file] = _bytes_of(file)
        form = _form_of(before[file], old)
        if form is None:
            raise changed(file)
        return form.bytes_of(new)

    def confirm() -> None:
        for file, data in before.items():
            if _bytes_of(file) != data:
                raise changed(file)

    try:
        replace_whole({file: written(file, *both) for file, both in texts.items()}, confirm)
    except ReadOnlyFile as error:
        named = printable(str(error.filename))
        said = f"{named} is write-protected (mode {error.mode:04o}); chmod u+w it first"
        raise PodfenceError(f"{option}: nothing was changed: {said}") from error
    except OSError as error:
        said = f"{error.strerror}: {printable(str(error.filename))}"
        raise PodfenceError(f"{option}: nothing was changed: {said}") from error


class _TextFormat(Struct, frozen=True):
    """How a file writes its text, which stays as it is: ``mark`` is its byte order mark."""

    mark: bytes
    encoding: str
    newline: str

    def bytes_of(self, text: str) -> bytes:
        return self.mark + text.replace("\n", self.newline).encode(self.encoding)


def _form_of(data: bytes, text: str) -> _TextFormat | None:
    """The form in which a text is written as these bytes; None where there is none."""
    mark, encoding = encoding_of(data)
    forms = (_TextFormat(mark, encoding, newline) for newline in ("\n", "\r\n"))
    return next((form for form in forms if form.bytes_of(text) == data), None)


def _bytes_of(file: str) -> bytes:
    """Raises OSError."""
    with open(file, "rb") as stream:
        return stream.read()
