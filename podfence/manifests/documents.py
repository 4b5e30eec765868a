"""Manifests in files, directories and on standard input, to API objects as plain JSON values.

Rule: an error in one file does not affect another; the files are read in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO

from msgspec import Struct

from podfence.collector import collector_paused
from podfence.errors import Problem, Source
from podfence.intake.documents import DecodedDocuments, Document, Unreadable
from podfence.manifests.deliveries import Delivery
from podfence.manifests.filereader import FileContents, FileReader
from podfence.manifests.inputfiles import InputFile, SkippedLink, read_inputs
from podfence.manifests.leftout import LeftOutFile
from podfence.manifests.parsed import PROBLEM_CODES
from podfence.manifests.positions import Positions
from podfence.manifests.yamllines import Lines
from podfence.manifests.yamlscalars import Scalars

__all__ = ["PROBLEM_CODES", "Document", "Manifests", "Unreadable", "manifests_of", "read_manifests"]


class Manifests(Struct, frozen=True):
    """The result. ``problems`` have their position; ``files`` counts the files that were read.

    ``passed_over`` counts objects of other kinds; a kind that is wanted but belongs to a foreign
    API group is counted as ``Kind.group``. ``policies_elsewhere``: those of the kinds that are
    policies of another API, each with its first object. ``kustomization``: the first object for
    kustomize, which is not applied itself. ``left_out``: other files of directories.
    """

    documents: tuple[Document, ...]
    unreadable: tuple[Unreadable, ...]
    problems: tuple[Problem, ...]
    passed_over: Mapping[str, int]
    policies_elsewhere: Mapping[str, Source]
    kustomization: Source | None
    left_out: tuple[LeftOutFile, ...]
    files: int
    positions: Positions
    without_namespace: tuple[Document, ...] = ()
    """Those of ``documents`` that got their namespace here."""
    beside: tuple[Document, ...] = ()
    """Objects of other kinds that answers mention; they count as passed over, too."""
    deliveries: tuple[Delivery, ...] = ()
    """Objects of Argo CD and Flux whose results were not read."""


def read_manifests(
    paths: Sequence[str],
    *,
    kinds: frozenset[str],
    exclude: Sequence[str] = (),
    stdin: BinaryIO | None = None,
) -> Manifests:
    """Read files, directories (recursively) and ``-``, in the order given.

    ``kinds`` are the kinds wanted, as ``NetworkPolicy``. ``exclude``: patterns of what is not read
    of directories. Lists are unfolded. Raises nothing for the content of the input.
    """
    return manifests_of(read_inputs(paths, stdin, exclude), kinds=kinds)


def manifests_of(
    files: Iterable[InputFile | SkippedLink],
    *,
    kinds: frozenset[str],
    kept: DecodedDocuments | None = None,
    namespace: str = "",
) -> Manifests:
    """The same for files that were read before. ``kept``: decoded documents of another reading.
    ``namespace``: of objects of a namespaced kind that name none; "" leaves them without."""
    collected = _Collected(kinds, kept, namespace)
    with collector_paused():
        for each in files:
            if isinstance(each, InputFile):
                collected.read(each)
            else:
                collected.left_out.append(LeftOutFile.of_link(each))
    return collected.result()


class _Collected:
    """The result over all files."""

    def __init__(
        self, kinds: frozenset[str], kept: DecodedDocuments | None, namespace: str
    ) -> None:
        self._kept = kept
        self._namespace = namespace
        self.left_out: list[LeftOutFile] = []
        self._kinds = kinds
        self._all = FileContents()
        self._files = 0
        self._positions = Positions()
        self._lines = Lines(Scalars())

    def read(self, file: InputFile) -> None:
        """Adds what one file holds."""
        reader = FileReader(self._kinds, self._lines, self._positions, self._kept, self._namespace)
        found = reader.read(file)
        whole = self._all
        whole.passed_over.update(found.passed_over)
        if found.left_out:
            self.left_out.append(LeftOutFile.of(file, is_template=found.is_template))
            return
        self._files += not file.error
        whole.documents += found.documents
        whole.beside += found.beside
        whole.deliveries += found.deliveries
        whole.without_namespace += found.without_namespace
        whole.unreadable += found.unreadable
        whole.problems += found.problems
        whole.policies_elsewhere = found.policies_elsewhere | whole.policies_elsewhere
        whole.kustomization = whole.kustomization or found.kustomization

    def result(self) -> Manifests:
        """All of it."""
        whole = self._all
        return Manifests(
            documents=tuple(whole.documents),
            unreadable=tuple(whole.unreadable),
            problems=tuple(whole.problems),
            passed_over=dict(sorted(whole.passed_over.items())),
            policies_elsewhere=whole.policies_elsewhere,
            kustomization=whole.kustomization,
            left_out=tuple(self.left_out),
            files=self._files,
            positions=self._positions,
            without_namespace=tuple(whole.without_namespace),
            beside=tuple(whole.beside),
            deliveries=tuple(whole.deliveries),
        )
