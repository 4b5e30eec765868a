"""The files of the input: their names, their changes, and saving.

Rule: a name is one of the files that were read, or a new one beside them; never a path to be
followed. A file that is written lies, after links, below a path that a person gave with ``-f``. A
file that has changed since it was read is not overwritten.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from podfence.collector import collector_paused
from podfence.intake.documents import DecodedDocuments
from podfence.manifests.inputfiles import (
    SUFFIXES,
    InputFile,
    SkippedLink,
    folders,
    is_read,
    is_rendered,
    read_inputs,
    sources_of,
)
from podfence.manifests.load import Loaded, load_files
from podfence.manifests.wholefiles import ReadOnlyFile, replace_whole
from podfence.web.steps import Steps

MOST_WATCHED: Final = 20_000
"""The most files and directories that are watched for changes."""
_NEW_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(?:yaml|yml|json)")


class FileRefused(Exception):
    """A file cannot be read or saved, and why."""


class FileChanged(FileRefused):
    """The file has changed since the editor read it. ``text``: its present content."""

    def __init__(self, file: FileText) -> None:
        super().__init__("the file has changed since it was read")
        self.file = file


class FileText(Struct, frozen=True):
    """``text`` with ``\\n`` line ends. ``digest``: of the bytes, "" for a file that is not there.
    ``newline``: how its lines end."""

    path: str
    text: str
    digest: str
    newline: str = "\n"


InputFiles = tuple[InputFile | SkippedLink, ...]


class Renderer(Struct, frozen=True):
    """``render``: replaces charts and kustomizations by their output; raises PodfenceError.
    ``origins``: the directories and files that it reads for that."""

    render: Callable[[InputFiles], InputFiles]
    origins: Callable[[], Iterable[str]]


class Folder(Struct, frozen=True):
    """``paths``: files and directories as given. ``namespace``, ``exclude``, ``strict_cidrs``: as
    ``load``. ``renderer``: None where nothing is rendered."""

    paths: tuple[str, ...]
    namespace: str | None = None
    exclude: tuple[str, ...] = ()
    strict_cidrs: bool = True
    renderer: Renderer | None = None

    def read(
        self, kept: DecodedDocuments | None = None, steps: Steps | None = None
    ) -> tuple[Loaded, InputFiles]:
        """Read everything; also returns the files. ``steps``: is called with each file. Raises
        PodfenceError if something cannot be rendered."""
        with collector_paused():
            files: InputFiles = tuple(read_inputs(self.paths, None, self.exclude))
            if self.renderer is not None:
                files = self.renderer.render(files)
            loaded = self.load(files if steps is None else steps.counted(files), kept)
        return loaded, files

    def load(
        self, files: Iterable[InputFile | SkippedLink], kept: DecodedDocuments | None = None
    ) -> Loaded:
        """The content of these files."""
        return load_files(
            files,
            self.paths,
            namespace=self.namespace,
            strict_cidrs=self.strict_cidrs,
            kept=kept,
        )

    def stamp(self) -> tuple[object, ...]:
        """A value that differs once a file has changed, been created or deleted."""
        found: list[object] = []
        for path in self._watched():
            try:
                status = os.stat(path)
            except OSError:
                found.append((path, None))
                continue
            size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
            found.append((path, status.st_mtime_ns, size, status.st_ino))
            if len(found) >= MOST_WATCHED:
                break
        return tuple(found)

    def _watched(self) -> Iterator[str]:
        for given in self.paths:
            yield given
            for folder, names in folders(given):
                yield folder
                yield from (os.path.join(folder, name) for name in names if _is_read(name))
        for origin in self.renderer.origins() if self.renderer is not None else ():
            yield origin
            for folder, names in folders(origin):
                yield folder
                yield from (os.path.join(folder, name) for name in names)

    # -- one file

    def may_hold(self, path: str, known: Sequence[str]) -> bool:
        """Whether this is the name of a file that was read, or of a possible new one beside
        them."""
        folder, name = os.path.split(path)
        # Beside a rendered source a new file would be input of a program, or ignored.
        plain = (each for each in self.paths if self.renderer is None or not sources_of(each))
        beside = {os.path.dirname(each) for each in known} | {*plain}
        if path in known:
            return True
        # An existing file that was not read is excluded, so it cannot be edited.
        is_new = _NEW_NAME.fullmatch(name) is not None and not os.path.lexists(path)
        return folder in beside and is_new

    def open(self, path: str, known: Sequence[str]) -> FileText:
        """The present content of a file. ``known``: names of the files that were read.

        Raises NotWritten for any other file except new ones beside them, and for a file that cannot
        be edited here.
        """
        return _read(path, self._real(path, known))

    def save(self, path: str, text: str, digest: str, known: Sequence[str]) -> FileText:
        """Write a file through a temporary one, so that a reader gets the old or the new one,
        whole. ``digest``: of the content that the editor has read.

        Raises Changed if the file differs from it, NotWritten as ``open``.
        """
        real = self._real(path, known)
        before = _read(path, real)
        if before.digest != digest:
            raise FileChanged(before)
        if "\r" in text or text.startswith("\ufeff"):  # it could not be opened again
            raise FileRefused(
                "the text has a carriage return or begins with a byte order mark; take it out"
            )
        data = text.replace("\n", before.newline).encode()
        _replace(real, data)
        return FileText(path, text, _digest(data), before.newline)

    def _real(self, path: str, known: Sequence[str]) -> str:
        """Where the file is, after links."""
        if self.renderer is not None and is_rendered(path):
            raise FileRefused(
                "it is what a chart or a kustomization gave, so it is not edited here; edit its "
                "sources with another editor, and this page follows"
            )
        if not self.may_hold(path, known):
            raise FileRefused(
                "no file of the input that could be read is called so; a new one stands beside "
                "those, with a name of letters, digits, dots, _ and - that ends in .yaml, .yml or "
                ".json"
            )
        real = os.path.realpath(path)
        roots = [os.path.realpath(given) for given in self.paths]
        if not any(real == root or real.startswith(os.path.join(root, "")) for root in roots):
            raise FileRefused("the file lies, after links, outside what -f names")
        if not real.endswith(SUFFIXES) and real not in roots:
            raise FileRefused(f"only files that end in {', '.join(SUFFIXES)} are edited")
        return real


def _is_read(name: str) -> bool:
    return is_read(name) or name == ".podfenceignore"


def _read(path: str, real: str) -> FileText:
    try:
        if not stat.S_ISREG(os.stat(real).st_mode):  # a pipe would be waited for without end
            raise FileRefused("it is not a regular file, so it is not edited here")
        with open(real, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return FileText(path, "", "")
    except OSError as error:
        raise FileRefused(f"the file cannot be read: {error.strerror}") from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise FileRefused("the file is not UTF-8 text, so it is not edited here") from error
    newline = "\r\n" if "\r\n" in text else "\n"
    plain = text.replace(newline, "\n")
    if text.startswith("\ufeff") or "\r" in plain or plain.replace("\n", newline) != text:
        raise FileRefused(
            "the file has a byte order mark or lines that end in different ways, and saving it "
            "would change them; so it is not edited here"
        )
    return FileText(path, plain, _digest(data), newline)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _replace(real: str, data: bytes) -> None:
    try:
        replace_whole({real: data})
    except ReadOnlyFile as error:
        raise FileRefused("the file is read-only for the user of this server") from error
    except OSError as error:
        raise FileRefused(f"the file cannot be written: {error.strerror}") from error
