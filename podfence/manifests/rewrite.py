"""Edits of objects -> the new texts of their files, and the edited input.

Rule: nothing is written here. The edited input is made from the same edits as the texts, and a text
with other values is refused (``yamledit``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from podfence.errors import Source
from podfence.intake.build import Reading, build_cluster
from podfence.intake.documents import Document
from podfence.manifests.inputfiles import STDIN
from podfence.manifests.load import Loaded
from podfence.manifests.yamledit import CannotEdit, edited, new_document
from podfence.model.cluster import Cluster
from podfence.questions.repair.changes import FieldEdit, NewObject, ObjectPatch, applied

_NEW = 1_000_000
"""New documents are numbered from here."""


class RewrittenFiles(Struct, frozen=True):
    """``texts``: old and new text by file. ``cluster``: of the input with the edits made."""

    texts: Mapping[str, tuple[str, str]]
    cluster: Cluster


def rewritten(loaded: Loaded, edits: Sequence[ObjectPatch | NewObject]) -> RewrittenFiles:
    """Apply edits to the files. Raises CannotEdit; then none of them may be made."""
    return RewrittenFiles(edited_texts(loaded, edits), edited_cluster(loaded, edits))


def edited_texts(
    loaded: Loaded, edits: Sequence[ObjectPatch | NewObject]
) -> dict[str, tuple[str, str]]:
    """Old and new text of the files of edits. Raises CannotEdit as ``rewritten``."""
    by_document: dict[tuple[str, int], list[ObjectPatch | NewObject]] = defaultdict(list)
    for edit in edits:
        source = edit.after if isinstance(edit, NewObject) else edit.source
        by_document[source.file, source.document].append(edit)
    texts: dict[str, tuple[str, str]] = {}
    for (file, _), members in sorted(by_document.items(), reverse=True):
        before, text = texts.get(file) or (_text(loaded, members[0]),) * 2
        texts[file] = before, _in_document(loaded, text, members)
    return texts


def _source(edit: ObjectPatch | NewObject) -> Source:
    return edit.after if isinstance(edit, NewObject) else edit.source


def _text(loaded: Loaded, edit: ObjectPatch | NewObject) -> str:
    source = _source(edit)
    if source.file in ("", STDIN):
        raise CannotEdit("it was not read from a file")
    try:
        return loaded.positions.extent_of(source)[0]
    except KeyError:
        raise CannotEdit("it was not read from a file") from None


def _in_document(loaded: Loaded, text: str, edits: Sequence[ObjectPatch | NewObject]) -> str:
    """The text of a file with one document edited; later documents may have been edited before."""
    _, start, end, _ = loaded.positions.extent_of(_source(edits[0]))
    head, document, rest = text[:start], text[start:end], text[end:]
    patches = [edit for edit in edits if isinstance(edit, ObjectPatch)]
    changes = [
        (loaded.positions.extent_of(edit.source)[3], change)
        for edit in patches
        for change in edit.changes
    ]
    document = edited(document, changes) if changes else document
    for edit in edits:
        if isinstance(edit, NewObject):
            if document.lstrip()[:1] in ("{", "["):
                raise CannotEdit("the file is JSON, which holds one document; write another file")
            lead = "" if document.endswith("\n") else "\n"
            document += lead + new_document(edit.value)
    return head + document + rest


def edited_cluster(loaded: Loaded, edits: Iterable[ObjectPatch | NewObject]) -> Cluster:
    """The input with the edits applied."""
    changes: dict[Source, list[FieldEdit]] = defaultdict(list)
    new: list[Document] = []
    for edit in edits:
        if isinstance(edit, ObjectPatch):
            changes[edit.source] += edit.changes
        else:
            value: dict[str, Any] = dict(edit.value)
            new.append(Document(Source(edit.after.file, _NEW + len(new)), value))
    documents = [
        Document(each.source, applied(each.data, changes[each.source]))
        if each.source in changes
        else each
        for each in loaded.documents
    ]
    return build_cluster(Reading((*documents, *new))).cluster
