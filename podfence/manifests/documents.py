"""Manifests in files, directories and on standard input, to API objects as plain JSON values.

Rule: everything wrong becomes a problem with its place, and no document takes another with it.
Values are what ``kubectl`` would send for the same text. Objects of other kinds are counted and,
where their text leaves no doubt about the kind, not even parsed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from podfence.admission.kinds import (
    KUSTOMIZATIONS,
    group_of,
    is_kustomization,
    is_policy_elsewhere,
    may_be_misspelt,
    may_be_policy_elsewhere,
    meant_kind,
)
from podfence.errors import Position, Problem, Source
from podfence.intake.documents import Document, Unreadable
from podfence.manifests.collector import collector_paused
from podfence.manifests.fieldpaths import Steps, format_path
from podfence.manifests.inputfiles import InputFile, read_inputs
from podfence.manifests.listing import (
    Listed,
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
from podfence.manifests.parsed import PROBLEM_CODES, Finding, Parsed
from podfence.manifests.positions import Positions
from podfence.manifests.splitting import Chunk, guess_identity, split, sure_kind, sure_version
from podfence.manifests.yamllines import DECLINED, read_lines
from podfence.manifests.yamlscalars import Scalars

__all__ = ["PROBLEM_CODES", "Document", "Manifests", "Unreadable", "read_manifests"]


@dataclass(frozen=True, slots=True)
class Manifests:
    """All that was read. ``problems`` have their position; ``files`` counts those that were read.

    ``passed_over`` counts objects of other kinds; a kind that is wanted but belongs to a foreign
    API group is counted as ``Kind.group``. ``policies_elsewhere``: the kinds of them that are
    policies of another API, each with its first object. ``kustomization``: the first object that is
    to be built, not applied.
    """

    documents: tuple[Document, ...]
    unreadable: tuple[Unreadable, ...]
    problems: tuple[Problem, ...]
    passed_over: Mapping[str, int]
    policies_elsewhere: Mapping[str, Source]
    kustomization: Source | None
    files: int
    positions: Positions


def read_manifests(
    paths: Sequence[str], *, kinds: frozenset[str], stdin: BinaryIO | None = None
) -> Manifests:
    """Read files, directories (recursively) and ``-``, in the order given.

    ``kinds`` are the kinds wanted, as ``NetworkPolicy``. Lists are unfolded. Never raises for
    anything found in the input.
    """
    reader = _Reader(kinds)
    with collector_paused():
        for file in read_inputs(paths, stdin):
            reader.read_file(file)
    return reader.result()


class _Reader:
    """Collects the result over all files."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self._kinds = kinds
        self._documents: list[Document] = []
        self._unreadable: list[Unreadable] = []
        self._problems: list[Problem] = []
        self._passed_over: Counter[str] = Counter()
        self._policies_elsewhere: dict[str, Source] = {}
        self._kustomization: Source | None = None
        self._files = 0
        self._positions = Positions()
        self._scalars = Scalars()

    def result(self) -> Manifests:
        return Manifests(
            documents=tuple(self._documents),
            unreadable=tuple(self._unreadable),
            problems=tuple(self._problems),
            passed_over=dict(sorted(self._passed_over.items())),
            policies_elsewhere=self._policies_elsewhere,
            kustomization=self._kustomization,
            files=self._files,
            positions=self._positions,
        )

    def read_file(self, file: InputFile) -> None:
        if file.error:
            source = Source(file.path)
            self._problem(source, Finding("PF106", file.error, 1, 1), "")
            self._unreadable.append(Unreadable(source, "", ""))
            return
        self._files += 1
        self._positions.add_file(file.path, file.text)
        number = 0
        for chunk in split(file.text):
            number += self._read_chunk(file.path, number, chunk)

    def _read_chunk(self, file: str, number: int, chunk: Chunk) -> int:
        """Read what stands between two markers; the number of documents that it was."""
        kind = sure_kind(chunk)
        if kind and not self._may_matter(kind, chunk):
            self._passed_over[kind] += 1
            return 1
        if chunk.text.startswith(("{", "["), chunk.lead):
            return self._read_flow(file, number, chunk)
        self._take_yaml(Source(file, number, None, chunk.content_line), chunk)
        return 1

    def _may_matter(self, kind: str, chunk: Chunk) -> bool:
        """Whether a document of the kind must be parsed: wanted, a List, a slip of the pen for one
        of these, or of no part in a cluster's policies and yet worth a warning."""
        if kind in self._kinds or is_list_of(kind, self._kinds):
            return True
        if may_be_misspelt(kind) and meant_kind(kind, sure_version(chunk)):
            return True
        return may_be_policy_elsewhere(kind) or kind in KUSTOMIZATIONS

    def _read_flow(self, file: str, number: int, chunk: Chunk) -> int:
        """Read JSON values, or YAML in flow style if that is what the text rather is."""
        # Imported when JSON is met: msgspec takes longer to import than a small input to read.
        from podfence.manifests import jsonreader

        text = chunk.text[chunk.lead :]
        documents = jsonreader.read_json(text, chunk.content_line)
        if documents[0].parsed.is_syntax_error:
            source = Source(file, number, None, chunk.content_line)
            parsed = self._parse_yaml(chunk)
            if parsed.readable or not (file.endswith(".json") or _JSON_START.match(text)):
                self._take_yaml(source, chunk, parsed)
                return 1
        offset = chunk.start + chunk.lead
        for document in documents:
            source = Source(file, number, None, document.line)
            start, end = offset + document.start, offset + document.end
            self._positions.add_document(
                source, start=start, end=end, line=document.line, is_json=True
            )
            self._take(source, document.parsed, text[document.start : document.end])
            number += 1
        return len(documents)

    def _take_yaml(self, source: Source, chunk: Chunk, parsed: Parsed | None = None) -> None:
        self._positions.add_document(
            source, start=chunk.start, end=chunk.end, line=chunk.line, is_json=False
        )
        self._take(source, parsed or self._parse_yaml(chunk), chunk.text)

    def _parse_yaml(self, chunk: Chunk) -> Parsed:
        value = read_lines(chunk.text[chunk.lead :], self._scalars)
        if value is not DECLINED:
            return Parsed(value)
        # Imported when it is met: most manifests need the line reader alone.
        from podfence.manifests.yamlreader import read_yaml

        return read_yaml(chunk.text, chunk.line, self._scalars)

    def _take(self, source: Source, parsed: Parsed, text: str) -> None:
        """Unfold a document and sort its objects into wanted, passed over and wrong."""
        if not parsed.readable:
            kind, namespace = guess_identity(text)
            self._unreadable.append(Unreadable(source, kind, namespace))
            for finding in parsed.findings:
                self._problem(source, finding, format_path(finding.steps))
        elif parsed.value is not None:
            listed = unfold(parsed.value, self._kinds)
            kept = [each for each in listed if self._take_object(source, each)]
            for finding in parsed.findings:
                self._report(source, finding, listed, kept)

    def _take_object(self, document: Source, listed: Listed) -> bool:
        """Keep, count or report one object; whether findings in it matter."""
        source = document
        if listed.item is not None:
            source = replace(document, item=listed.item)
            self._positions.add_item(source, listed.steps)
        kind = kind_of(listed.value)
        message, path = what_is_wrong(listed.value, kind, self._kinds)
        if message:
            self._reject(source, kind, listed.value, message, path)
            return True
        if kind not in self._kinds:
            self._pass_over(source, kind, listed.value)
            return False
        self._documents.append(Document(source, listed.value))
        return True

    def _pass_over(self, source: Source, kind: str, value: dict[str, Any]) -> None:
        self._passed_over[kind] += 1
        version = version_of(value)
        if is_policy_elsewhere(value["kind"], group_of(version)):
            self._policies_elsewhere.setdefault(kind, source)
        elif self._kustomization is None and is_kustomization(kind, version):
            self._kustomization = source

    def _reject(self, source: Source, kind: str, value: Any, message: str, path: str) -> None:
        meant = wanted_kind_of(value) or kind
        self._unreadable.append(Unreadable(source, meant, namespace_of(value)))
        place = self._positions.locate(source, path)
        if not kind:
            message += advice_for(source.file)
        finding = Finding("PF107", message, place.line, place.column)
        self._problem(source, finding, path, value)

    def _report(
        self, document: Source, finding: Finding, listed: list[Listed], kept: list[Listed]
    ) -> None:
        """A finding inside a document that was read: it belongs to the object around it."""
        owner = next((each for each in listed if _is_below(finding.steps, each.steps)), None)
        if owner is None:
            self._problem(document, finding, format_path(finding.steps))
        elif owner in kept:
            source = replace(document, item=owner.item)
            path = format_path(finding.steps[len(owner.steps) :])
            self._problem(source, finding, path, owner.value)

    def _problem(self, source: Source, finding: Finding, path: str, value: Any = None) -> None:
        self._problems.append(
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


_JSON_START = re.compile(r'\{\s*"|\[\s*["{[]')


def _is_below(steps: Steps, prefix: Steps) -> bool:
    return steps[: len(prefix)] == prefix
