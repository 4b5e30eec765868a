"""The two versions that ``plan`` compares: of paths, of git, or of a cluster and files.

Rule: what both have in common is read with each of them, so that neither lacks it. It is read
before the side: an object that both define is the side's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

import click
from msgspec import Struct
from msgspec.structs import replace

from podfence.cli.common import input_files, read_inputs, require_charts
from podfence.cli.inputs import Inputs
from podfence.intake.build import Reading
from podfence.intake.documents import DecodedDocuments
from podfence.manifests.inputfiles import is_empty_directory, limited
from podfence.manifests.load import Loaded, load_files

if TYPE_CHECKING:
    from podfence.manifests.gittree import Range


class PlanSides(Struct, frozen=True):
    """What a command line names: ``revision`` of git, a cluster that is ``asked`` and the files of
    ``paths`` applied to it, else ``olds`` and ``news``. ``common``: what both sides have."""

    paths: tuple[str, ...]
    olds: tuple[str, ...]
    news: tuple[str, ...]
    revision: str | None
    asked: Inputs | None
    common: Inputs

    @classmethod
    def named(
        cls,
        paths: tuple[str, ...],
        olds: tuple[str, ...],
        news: tuple[str, ...],
        revision: str | None,
        asked: Inputs | None,
        common: Inputs,
    ) -> PlanSides:
        """Raises UsageError where no two sides are named, or more than two."""
        if olds or news:
            others = [("--context", asked), ("--git", revision), ("the paths without one", paths)]
            for other, given in others:
                if given:
                    raise click.UsageError(f"--old and --new name both sides; drop {other}")
            if not olds or not news:
                raise click.UsageError("--old and --new go together; name both sides")
        elif asked is not None:
            if revision is not None or common.paths:
                raise click.UsageError("--context compares a cluster with files; drop --git and -f")
            if not paths:
                raise click.UsageError(
                    "name the files that would be applied: plan --context NAME PATH..."
                )
        elif revision is not None:
            if "-" in paths:
                raise click.UsageError("standard input has no versions; name files and directories")
        elif len(paths) == 2:
            olds, news = paths[:1], paths[1:]
        else:
            raise click.UsageError(
                "name what was and what is: plan OLD NEW, plan --old A --old B --new C for several "
                "of a side, plan --git REV for versions in git, or plan --context NAME PATH for "
                "what applying files to a cluster would do"
            )
        return cls(paths, olds, news, revision, asked, common)

    @property
    def files(self) -> tuple[str, ...]:
        """All that is read."""
        return (*(self.paths or (*self.olds, *self.news)), *self.common.paths)

    @property
    def title(self) -> str:
        """What a page says that it compares."""
        if self.revision is not None:
            return " ".join((self.revision, *self.paths))
        if self.asked is not None:
            return " ".join((self.asked.context or "the current context", *self.paths))
        both = (self.olds, self.news)
        sides = (["standard input" if path == "-" else path for path in side] for side in both)
        return " -> ".join(" ".join(side) for side in sides)

    def read(self) -> tuple[Loaded, Loaded, tuple[str, str]]:
        """OLD, NEW, and what stands before the names of their files. Raises ClusterError, GitError,
        RenderError, and UsageError for options of charts where neither side has one."""
        if self.asked is not None:
            require_charts(self.asked, self.paths)
            return (*_applied(self.asked, self.paths), ("", ""))
        common, kept = _Common(self.common, self.files), DecodedDocuments()
        if self.revision is None:
            old, new = (common.beside(side, kept) for side in (self.olds, self.news))
            return old, new, ("", "")
        from podfence.manifests.gittree import read_range

        both = read_range(self.revision)
        paths = self.paths or (".",)
        if not (self.common.rendering.is_of_charts and _were_sources(both, paths)):
            require_charts(self.common, paths)
        old = common.beside_revision(both.old, paths, kept)
        if both.new:
            return old, common.beside_revision(both.new, paths, kept), (both.old, both.new)
        return old, common.beside(paths, kept), (both.old, both.new)


def _were_sources(both: Range, paths: Sequence[str]) -> bool:
    """Whether a path is rendered in a revision, whatever it is now. Raises GitError."""
    from podfence.manifests.gittree import GitTree

    trees = (GitTree.of(each) for each in (both.old, both.new) if each)
    return any(tree.names_source(path) for tree in trees for path in paths)


class _Common:
    """What both sides have. Standard input among it is read once. ``files``: all that is read."""

    def __init__(self, inputs: Inputs, files: Sequence[str]) -> None:
        self._inputs = inputs
        self._files = files
        self._given: bytes | None = None

    def _stdin(self) -> BinaryIO | None:
        if "-" not in self._inputs.paths:
            return None
        if self._given is None:
            try:
                self._given = limited(sys.stdin.buffer)
            except (OSError, ValueError):  # the reader will report that
                return sys.stdin.buffer
        return BytesIO(self._given)

    def beside(self, paths: Sequence[str], kept: DecodedDocuments) -> Loaded:
        """One side as it is on the disk. A directory without any file is a side before the first
        policy, or after the last."""
        filled = (path for path in paths if not is_empty_directory(path))
        inputs = replace(self._inputs, paths=(*self._inputs.paths, *filled))
        if not inputs.paths:  # which stands for a cluster elsewhere
            return load_files((), paths, namespace=inputs.namespace, kept=kept)
        return read_inputs(inputs, kept=kept, stdin=self._stdin(), other_side=self._files)

    def beside_revision(
        self, revision: str, paths: Sequence[str], kept: DecodedDocuments
    ) -> Loaded:
        """One side as it is in a revision, with what is common from the disk. Raises GitError."""
        from podfence.cli.rendering import revision_files
        from podfence.manifests.gittree import GitTree

        inputs, tree = self._inputs, GitTree.of(revision)
        beside = input_files(inputs, self._stdin())
        files = chain(beside, revision_files(inputs, tree, paths))
        names = [f"{revision}:{path}" for path in paths]
        return load_files(
            files,
            [*inputs.paths, *names],
            namespace=inputs.namespace,
            strict_cidrs=inputs.strict_cidrs,
            kept=kept,
        )


def _applied(asked: Inputs, paths: Sequence[str]) -> tuple[Loaded, Loaded]:
    """A cluster, and the same with files applied. Raises ClusterError, RenderError."""
    from podfence.cli.live import load_applied

    def read(onto: Reading, namespace: str) -> Loaded:
        inputs = replace(asked, paths=tuple(paths), namespace=asked.namespace or namespace)
        stdin = sys.stdin.buffer if "-" in paths else None
        return load_files(
            input_files(inputs, stdin),
            paths,
            namespace=inputs.namespace,
            strict_cidrs=inputs.strict_cidrs,
            onto=onto,
        )

    return load_applied(asked, read)
