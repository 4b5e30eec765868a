"""From the paths that a person gives to the text of files.

Rule: only regular files and standard input are read, never a device or a pipe that could block;
directories are walked in sorted order, links to directories are followed, each directory once.
A path that cannot be read becomes a problem.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, Final

from msgspec import Struct
from msgspec.structs import replace

from podfence.manifests.yamlscalars import shown

if TYPE_CHECKING:
    from podfence.manifests.exclusion import Exclusion

STDIN: Final = "-"
IGNORE_FILE: Final = ".podfenceignore"
"""Read at the top of a directory that is walked, and nowhere else."""
SUFFIXES: Final = (".yaml", ".yml", ".json")
"""Names of files in a directory that are read; a file named on its own may have any name."""
CHART_FILE: Final = "Chart.yaml"
"""Its directory is a Helm chart."""
KUSTOMIZATION_FILES: Final = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
"""Their directory is what ``kubectl kustomize`` builds."""

MAX_FILE_BYTES: Final = 1 << 30
"""Longest file that is read."""
_PIECE: Final = 1 << 26
"""Bytes that are read at once of a stream of unknown length."""


RENDERED: Final = " (rendered)"
"""Ends the name of what a chart or a kustomization gave: its lines are those of no file."""


def is_rendered(path: str) -> bool:
    """Whether a name is that of what a chart or a kustomization gave: no file is edited for it."""
    return path.endswith(RENDERED)


class InputFile(Struct, frozen=True):
    """Text of one file, or why there is none: exactly one of ``text`` and ``error`` is set."""

    path: str
    text: str = ""
    error: str = ""
    walked: str = ""
    """The directory in which the file was found; "" for one that a person named."""
    chart: str = ""
    """The nearest Helm chart around a file that was found; "" for none."""
    in_chart: str = ""
    """Its path below that chart."""
    may_be_manifest: bool = True
    """Of a file without text: whether it may hold API objects."""

    @property
    def rendered(self) -> bool:
        """Whether the text is what a chart or a kustomization gave: no file holds it."""
        return is_rendered(self.path)


class SkippedLink(Struct, frozen=True):
    """A link in a directory that leads to a directory around it, and is not followed."""

    path: str
    walked: str


def is_read(name: str) -> bool:
    """Whether a file in a directory is read, by its name."""
    return name.endswith(SUFFIXES) or name in KUSTOMIZATION_FILES


def is_source(path: str) -> bool:
    """Whether a file has the name of one that manifests are rendered from."""
    return os.path.basename(path) in {CHART_FILE, *KUSTOMIZATION_FILES}


def is_chart(path: str) -> bool:
    """Whether a file has the name of a chart's."""
    return os.path.basename(path) == CHART_FILE


def is_empty_directory(path: str) -> bool:
    """Whether a directory holds nothing but, perhaps, the file that keeps it in a repository."""
    try:
        return {*os.listdir(path)} <= {".gitkeep", ".keep"}
    except OSError:  # not a directory, or unreadable: the reader reports that
        return False


def sources_of(path: str) -> list[str]:
    """The sources that a path names: itself, or those that a directory itself holds."""
    if is_source(path):
        return [path]
    held = (os.path.join(path, name) for name in (CHART_FILE, *sorted(KUSTOMIZATION_FILES)))
    return [each for each in held if os.path.isfile(each)]


def read_inputs(
    paths: Iterable[str], stdin: BinaryIO | None, exclude: Sequence[str] = ()
) -> Iterator[InputFile | SkippedLink]:
    """Every file that ``paths`` name, each once, in order.

    ``exclude``: patterns of what is left out of directories, after those of their
    ``.podfenceignore`` (see ``exclusion``).
    """
    seen: set[object] = set()
    for path in paths:
        if path == STDIN:
            if STDIN not in seen:
                seen.add(STDIN)
                yield _read_stdin(stdin)
        elif os.path.isdir(path):
            yield from _read_directory(path, seen, exclude)
        else:
            yield from _read_once(path, seen)


def _read_directory(
    directory: str, seen: set[object], exclude: Sequence[str]
) -> Iterator[InputFile | SkippedLink]:
    ignore = os.path.join(directory, IGNORE_FILE)
    patterns = list(_read_once(ignore, set())) if os.path.lexists(ignore) else []
    if patterns and patterns[0].error:
        yield patterns[0]
        return
    lines = [line for file in patterns for line in file.text.split("\n")]
    walk = _DirectoryWalk(directory, _exclusion([*lines, *exclude]))
    found = 0
    for each in walk.files():
        if isinstance(each, SkippedLink):
            yield each
            continue
        found += 1
        for file in _read_once(each.path, seen):
            below = os.path.relpath(each.path, each.chart) if each.chart else ""
            yield replace(file, walked=directory, chart=each.chart, in_chart=below)
    for error in walk.errors:
        yield InputFile(str(error.filename), error=f"cannot read the directory: {error.strerror}")
    if not found and not walk.errors:
        wanted = ", ".join(SUFFIXES)
        excluded = " that are not excluded" if walk.excluded else ""
        text = f"the directory holds no manifests ({wanted} files{excluded})"
        yield InputFile(directory, error=text)


def _exclusion(lines: list[str]) -> Exclusion | None:
    if not lines:  # as nearly always
        return None
    from podfence.manifests.exclusion import Exclusion

    return Exclusion(lines)


class _Found(Struct, frozen=True):
    """A file of a directory, not read yet."""

    path: str
    chart: str


class _Folder(Struct, frozen=True):
    """A directory to be walked. ``inner``: its path below the one that a person named."""

    path: str
    inner: str
    chart: str


class _DirectoryWalk:
    """One walk through a directory; ``errors`` and ``excluded`` are known when it has ended."""

    def __init__(self, directory: str, exclusion: Exclusion | None) -> None:
        self.errors: list[OSError] = []
        self.excluded = 0
        self._directory = directory
        self._real = os.path.realpath(directory)
        self._exclusion = exclusion
        self._entered: set[tuple[int, int]] = set()

    def files(self) -> Iterator[_Found | SkippedLink]:
        """Files that may be manifests, those of a directory before those of the ones in it."""
        waiting = [_Folder(self._directory, "", _chart_around(self._directory))]
        while waiting:
            folder = waiting.pop()
            try:
                status = os.stat(folder.path)
                entries = sorted(os.scandir(folder.path), key=lambda entry: entry.name)
            except OSError as error:
                self.errors.append(error)
                continue
            if (status.st_dev, status.st_ino) in self._entered:
                continue
            self._entered.add((status.st_dev, status.st_ino))
            if any(entry.name == CHART_FILE for entry in entries):
                folder = replace(folder, chart=folder.path)
            below: list[_Folder] = []
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                inner = f"{folder.inner}{entry.name}"
                path = os.path.join(folder.path, entry.name)
                is_directory = _is_directory(entry)
                if not is_directory and not is_read(entry.name):
                    continue
                if self._exclusion and self._exclusion.excludes(inner, is_directory=is_directory):
                    self.excluded += 1
                elif not is_directory:
                    yield _Found(path, folder.chart)
                elif entry.is_symlink() and _holds(os.path.realpath(path), self._real):
                    yield SkippedLink(path, self._directory)
                else:
                    below.append(_Folder(path, f"{inner}/", folder.chart))
            waiting += reversed(below)


def _holds(real: str, directory: str) -> bool:
    """Whether a path leads out of a directory to one that holds it, such as ``/``. Both are without
    links."""
    return real != directory and directory.startswith(os.path.join(real, ""))


def folders(given: str) -> Iterator[tuple[str, list[str]]]:
    """The directories that are read of a path, with the names in each; links are followed as
    there."""
    root, entered = os.path.realpath(given), set[str]()
    for folder, below, names in os.walk(given, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered or _holds(real, root):
            below.clear()
            continue
        entered.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield folder, sorted(names)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that cannot be followed
        return False


def _chart_around(directory: str) -> str:
    """The Helm chart that a directory is a part of, as a path like it; "" for none."""
    path, depth = os.path.abspath(directory), 0
    while True:
        parent = os.path.dirname(path)
        if parent == path:
            return ""
        path, depth = parent, depth + 1
        if os.path.exists(os.path.join(path, CHART_FILE)):
            return os.path.normpath(os.path.join(directory, *[os.pardir] * depth))


def _read_once(path: str, seen: set[object]) -> Iterator[InputFile]:
    """The file, unless it was read before under any name."""
    try:
        status = os.stat(path)
        identity = (status.st_dev, status.st_ino)
        if identity not in seen:
            seen.add(identity)
            yield _read_file(path, status)
    except FileNotFoundError:
        yield InputFile(path, error="no such file or directory: check the path")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        yield InputFile(path, error=f"cannot read the file: {reason}")


def _read_file(path: str, status: os.stat_result) -> InputFile:
    if not stat.S_ISREG(status.st_mode):
        return InputFile(path, error="not a regular file: pipe the manifests in and name them -")
    if status.st_size > MAX_FILE_BYTES:
        return InputFile(path, error=_TOO_LARGE)
    with open(path, "rb") as file:
        return decoded(path, file.read())


_TOO_LARGE: Final = f"larger than {MAX_FILE_BYTES >> 20} MiB: split the file"


def _read_stdin(stdin: BinaryIO | None) -> InputFile:
    if stdin is None:
        return InputFile(STDIN, error="there is no standard input to read: name a file")
    try:
        return decoded(STDIN, limited(stdin))
    except (OSError, ValueError) as error:  # ValueError: closed already
        return InputFile(STDIN, error=f"cannot read standard input: {error}")


def limited(stream: BinaryIO) -> bytes:
    """All of a stream, or more than MAX_FILE_BYTES of it. It is read in pieces, because ``read``
    reserves memory for as much as it is asked for."""
    pieces: list[bytes] = []
    while sum(map(len, pieces)) <= MAX_FILE_BYTES and (piece := stream.read(_PIECE)):
        pieces.append(piece)
    return b"".join(pieces)


_BYTE_ORDER_MARKS: Final[Sequence[tuple[bytes, str]]] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


_MARKED_DOCUMENT: Final = re.compile(r"(?m)^(---[ \t]*\n)\ufeff")


def encoding_of(data: bytes) -> tuple[bytes, str]:
    """The byte order mark that data begin with, "" for none, and the encoding that it means."""
    marks = (known for known in _BYTE_ORDER_MARKS if data.startswith(known[0]))
    return next(marks, (b"", "utf-8"))


def decoded(path: str, data: bytes) -> InputFile:
    """Text with ``\\n`` line ends and without byte order marks before its documents."""
    if len(data) > MAX_FILE_BYTES:
        return InputFile(path, error=_TOO_LARGE)
    mark, encoding = encoding_of(data)
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        reason = _undecodable(data, encoding, error.start)
        letters = data.replace(b"\0", b"")  # whatever the encoding is
        may_be_manifest = b"kind" in letters and b"apiVersion" in letters
        return InputFile(path, error=reason, may_be_manifest=may_be_manifest)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\n\ufeff" in text:  # files with marks, one behind the other
        text = _MARKED_DOCUMENT.sub(r"\1", text)
    return InputFile(path, text=text)


def _undecodable(data: bytes, encoding: str, offset: int) -> str:
    if b"\0" in data[:1024] and encoding == "utf-8":
        return "a binary file, not a manifest: name YAML or JSON text"
    line = data.count(b"\n", 0, offset) + 1
    byte = shown(data[offset : offset + 1].hex()).strip('"')
    return f"not {encoding.upper()} text (byte 0x{byte} on line {line}): save it as UTF-8"
