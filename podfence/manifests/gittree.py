"""The files of a revision, read from git's object store: nothing is checked out, no shell is run.

Rule: the same files of a directory are read as on disk (``inputfiles``). A link is followed if its
target is in the same revision.
"""

from __future__ import annotations

import os
import posixpath
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from podfence.errors import PodfenceError
from podfence.manifests.exclusion import Exclusion
from podfence.manifests.inputfiles import (
    CHART_FILE,
    IGNORE_FILE,
    InputFile,
    decoded,
    is_read,
    is_source,
)
from podfence.text import printable

_LINK: Final = "120000"
_SUBMODULE: Final = "160000"
_NO_FILES: Final = {_LINK, _SUBMODULE}
MAX_WRITTEN: Final = 1 << 28
"""The most bytes of a revision that are written."""
_SHORT: Final = 16
"""Digits that are shown of a commit without a name."""
_MOST_LINKS: Final = 40
"""The longest chain of links that is followed, as in the kernel."""


class GitError(PodfenceError):
    """A revision cannot be read."""

    code = "PF009"


class Range(Struct, frozen=True):
    """What ``--git`` names. ``new`` "": the working tree."""

    old: str
    new: str = ""


def read_range(text: str) -> Range:
    """``REV``: a revision and the working tree. ``A..B``: two revisions. ``A...`` or ``A...B``: the
    merge base of A and B (or HEAD), and B (or the working tree). Raises GitError."""
    old, dots, new = text.partition("...")
    if dots:
        base = _git("merge-base", "--end-of-options", commit_of(old), commit_of(new or "HEAD"))
        return Range(base.decode().strip()[:_SHORT], new)
    old, _, new = text.partition("..")
    return Range(old or "HEAD", new)


def commit_of(revision: str) -> str:
    """The commit of a revision. Raises GitError for an unknown one."""
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    done = _run(asked)
    if done.returncode == 0:
        return done.stdout.decode().strip()
    inside = _run(("rev-parse", "--is-shallow-repository"))
    if inside.returncode != 0:
        raise GitError(_reason(inside))
    hint = "write a branch, a tag or a commit"
    if inside.stdout.strip() == b"true":
        hint = "this clone is shallow: fetch more history (git fetch --unshallow)"
    raise GitError(f"git knows no revision {printable(revision)}; {hint}")


def _git(*arguments: str, given: bytes = b"") -> bytes:
    done = _run(arguments, given)
    if done.returncode != 0:
        raise GitError(_reason(done))
    return done.stdout


def _run(arguments: Sequence[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", *arguments],
            input=given,
            capture_output=True,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
        )
    except FileNotFoundError as error:
        raise GitError("there is no git on the path; install it, or name two folders") from error
    except ValueError as error:  # a NUL in a revision
        raise GitError(f"git cannot be asked: {error}") from error


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode("utf-8", "replace").strip().split("\n")
    said = printable(lines[0].removeprefix("fatal: ")) or "it gave no reason"
    return f"git cannot be asked: {said}"


class _TreeEntry(Struct, frozen=True):
    """A file of a revision; ``mode`` as git writes it."""

    mode: str
    object: str


class GitTree(Struct):
    """The files of one revision. ``revision``: as the user wrote it."""

    revision: str
    _entries: dict[str, _TreeEntry] = field(default_factory=dict)
    _folders: dict[str, set[str]] = field(default_factory=dict)
    _prefix: str = ""

    @classmethod
    def of(cls, revision: str) -> GitTree:
        """The tree of a revision of the repository around the working directory. Raises
        GitError."""
        tree = cls(revision)
        tree._prefix = os.fsdecode(_git("rev-parse", "--show-prefix").rstrip(b"\n"))
        listing = _git("ls-tree", "-r", "-z", "--full-tree", commit_of(revision))
        for line in os.fsdecode(listing).split("\0"):
            if line:
                facts, _, path = line.partition("\t")
                mode, _, name = facts.split(" ")
                tree._add(path, _TreeEntry(mode, name))
        return tree

    def _add(self, path: str, entry: _TreeEntry) -> None:
        self._entries[path] = entry
        while path:
            folder, _, name = path.rpartition("/")
            known = self._folders.setdefault(folder, set())
            if name in known:
                return
            known.add(name)
            path = folder

    def files(self, paths: Iterable[str], exclude: Sequence[str] = ()) -> Iterator[InputFile]:
        """Every file that ``paths`` name in the revision, as ``inputfiles.read_inputs`` reads it of
        a disk. A path that is not in the revision is empty. Raises GitError."""
        found: dict[str, InputFile] = {}
        for path in paths:
            for tree_path, file in self._named(path, exclude):
                found.setdefault(tree_path, file)
        texts = self._texts(list(found))
        for tree_path, file in found.items():
            yield self._read(file, texts[tree_path])

    def _read(self, file: InputFile, data: bytes) -> InputFile:
        read = decoded(f"{self.revision}:{file.path}", data)
        below = posixpath.relpath(file.path, file.chart) if file.chart else ""
        return replace(read, walked=file.walked, chart=file.chart, in_chart=below)

    def _named(self, path: str, exclude: Sequence[str]) -> Iterator[tuple[str, InputFile]]:
        """Paths in the tree, each with a file that has no text yet."""
        real = self._followed(self.tree_path(path))
        if real in self._folders:
            lines = self._ignored(real)
            exclusion = Exclusion([*lines, *exclude])
            walk = _TreeWalk(self, exclusion, path)
            yield from walk.files(real, path.rstrip("/"), "", self._chart_around(real, path))
        elif real is not None and real in self._entries:
            yield real, InputFile(path)

    def tree_path(self, path: str) -> str:
        """Where a path of the working directory stands in the tree. Raises GitError for a path
        outside of it."""
        tree_path = posixpath.normpath(posixpath.join(self._prefix, path.replace(os.sep, "/")))
        if tree_path == ".." or tree_path.startswith(("../", "/")):
            raise GitError(f"{printable(path)} is outside of the repository; name a path in it")
        return "" if tree_path == "." else tree_path

    def names_source(self, path: str) -> bool:
        """Whether a path names something that manifests are rendered from, or the folder that
        itself holds it."""
        real = self._followed(self.tree_path(path))
        if real in self._folders:
            return any(map(is_source, self._folders[real]))
        return real in self._entries and is_source(path)

    def write(self, folder: str) -> None:
        """Write all files into an empty folder, unchanged. Links out of the revision and submodules
        are left out. Raises GitError, OSError."""
        whole = [path for path, each in self._entries.items() if each.mode not in _NO_FILES]
        sizes = "".join(f"{self._entries[path].object}\n" for path in whole)
        said = _git("cat-file", "--batch-check=%(objectsize)", given=sizes.encode())
        if sum(map(int, filter(bytes.isdigit, said.split()))) > MAX_WRITTEN:
            raise GitError(
                f"{printable(self.revision)} has more than {MAX_WRITTEN >> 20} MiB of files, too "
                "many to render from; render both versions and compare the results"
            )
        for path, data in self._texts(whole).items():
            target_path = os.path.join(folder, path)
            os.makedirs(os.path.dirname(target_path), exist_ok=True)
            with open(target_path, "xb") as stream:
                stream.write(data)
        for path, each in self._entries.items():
            target = self._followed(path) if each.mode == _LINK else None
            if target is not None and (target in self._entries or target in self._folders):
                target_path = os.path.join(folder, path)
                os.makedirs(os.path.dirname(target_path), exist_ok=True)
                os.symlink(
                    os.path.relpath(target or ".", os.path.dirname(path) or "."), target_path
                )

    def is_submodule(self, tree_path: str) -> bool:
        """Whether the revision holds a commit of another repository there."""
        return tree_path in self._entries and self._entries[tree_path].mode == _SUBMODULE

    def _ignored(self, folder: str) -> list[str]:
        tree_path = self._followed(posixpath.join(folder, IGNORE_FILE))
        if tree_path is None or tree_path not in self._entries:
            return []
        return decoded(IGNORE_FILE, self._texts([tree_path])[tree_path]).text.split("\n")

    def _chart_around(self, folder: str, shown: str) -> str:
        path, depth = folder, 0
        while path:
            path, depth = posixpath.dirname(path), depth + 1
            if CHART_FILE in self._folders.get(path, ()):
                return posixpath.normpath(posixpath.join(shown, *[".."] * depth))
        return ""

    def _followed(self, tree_path: str) -> str | None:
        """The target of a path with its links followed; None if it is outside of the revision."""
        for _ in range(_MOST_LINKS):
            link = self._first_link(tree_path)
            if link is None:
                return tree_path
            target = os.fsdecode(self._texts([link])[link])
            if target.startswith("/"):
                return None
            rest = tree_path[len(link) :].lstrip("/")
            joined = posixpath.join(posixpath.dirname(link), target, rest)
            tree_path = posixpath.normpath(joined)
            if tree_path.startswith(".."):
                return None
            tree_path = "" if tree_path == "." else tree_path
        return None

    def _first_link(self, tree_path: str) -> str | None:
        steps = tree_path.split("/")
        for at in range(1, len(steps) + 1):
            path = "/".join(steps[:at])
            entry = self._entries.get(path)
            if entry is not None and entry.mode == _LINK:
                return path
            if self.is_submodule(path):
                raise GitError(
                    f"{printable(path)} is a submodule at {printable(self.revision)}, which holds "
                    "its commit and no files; compare two folders, or leave it out with --exclude"
                )
        return None

    def _texts(self, tree_paths: Sequence[str]) -> dict[str, bytes]:
        """The bytes of files, all in one call."""
        if not tree_paths:
            return {}
        names = [self._entries[tree_path].object for tree_path in tree_paths]
        data = _git("cat-file", "--batch", given="".join(f"{n}\n" for n in names).encode())
        found: dict[str, bytes] = {}
        at = 0
        for tree_path in tree_paths:
            end = data.index(b"\n", at)
            words = data[at:end].split(b" ")
            if len(words) != 3:
                raise GitError(f"git has lost {printable(tree_path)} of {printable(self.revision)}")
            size = int(words[2])
            found[tree_path] = data[end + 1 : end + 1 + size]
            at = end + size + 2
        return found


class _TreeWalk:
    """One walk through a directory of a revision."""

    def __init__(self, tree: GitTree, exclusion: Exclusion, walked: str) -> None:
        self._tree = tree
        self._exclusion = exclusion
        self._walked = walked
        self._entered: set[str] = set()

    def files(
        self, folder: str, shown: str, inner: str, chart: str
    ) -> Iterator[tuple[str, InputFile]]:
        """Files of a directory before those of the directories in it, by name."""
        if folder in self._entered:
            return
        self._entered.add(folder)
        names = sorted(self._tree._folders[folder])
        if CHART_FILE in names:
            chart = shown
        below: list[tuple[str, str, str]] = []
        for name in names:
            if name.startswith("."):
                continue
            whole = posixpath.join(folder, name)
            if self._tree.is_submodule(whole) and self._exclusion.excludes(
                f"{inner}{name}", is_directory=True
            ):
                continue
            tree_path = self._tree._followed(whole)
            is_folder = tree_path is not None and tree_path in self._tree._folders
            if not is_folder and not is_read(name):
                continue
            path = posixpath.join(shown, name)
            if self._exclusion.excludes(f"{inner}{name}", is_directory=is_folder):
                continue
            if tree_path is not None and is_folder:
                below.append((tree_path, path, f"{inner}{name}/"))
            elif tree_path is not None and tree_path in self._tree._entries:
                yield tree_path, InputFile(path, walked=self._walked, chart=chart)
        for tree_path, path, within in below:
            yield from self.files(tree_path, path, within, chart)
