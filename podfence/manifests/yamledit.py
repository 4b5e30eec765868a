"""Changes of an object -> the text of its file with as few characters changed as possible.

Rule: comments, order and quotes of everything else stay. The new text is read again: if any of its
values differs from the expected one, nothing is edited.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import yaml
from msgspec import Struct
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from podfence.errors import PodfenceError
from podfence.manifests.fieldpaths import FieldSteps, PathStep, parse_path
from podfence.manifests.yamlpositions import end_of
from podfence.manifests.yamlreader import compose_or_none
from podfence.questions.repair.changes import Append, FieldEdit, Remove, Rename, SetField, applied

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Span(Struct, frozen=True):
    """``text`` stands in place of the characters from ``start`` to ``end``."""

    start: int
    end: int
    text: str


class CannotEdit(PodfenceError):
    """A text that cannot be edited so that nothing else changes. ``message``: why."""


MAX_EDITED = 1_000_000
"""The longest document in characters that is edited, because it is read again for each edit."""
_ONE_BY_ONE = 5_000_000
"""The most characters that are read again if the edits of one document have to be made one by
one."""


def edited(text: str, changes: Sequence[tuple[FieldSteps, FieldEdit]]) -> str:
    """One document with the changes made, each with the steps to its object in a List. A path
    refers to the text after the changes before it. Raises CannotEdit."""
    if len(text) > MAX_EDITED:
        raise CannotEdit("its document is too large to edit; put its objects into separate files")
    made = _all_at_once(text, changes) if len(changes) > 1 else None
    if made is not None:
        return made
    if len(text) * len(changes) > _ONE_BY_ONE:
        raise CannotEdit("the edits of this large document depend on one another; run it again")
    for prefix, change in changes:
        made = _put(text, [_span(_root(text), text, prefix, change)])
        _require_same(text, made, [(prefix, change)])
        text = made
    return text


def _all_at_once(text: str, changes: Sequence[tuple[FieldSteps, FieldEdit]]) -> str | None:
    """None if an edit depends on another one."""
    try:
        root = _root(text)
        made = _put(text, [_span(root, text, *each) for each in changes])
        _require_same(text, made, changes)
    except CannotEdit:
        return None
    return made


def _put(text: str, spans: Iterable[Span]) -> str:
    """Raises CannotEdit for spans that overlap."""
    parts, at = [], 0
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        if span.start < at:
            raise CannotEdit("two edits overlap")
        parts += [text[at : span.start], span.text]
        at = span.end
    return "".join((*parts, text[at:]))


def new_document(value: Any) -> str:
    """An object as a document of its own, with the marker before it."""
    shown = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=100, default_flow_style=False)
    return f"---\n{shown}"


class _Dumper(yaml.SafeDumper):
    """Quotes words that kubectl reads as booleans and PyYAML as text."""


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = None if _PLAIN.match(value) and value.lower() not in _WORDS else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _require_same(before: str, after: str, changes: Sequence[tuple[FieldSteps, FieldEdit]]) -> None:
    try:
        was, now = _value(before), _value(after)
        wanted = applied(was, [_with_prefix(prefix, change) for prefix, change in changes])
    # ValueError: a date that is none, which the readers of manifests take for text.
    except (yaml.YAMLError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise CannotEdit("the text does not allow this edit; make it by hand") from error
    if now != wanted:
        raise CannotEdit("several fields share this text (an anchor or alias); edit it by hand")


def _with_prefix(prefix: FieldSteps, change: FieldEdit) -> FieldEdit:
    path = "".join(f"[{step}]" for step in prefix)
    joined = f"{path}.{change.path}" if path else change.path
    match change:
        case Append():
            return Append(joined, change.value)
        case SetField():
            return SetField(joined, change.value)
        case Rename():
            return Rename(joined, change.name)
        case Remove():
            return Remove(joined, change.remarks)


def _value(text: str) -> Any:
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe one


# -- spans


def _root(text: str) -> Node:
    root = compose_or_none(text)
    if root is None or "\r" in text:
        raise CannotEdit("the text has unusual line ends; edit it by hand")
    return root


def _span(root: Node, text: str, prefix: FieldSteps, change: FieldEdit) -> Span:
    *parents, last = (*prefix, *parse_path(change.path))
    parent = root
    for step in parents:
        parent = _below(parent, step)[1]
    writer = _SpanWriter(text, is_json=not _is_block(root) and _is_json(text))
    match change:
        case Rename():
            key, _ = _below(parent, last)
            return Span(key.start_mark.index, key.end_mark.index, writer.flow(change.name))
        case SetField():
            return writer.put(parent, last, change.value)
        case Append():
            return writer.append(parent, str(last), change.value)
        case Remove():
            span = writer.without(parent, last)
            if not change.remarks and "#" in text[span.start : span.end]:
                raise CannotEdit("it has a comment of its own")
            return span


@lru_cache(maxsize=4)
def _is_json(text: str) -> bool:
    """Whether a text in flow style is JSON, in which every word is quoted."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _below(node: Node, step: PathStep) -> tuple[Node, Node]:
    """Key and value of a member, the item itself twice of a list. Raises CannotEdit."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == str(step):
                return key, value
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    raise CannotEdit("the field is not written where it takes effect; edit it by hand")


def _member(parent: Node, last: PathStep) -> tuple[Node, Node] | None:
    try:
        return _below(parent, last)
    except CannotEdit:
        return None


class _SpanWriter:
    """Makes spans of one text. ``is_json``: every value is written as JSON."""

    def __init__(self, text: str, *, is_json: bool) -> None:
        self._text = text
        self._is_json = is_json

    def put(self, parent: Node, last: PathStep, value: Any) -> Span:
        """Set a field to ``value``."""
        known = _member(parent, last)
        if known is None:
            return self._add_key(parent, str(last), value)
        key, old = known
        end = self._end(old)
        if isinstance(value, list) and value and _is_block_list(old):
            column = old.start_mark.column
            lines = "".join(f"\n{' ' * column}- {self.flow(item)}" for item in value)
            return Span(self._colon(key), end, lines)
        return Span(old.start_mark.index, end, f"{' ' * _is_null(old)}{self.flow(value)}")

    def append(self, parent: Node, key: str, value: Any) -> Span:
        """Append an item to a list. Raises CannotEdit."""
        known = _member(parent, key)
        if known is None:
            return self._add_key(parent, key, [value])
        node = known[1]
        if isinstance(node, SequenceNode) and node.value:
            end = self._end(node.value[-1])
            if node.flow_style:
                return Span(end, end, f", {self.flow(value)}")
            end = self._line_end(end)
            return Span(end, end, self._item(value, node.start_mark.column))
        if not (_is_null(node) or isinstance(node, SequenceNode)):
            raise CannotEdit("the field is not a list; edit it by hand")
        if not _is_block(parent):
            return Span(node.start_mark.index, self._end(node), f"[{self.flow(value)}]")
        start = self._colon(known[0])
        column = known[0].start_mark.column
        return Span(start, max(self._end(node), start), self._item(value, column))

    def without(self, parent: Node, last: PathStep) -> Span:
        """Remove an item of a list, with the comment lines above it that are indented like its
        dash. Raises CannotEdit."""
        item = _below(parent, last)[1]
        if not isinstance(parent, SequenceNode) or len(parent.value) < 2:
            raise CannotEdit("it is not an item beside others; edit it by hand")
        assert isinstance(last, int)
        if parent.flow_style:
            if last + 1 < len(parent.value):
                return Span(item.start_mark.index, parent.value[last + 1].start_mark.index, "")
            return Span(self._end(parent.value[last - 1]), self._end(item), "")
        column = parent.start_mark.column
        dash = self._text.rfind("-", 0, item.start_mark.index)
        start = self._text.rfind("\n", 0, dash) + 1
        between = self._text[dash + 1 : item.start_mark.index]
        if between.strip() or self._text[start:dash] != " " * column:
            raise CannotEdit("the item shares a line with another; edit it by hand")
        while start > 0:
            above = self._text.rfind("\n", 0, start - 1) + 1
            if not self._text.startswith(f"{' ' * column}#", above):
                break
            start = above
        return Span(start, min(self._line_end(self._end(item)) + 1, len(self._text)), "")

    def _add_key(self, parent: Node, key: str, value: Any) -> Span:
        if not isinstance(parent, MappingNode):
            raise CannotEdit("there is no mapping to add the field to; edit it by hand")
        if not _is_block(parent):
            said = f"{self.flow(key)}: {self.flow(value)}"
            if not parent.value:
                at = parent.start_mark.index + 1
                return Span(at, at, said)
            at = self._end(parent.value[-1][1])
            return Span(at, at, f", {said}")
        column = parent.start_mark.column
        at = self._line_end(self._end(parent.value[-1][1]))
        head = f"\n{' ' * column}{self.flow(key)}:"
        if isinstance(value, list) and value:
            return Span(at, at, head + "".join(self._item(item, column) for item in value))
        return Span(at, at, f"{head} {self.flow(value)}")

    def _item(self, value: Any, column: int) -> str:
        """An item of a list in block style; the members of a mapping on lines of their own."""
        if isinstance(value, dict) and value:
            members = [f"{self.flow(k)}: {self.flow(v)}" for k, v in value.items()]
            said = f"\n{' ' * (column + 2)}".join(members)
        else:
            said = self.flow(value)
        return f"\n{' ' * column}- {said}"

    # -- positions

    def _colon(self, key: Node) -> int:
        """Behind the colon of a key."""
        return self._text.index(":", key.end_mark.index) + 1

    def _end(self, node: Node) -> int:
        return end_of(node, self._text)

    def _line_end(self, at: int) -> int:
        """The end of a line, so that a comment behind a value stays with it."""
        found = self._text.find("\n", at)
        return len(self._text) if found < 0 else found

    # -- values

    def flow(self, value: Any) -> str:
        """A value on one line."""
        if self._is_json:
            return json.dumps(value)
        if isinstance(value, dict):
            members = (f"{self.flow(k)}: {self.flow(v)}" for k, v in value.items())
            return "{" + ", ".join(members) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(self.flow, value)) + "]"
        plain = isinstance(value, str) and _PLAIN.match(value) and value.lower() not in _WORDS
        return value if plain else json.dumps(value)


_PLAIN = re.compile(r"(?:[A-Za-z][A-Za-z0-9_./-]*|\d+(?:\.\d+){3}/\d+)\Z")
_WORDS = frozenset("true false yes no on off null y n".split())


def _is_block(node: Node) -> bool:
    return isinstance(node, MappingNode) and not node.flow_style


def _is_block_list(node: Node) -> bool:
    return isinstance(node, SequenceNode) and not node.flow_style and bool(node.value)


def _is_null(node: Node) -> bool:
    """Whether the value is empty text."""
    return isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index
