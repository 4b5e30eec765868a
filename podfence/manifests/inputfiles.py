"""From the paths that a person gives to the text of files.

Rule: only regular files and standard input are read, never a device or a pipe that could block;
directories are walked in sorted order, links to directories are not followed. Whatever cannot be
read becomes a problem with the path.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final

from podfence.manifests.yamlscalars import shown

STDIN: Final = "-"
SUFFIXES: Final = (".yaml", ".yml", ".json")
"""Names of files in a directory that are read; a file named on its own may have any name."""

MAX_FILE_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class InputFile:
    """Text of one file, or why there is none: exactly one of ``text`` and ``error`` is set."""

    path: str
    text: str = ""
    error: str = ""


def read_inputs(paths: Iterable[str], stdin: BinaryIO | None) -> Iterator[InputFile]:
    """Every file that ``paths`` name, each once, in order."""
    seen: set[object] = set()
    for path in paths:
        if path == STDIN:
            if STDIN not in seen:
                seen.add(STDIN)
                yield _read_stdin(stdin)
        elif os.path.isdir(path):
            yield from _read_directory(path, seen)
        else:
            yield from _read_once(path, seen)


def _read_directory(directory: str, seen: set[object]) -> Iterator[InputFile]:
    found = 0
    errors: list[OSError] = []
    for folder, folders, names in os.walk(directory, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                found += 1
                yield from _read_once(os.path.join(folder, name), seen)
    for error in errors:
        yield InputFile(str(error.filename), error=f"cannot read the directory: {error.strerror}")
    if not found and not errors:
        wanted = ", ".join(SUFFIXES)
        yield InputFile(directory, error=f"the directory holds no manifests ({wanted} files)")


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
        return _decoded(path, file.read(MAX_FILE_BYTES + 1))


_TOO_LARGE: Final = f"larger than {MAX_FILE_BYTES >> 20} MiB: split the file"


def _read_stdin(stdin: BinaryIO | None) -> InputFile:
    if stdin is None:
        return InputFile(STDIN, error="there is no standard input to read: name a file")
    try:
        return _decoded(STDIN, stdin.read(MAX_FILE_BYTES + 1))
    except (OSError, ValueError) as error:  # ValueError: closed already
        return InputFile(STDIN, error=f"cannot read standard input: {error}")


_BYTE_ORDER_MARKS: Final[Sequence[tuple[bytes, str]]] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def _decoded(path: str, data: bytes) -> InputFile:
    """Text with ``\\n`` line ends and without a byte order mark."""
    if len(data) > MAX_FILE_BYTES:
        return InputFile(path, error=_TOO_LARGE)
    mark, encoding = next(
        (known for known in _BYTE_ORDER_MARKS if data.startswith(known[0])), (b"", "utf-8")
    )
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        return InputFile(path, error=_undecodable(data, encoding, error.start))
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return InputFile(path, text=text)


def _undecodable(data: bytes, encoding: str, offset: int) -> str:
    if b"\0" in data[:1024] and encoding == "utf-8":
        return "a binary file, not a manifest: name YAML or JSON text"
    line = data.count(b"\n", 0, offset) + 1
    byte = shown(data[offset : offset + 1].hex()).strip('"')
    return f"not {encoding.upper()} text (byte 0x{byte} on line {line}): save it as UTF-8"
