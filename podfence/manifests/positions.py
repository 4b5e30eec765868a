"""``file:line:col`` of any field, on demand.

Rule: reading keeps only the text and where each document lies in it. A document is composed again
when a position in it is asked for, so good input pays nothing.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from podfence.errors import Position, Problem, Source
from podfence.manifests.fieldpaths import FieldSteps, parse_path
from podfence.manifests.inputfiles import STDIN
from podfence.manifests.linepositions import find_in_lines
from podfence.manifests.splitting import content_offset
from podfence.manifests.yamllines import Lines
from podfence.manifests.yamlscalars import Scalars

if TYPE_CHECKING:
    from yaml.nodes import Node

    from podfence.manifests.jsonitems import JsonItems
    from podfence.manifests.jsonpositions import JsonSpans

_SERVED: Final = r"""["']?\bresourceVersion["']?\s*:"""
"""A field that API servers write and users do not."""
_MAX_TREES: Final = 8
"""The most composed documents in the cache."""
_BY_LINES: Final = 20
"""The number of questions about one document that are answered line by line, each reading its lines
again; after that, composing it costs less."""
MAX_COMPOSED: Final = 1 << 24
"""The longest document in characters that is composed although its lines could be read."""


class _Extent(Struct, frozen=True):
    """Where a document lies in its file's text; ``line`` is that of ``start``, from 1."""

    start: int
    end: int
    line: int
    is_json: bool
    is_plain: bool
    """Whether it is JSON in which no key stands twice, or YAML that the line reader takes."""


class Positions(Struct):
    """Finds the position of a field. Filled by the reader; empty, it knows only ``Source``."""

    _texts: dict[str, str] = field(default_factory=dict)
    _extents: dict[tuple[str, int], _Extent] = field(default_factory=dict)
    _items: dict[tuple[str, int, int], FieldSteps] = field(default_factory=dict)
    _offsets: dict[tuple[str, int], list[int]] = field(default_factory=dict)
    _listed: dict[tuple[str, int], JsonItems | None] = field(default_factory=dict)
    _spans: dict[str, JsonSpans] = field(default_factory=dict)
    _breaks: dict[str, list[int]] = field(default_factory=dict)
    _lined: dict[tuple[str, int], bool] = field(default_factory=dict)
    _trees: OrderedDict[tuple[str, int], Node | None] = field(default_factory=OrderedDict)
    _lines: Lines = field(default_factory=lambda: Lines(Scalars()))
    _asked: dict[tuple[str, int], int] = field(default_factory=dict)
    """The number of line-by-line questions about a document; above the limit if that is
    impossible."""

    def add_file(self, file: str, text: str) -> None:
        """Keep the text of a file, in which ``add_document`` then names documents."""
        self._texts[file] = text

    def forget_file(self, file: str) -> None:
        """A file that is left out has no positions. It has to be the last that was added."""
        for cache in (self._texts, self._spans, self._breaks):
            cache.pop(file, None)
        while self._extents and next(reversed(self._extents))[0] == file:
            self._extents.popitem()

    def add_document(
        self,
        source: Source,
        *,
        start: int,
        end: int,
        line: int,
        is_json: bool,
        is_plain: bool = False,
    ) -> None:
        """Remember where a document lies; ``line`` is that of the offset ``start``, from 1.
        ``is_plain``: it is JSON in which no key stands twice, or YAML that the line reader
        takes."""
        self._extents[source.file, source.document] = _Extent(start, end, line, is_json, is_plain)

    def add_item(self, source: Source, steps: FieldSteps) -> None:
        """Remember the steps to an object in a List, where they are not ``items`` and its index."""
        if source.item is not None and steps != ("items", source.item):
            self._items[source.file, source.document, source.item] = steps

    def locate(self, source: Source, path: str) -> Position:
        """Position of the field at ``path`` of the object read from ``source``.

        ``path`` is written as ``fieldpaths`` says; ``""`` is the object. The position is that of
        the key, of the element in a list, or of the nearest parent that exists. A source that was
        not read here gives the first line of its document.
        """
        extent = self._extents.get((source.file, source.document))
        if extent is None:
            return Position(source.file, source.line, 1)
        steps = self._steps_to(source) + parse_path(path)
        if extent.is_json:
            return self._locate_json(source, extent, steps)
        return self._locate_yaml(source, extent, steps)

    def shown(self, source: Source | None, path: str) -> Position | None:
        """The position of a field, where a person can open it.

        ``None`` where name and field path say more than a line: for no source or one without a
        file, and on standard input for JSON on one line and for the answer of an API server.
        """
        if source is None or not source.file or not self._has_lines(source):
            return None
        return self.locate(source, path)

    def text_of(self, source: Source) -> str:
        """The text of the document that an object was read from; "" for one that was not read."""
        extent = self._extents.get((source.file, source.document))
        return "" if extent is None else self._texts[source.file][extent.start : extent.end]

    def extent_of(self, source: Source) -> tuple[str, int, int, FieldSteps]:
        """The whole text of a file, where the document of an object begins and ends in it, and the
        steps to the object, in a List. Raises KeyError for one that was not read from a file."""
        extent = self._extents[source.file, source.document]
        return self._texts[source.file], extent.start, extent.end, self._steps_to(source)

    def lines_of(self, source: Source) -> tuple[int, str]:
        """The number of the first line of ``text_of``, from 1, and the text."""
        extent = self._extents.get((source.file, source.document))
        return (source.line if extent is None else extent.line), self.text_of(source)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Every file that was read, with its text."""
        yield from self._texts.items()

    def locate_problem(self, problem: Problem) -> Position | None:
        """The problem's own position, else that of its field, as :meth:`shown`; ``None`` if it has
        no source. A problem of an object without a name always has its position."""
        if problem.position is not None or problem.source is None:
            return problem.position
        if problem.object or not problem.source.file:
            return self.shown(problem.source, problem.path)
        return self.locate(problem.source, problem.path)

    def end_of_problem(self, problem: Problem) -> Position | None:
        """Behind the last character of the field that a problem is about, where
        :meth:`locate_problem` gives its beginning; None for an object as a whole."""
        source = problem.source
        if problem.position is not None or source is None or not problem.path:
            return None
        extent = self._extents.get((source.file, source.document))
        position = self.locate_problem(problem)
        if extent is None or position is None:
            return None
        steps = self._steps_to(source) + parse_path(problem.path)
        start, end = self._span(source, extent, steps)
        if end <= start:
            return None
        breaks = self._line_ends(source.file)
        line = bisect_left(breaks, end)
        return Position(source.file, line + 1, end - (breaks[line - 1] if line else -1))

    def _span(self, source: Source, extent: _Extent, steps: FieldSteps) -> tuple[int, int]:
        """Offsets where a field begins and ends; the same twice where that is not known."""
        if extent.is_json:
            start, below = extent.start, steps
            if source.item is not None and steps[:2] == ("items", source.item):
                items = self._items_of(source, extent)
                if source.item < len(items):
                    start, below = items[source.item], steps[2:]
            return self._spans_in(source.file).span(start, below)
        if extent.end - extent.start > MAX_COMPOSED:
            return extent.start, extent.start
        from podfence.manifests.yamlpositions import span

        tree = self._tree(source, extent)
        if tree is None:
            return extent.start, extent.start
        start, end = span(tree, steps, self.text_of(source))
        return extent.start + start, extent.start + end

    def _has_lines(self, source: Source) -> bool:
        extent = self._extents.get((source.file, source.document))
        if source.file != STDIN or extent is None:
            return True
        key = (source.file, source.document)
        if key not in self._lined:
            text = self._texts[source.file]
            one_line = extent.is_json and "\n" not in text[extent.start : extent.end].strip()
            served = re.compile(_SERVED).search(text, extent.start, extent.end) is not None
            self._lined[key] = not one_line and not served
        return self._lined[key]

    def _steps_to(self, source: Source) -> FieldSteps:
        if source.item is None:
            return ()
        key = (source.file, source.document, source.item)
        return self._items.get(key, ("items", source.item))

    def _locate_json(self, source: Source, extent: _Extent, steps: FieldSteps) -> Position:
        start = extent.start
        if source.item is not None and steps[:2] == ("items", source.item):
            listed = self._listed_in(source, extent)
            if listed is not None and source.item < len(listed):
                return Position(source.file, *listed.find(source.item, steps[2:]))
            items = self._items_of(source, extent)
            if source.item < len(items):
                start, steps = items[source.item], steps[2:]
        offset = self._spans_in(source.file).find(start, steps)
        breaks = self._line_ends(source.file)
        line = bisect_left(breaks, offset)
        return Position(source.file, line + 1, offset - (breaks[line - 1] if line else -1))

    def _listed_in(self, source: Source, extent: _Extent) -> JsonItems | None:
        """The items of a List; None where they have to be looked for key by key."""
        from podfence.manifests.jsonitems import JsonItems

        key = (source.file, source.document)
        if key not in self._listed:
            text = self._texts[source.file]
            known = extent.is_plain and text.isascii()
            made = JsonItems(text, extent.start, extent.end, extent.line) if known else None
            self._listed[key] = made
        return self._listed[key]

    def _items_of(self, source: Source, extent: _Extent) -> list[int]:
        """Offsets of the items of a List, found once: its objects are asked for one by one."""
        key = (source.file, source.document)
        if key not in self._offsets:
            self._offsets[key] = self._spans_in(source.file).items(extent.start)
        return self._offsets[key]

    def _spans_in(self, file: str) -> JsonSpans:
        from podfence.manifests.jsonpositions import JsonSpans

        if file not in self._spans:
            self._spans[file] = JsonSpans(self._texts[file])
        return self._spans[file]

    def _line_ends(self, file: str) -> list[int]:
        if file not in self._breaks:
            self._breaks[file] = [match.start() for match in re.finditer("\n", self._texts[file])]
        return self._breaks[file]

    def _locate_yaml(self, source: Source, extent: _Extent, steps: FieldSteps) -> Position:
        key = (source.file, source.document)
        asked = self._asked.get(key, 0)
        self._asked[key] = asked + 1
        if asked < _BY_LINES or (extent.is_plain and extent.end - extent.start > MAX_COMPOSED):
            text = self._texts[source.file][extent.start : extent.end]
            lead = content_offset(text)
            found = find_in_lines(text[lead:], steps, self._lines, is_plain=extent.is_plain)
            if found is not None:
                line = extent.line + text.count("\n", 0, lead) + found[0]
                return Position(source.file, line, found[1] + 1)
            self._asked[key] = _BY_LINES  # and so it is for every other field
        from podfence.manifests.yamlpositions import find

        tree = self._tree(source, extent)
        if tree is None:
            return Position(source.file, source.line, 1)
        line, column = find(tree, steps)
        return Position(source.file, extent.line + line, column + 1)

    def _tree(self, source: Source, extent: _Extent) -> Node | None:
        """The document's nodes, composed again if need be; ``None`` if it cannot be composed."""
        from podfence.manifests.yamlreader import compose_or_none

        key = (source.file, source.document)
        if key not in self._trees:
            text = self._texts[source.file][extent.start : extent.end]
            self._trees[key] = compose_or_none(text)
            if len(self._trees) > _MAX_TREES:
                self._trees.popitem(last=False)
        self._trees.move_to_end(key)
        return self._trees[key]
