"""The text of one file, to API objects as plain JSON values.

Rule: every error becomes a problem with its position, and no document affects another. Values are
what ``kubectl`` would send for the same text. Objects of other kinds are counted and, if their text
leaves no doubt about the kind, not parsed.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from podfence.admission.kinds import (
    CLUSTER_SCOPED,
    KUSTOMIZATIONS,
    NAMESPACED_ELSEWHERE,
    group_of,
    is_beside,
    is_entry,
    is_kustomization,
    is_policy_elsewhere,
    may_be_beside,
    may_be_misspelt,
    meant_kind,
)
from podfence.errors import Position, Problem, Severity, Source
from podfence.intake import unlisted
from podfence.intake.documents import DecodedDocuments, Document, Unreadable
from podfence.manifests.deliveries import DELIVERY_KINDS, Delivery, delivery_of
from podfence.manifests.fieldpaths import format_path, is_below
from podfence.manifests.inputfiles import InputFile
from podfence.manifests.leftout import (
    is_kustomization_file,
    is_template_of_chart,
    may_be_object,
    text_may_be_object,
)
from podfence.manifests.listing import (
    ListItem,
    advice_for,
    is_list_of,
    kind_of,
    name_of,
    namespace_of,
    unfold,
    version_of,
    wanted_kind_of,
    what_is_wrong,
)
from podfence.manifests.parsed import Parsed, ParseProblem, unreadable
from podfence.manifests.positions import Positions
from podfence.manifests.splitting import (
    AFTER_END,
    Chunk,
    addresses_in,
    guess_identity,
    split,
    sure_kind,
    sure_version,
)
from podfence.manifests.yamllines import DECLINED, Lines, read_lines

_DEFINITION = "CustomResourceDefinition"
_WEBHOOK = "clientConfig"
"""Stands in a definition whose objects a webhook converts."""


class FileContents(Struct):
    """What one file holds; the fields of ``Manifests`` for one file."""

    documents: list[Document] = field(default_factory=list)
    beside: list[Document] = field(default_factory=list)
    without_namespace: list[Document] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    policies_elsewhere: dict[str, Source] = field(default_factory=dict)
    kustomization: Source | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    left_out: bool = False
    """The file is not a manifest, so only ``passed_over`` may have entries."""
    is_template: bool = False


class FileReader:
    """Reads one file. ``lines`` and ``positions`` are shared by all files, ``kept`` perhaps by
    another reading. ``namespace``: of objects that name none."""

    def __init__(
        self,
        kinds: frozenset[str],
        lines: Lines,
        positions: Positions,
        kept: DecodedDocuments | None = None,
        namespace: str = "",
    ) -> None:
        self._namespace = namespace
        self._values = kept.values if kept else None
        self._kinds = kinds
        self._lines = lines
        self._positions = positions
        self._contents = FileContents()
        self._was_found = False
        self._holds_objects = False
        self._holds_others = False

    def read(self, file: InputFile) -> FileContents:
        """The content of a file; empty if the file is left out."""
        self._was_found = bool(file.walked)
        if file.error:
            self._read_error(file)
        elif self._was_found and is_template_of_chart(file):
            return FileContents(left_out=True, is_template=True)
        else:
            self._positions.add_file(file.path, file.text)
            number = 0
            for chunk in split(file.text):
                number += self._read_chunk(file.path, number, chunk)
        found = self._contents
        found.left_out = found.is_template or (self._holds_others and not self._holds_objects)
        if found.left_out:
            self._positions.forget_file(file.path)
            return FileContents(
                passed_over=found.passed_over, left_out=True, is_template=found.is_template
            )
        return found

    def _read_error(self, file: InputFile) -> None:
        source = Source(file.path)
        if self._was_found and not file.may_be_manifest:
            self._holds_others = True
        self._problem(source, ParseProblem("PF106", file.error, 1, 1), "")
        self._contents.unreadable.append(Unreadable(source, "", "", None))

    def _read_chunk(self, file: str, number: int, chunk: Chunk) -> int:
        """Read the text between two markers; returns the number of documents."""
        kind = sure_kind(chunk)
        if kind and not self._may_matter(kind, chunk):
            self._contents.passed_over[kind] += 1
            return 1
        if chunk.is_flow and not chunk.is_after_end:
            return self._read_flow(file, number, chunk)
        source = Source(file, number, None, chunk.content_line)
        if chunk.is_after_end and guess_identity(chunk.text)[0]:
            lost = unreadable("PF101", AFTER_END, chunk.content_line, 1)
            self._take_yaml(source, chunk, lost)
        elif is_entry(kind) or kind in DELIVERY_KINDS:
            self._take_entry(source, chunk, kind)
        else:
            self._take_yaml(source, chunk)
        return 1

    def _take_entry(self, source: Source, chunk: Chunk, kind: str) -> None:
        """Read an object that no verdict depends on: one that cannot be parsed is a warning, and a
        template is not an error."""
        parsed = self._parse_yaml(chunk)
        if isinstance(parsed.value, dict) and parsed.readable:
            self._positions.add_document(
                source, start=chunk.start, end=chunk.end, line=chunk.line, is_json=False
            )
            self._pass_over(source, kind, parsed.value)
            return
        self._contents.passed_over[kind] += 1
        for each in () if _is_template(parsed, chunk.text) else parsed.findings[:1]:
            text = f"{each.message}; what this {kind} leads to is unknown"
            found = replace(each, code="PF122", message=text, severity=Severity.WARNING)
            self._problem(source, found, format_path(each.steps))

    def _may_matter(self, kind: str, chunk: Chunk) -> bool:
        """Whether a document of the kind must be parsed: it is wanted, a List, a misspelling of one
        of these, or a kind that deserves a warning."""
        if kind in self._kinds or is_list_of(kind, self._kinds) or kind == unlisted.KIND:
            return True
        if may_be_misspelt(kind) and meant_kind(kind, sure_version(chunk)):
            return True
        if kind == _DEFINITION:  # mostly schemas, which are long
            return _WEBHOOK in chunk.text
        return may_be_beside(kind) or kind in KUSTOMIZATIONS or kind in DELIVERY_KINDS

    def _read_flow(self, file: str, number: int, chunk: Chunk) -> int:
        """Read JSON values, or YAML in flow style if the text is that."""
        # Imported when JSON is met: msgspec takes longer to import than a small input to read.
        from podfence.manifests import jsonreader

        text = chunk.text[chunk.lead :]
        documents = jsonreader.read_json(text, chunk.content_line, many=chunk.begins_file)
        if documents[0].parsed.is_syntax_error:
            source = Source(file, number, None, chunk.content_line)
            parsed = self._parse_yaml(chunk)
            if parsed.readable or not (file.endswith(".json") or re.match(_JSON_START, text)):
                self._take_yaml(source, chunk, parsed)
                return 1
        offset = chunk.start + chunk.lead
        for document in documents:
            source = Source(file, number, None, document.line)
            start, end = offset + document.start, offset + document.end
            self._positions.add_document(
                source,
                start=start,
                end=end,
                line=document.line,
                is_json=True,
                is_plain=document.parsed.readable and not document.parsed.findings,
            )
            self._take(source, document.parsed, text[document.start : document.end])
            number += 1
        return len(documents)

    def _take_yaml(self, source: Source, chunk: Chunk, parsed: Parsed | None = None) -> None:
        parsed = parsed or self._parse_yaml(chunk)
        self._positions.add_document(
            source,
            start=chunk.start,
            end=chunk.end,
            line=chunk.line,
            is_json=False,
            is_plain=parsed.is_plain,
        )
        self._take(source, parsed, chunk.text)

    def _parse_yaml(self, chunk: Chunk) -> Parsed:
        text = chunk.text[chunk.lead :]
        if self._values is not None and text in self._values:
            return Parsed(self._values[text], is_plain=True)
        value = read_lines(text, self._lines)
        if value is not DECLINED:
            if self._values is not None:
                self._values[text] = value
            return Parsed(value, is_plain=True)
        # Imported on first use: most manifests need only the line reader.
        from podfence.manifests.yamlreader import read_yaml

        return read_yaml(chunk.text, chunk.line, self._lines.scalars)

    def _take(self, source: Source, parsed: Parsed, text: str) -> None:
        """Unfold a document and sort its objects into wanted, ignored and wrong."""
        if not parsed.readable:
            if self._was_found and _is_template(parsed, text):
                self._contents.is_template = True
            self._note_object(text_may_be_object(text))
            kind, namespace = guess_identity(text)
            found = Unreadable(source, kind, namespace, addresses_in(text))
            self._contents.unreadable.append(found)
            for finding in parsed.findings:
                self._problem(source, finding, format_path(finding.steps))
        elif parsed.value is not None:
            listed, kept = [], []
            for each in unfold(parsed.value, self._kinds):
                counts = self._take_object(source, each)
                if parsed.findings:  # otherwise the value of an item is no longer needed
                    listed.append(each)
                    kept += [each] if counts else []
            for finding in parsed.findings:
                self._report(source, finding, listed, kept)

    def _take_object(self, document: Source, listed: ListItem) -> bool:
        """Keep, count or report one object; returns whether findings in it matter."""
        source = document
        if listed.item is not None:
            source = replace(document, item=listed.item)
            self._positions.add_item(source, listed.steps)
        if listed.item is not None and listed.value in (None, {}):
            self._report_empty_item(source, listed)
            return True
        kind = kind_of(listed.value)
        if kind == unlisted.KIND and version_of(listed.value) == unlisted.API_VERSION:
            return self._take_gap(source, listed.value)
        if self._is_bare_kustomization(source, listed.value, kind):
            self._contents.kustomization = source
            return False
        message, path = what_is_wrong(listed.value, kind, self._kinds)
        if message:
            self._note_object(listed.item is not None or may_be_object(listed.value))
            self._reject(source, kind, listed.value, message, path)
            return True
        if kind not in self._kinds:
            self._pass_over(source, kind, listed.value)
            return False
        self._note_object(True)
        self._keep(source, listed)
        return True

    def _keep(self, source: Source, listed: ListItem) -> None:
        """Keep an object as kubectl sends it: with a namespace. If its metadata cannot be read, it
        is kept unchanged."""
        value = listed.value
        namespaced = value if value["kind"] in CLUSTER_SCOPED else self._namespaced(value)
        if namespaced is not value:
            document = Document(source, namespaced)
            self._contents.without_namespace.append(document)
        else:
            document = Document(source, value if listed.text is None else listed.text)
        self._contents.documents.append(document)

    def _namespaced(self, value: dict[str, Any]) -> dict[str, Any]:
        """The object with the default namespace of this reader, unless it names one."""
        metadata = value.get("metadata") or {}
        names_one = not isinstance(metadata, dict) or metadata.get("namespace") not in (None, "")
        if names_one or not self._namespace:
            return value
        return {**value, "metadata": {**metadata, "namespace": self._namespace}}

    def _take_gap(self, source: Source, value: dict[str, Any]) -> bool:
        """Read a gap of a snapshot."""
        gap = unlisted.read_unlisted(value)
        self._note_object(True)
        if isinstance(gap, unlisted.Elsewhere):
            self._contents.passed_over[gap.kind] += gap.number
            self._contents.policies_elsewhere.setdefault(gap.kind, source)
            return False
        position = self._positions.locate(source, "")
        found = Unreadable(source, "", "", None) if gap is None else gap.unreadable(source)
        lost = f"this {unlisted.KIND} cannot be read; anything may be missing"
        text = lost if gap is None else gap.text
        self._contents.unreadable.append(found)
        self._problem(source, ParseProblem("PF117", text, position.line, position.column), "")
        return True

    def _note_object(self, may_be_object: bool) -> None:
        """A file with a document that is an object, or may be one, is not left out."""
        if may_be_object:
            self._holds_objects = True
        elif self._was_found:
            self._holds_others = True

    def _is_bare_kustomization(self, source: Source, value: Any, kind: str) -> bool:
        found = self._was_found and is_kustomization_file(source.file)
        return found and not kind and isinstance(value, dict)

    def _report_empty_item(self, source: Source, listed: ListItem) -> None:
        self._note_object(True)
        what = "null" if listed.value is None else "an empty mapping"
        message = f"this item of a List is {what}, so it holds no object, and is ignored"
        position = self._positions.locate(source, "")
        finding = ParseProblem(
            "PF116", message, position.line, position.column, severity=Severity.WARNING
        )
        self._problem(source, finding, "")

    def _pass_over(self, source: Source, kind: str, value: dict[str, Any]) -> None:
        self._contents.passed_over[kind] += 1
        version = version_of(value)
        if is_beside(value["kind"], group_of(version)):
            namespaced = value["kind"] in NAMESPACED_ELSEWHERE or is_entry(value["kind"])
            kept = self._namespaced(value) if namespaced else value
            self._contents.beside.append(Document(source, kept))
        if is_policy_elsewhere(value["kind"], group_of(version)):
            self._contents.policies_elsewhere.setdefault(kind, source)
        elif self._contents.kustomization is None and is_kustomization(kind, version):
            self._contents.kustomization = source
        elif (delivery := delivery_of(source, value)) is not None:
            self._contents.deliveries.append(delivery)

    def _reject(self, source: Source, kind: str, value: Any, message: str, path: str) -> None:
        meant = wanted_kind_of(value) or kind
        found = Unreadable(source, meant, namespace_of(value), addresses_in(str(value)))
        self._contents.unreadable.append(found)
        position = self._positions.locate(source, path)
        if not kind:
            message += advice_for(source.file)
        finding = ParseProblem("PF107", message, position.line, position.column)
        self._problem(source, finding, path, value)

    def _report(
        self, document: Source, finding: ParseProblem, listed: list[ListItem], kept: list[ListItem]
    ) -> None:
        """A finding inside a document that was read: it belongs to the object around it."""
        owner = next((each for each in listed if is_below(finding.steps, each.steps)), None)
        if owner is None:
            self._problem(document, finding, format_path(finding.steps))
        elif owner in kept:
            source = replace(document, item=owner.item)
            path = format_path(finding.steps[len(owner.steps) :])
            self._problem(source, finding, path, owner.value)

    def _problem(self, source: Source, finding: ParseProblem, path: str, value: Any = None) -> None:
        self._contents.problems.append(
            Problem(
                code=finding.code,
                severity=finding.severity,
                message=finding.message.replace("{path}", path),
                source=source,
                path=path,
                object=name_of(value),
                position=Position(source.file, finding.line, finding.column),
            )
        )


def _is_template(parsed: Parsed, text: str) -> bool:
    """Whether text that cannot be parsed is a template."""
    return "{{" in text and any(each.code in ("PF101", "PF104") for each in parsed.findings)


_JSON_START = r'\{\s*"|\[\s*["{[]'
