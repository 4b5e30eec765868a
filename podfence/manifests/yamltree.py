"""From libyaml's nodes to plain JSON values.

Rule: one walk, linear in the length of the text whatever its aliases are; a node that is used twice
is built once and shared. Findings are stored with their nodes; paths are computed only when there
is something to report.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import replace
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from podfence.errors import Severity
from podfence.manifests.fieldpaths import FieldSteps
from podfence.manifests.parsed import MAX_DEPTH, MAX_FINDINGS, ParseProblem
from podfence.manifests.yamlscalars import (
    CORE_SCALAR_TAGS,
    TAG_PREFIX,
    BadScalar,
    Scalars,
    as_json,
    key_text,
    resolve_plain,
    resolve_tagged,
    shown,
)

PLAIN: Final = "plain"
"""Tag of a scalar without quotes and without an explicit tag."""

OTHER: Final = "other"
"""Tag of every other node without an explicit tag."""

MAX_ALIASED: Final = 400_000
"""The most values that aliases may add to one document; kubectl's own limit is of this size."""

_MAX_MERGED: Final = 100_000
_COLLECTION_TAGS: Final = frozenset(
    (OTHER, "!", *(TAG_PREFIX + name for name in ("map", "seq", "omap", "set", "pairs")))
)
_UNDER_CONSTRUCTION: Final = object()


class TooCostly(Exception):
    """The document may not be built: building or walking it would cost too much."""

    def __init__(self, node: Node, message: str) -> None:
        super().__init__(message)
        self.node = node
        self.message = message


class _Notes:
    """Findings together with the nodes they are about; paths are looked up at the end."""

    def __init__(self, first_line: int) -> None:
        self.first_line = first_line
        self.fatal = False
        self.complex_keys = False
        self.omitted = 0
        self._noted: list[tuple[Node, ParseProblem]] = []

    def add(
        self,
        node: Node,
        code: str,
        message: str,
        *,
        severity: Severity = Severity.ERROR,
        fatal: bool = False,
    ) -> None:
        """Remember a finding at ``node``; ``fatal`` makes the document unreadable."""
        self.fatal |= fatal
        if len(self._noted) >= MAX_FINDINGS:
            self.omitted += 1
            return
        line, column = self.position(node)
        self._noted.append((node, ParseProblem(code, message, line, column, severity=severity)))

    def full(self) -> bool:
        """Whether another finding would only be counted."""
        return len(self._noted) >= MAX_FINDINGS

    def position(self, node: Node) -> tuple[int, int]:
        """Line in the file and column, from 1."""
        return self.first_line + node.start_mark.line, node.start_mark.column + 1

    def findings(self, root: Node) -> list[ParseProblem]:
        """All findings, with field paths, in the order of the text."""
        if not self._noted:
            return []
        wanted = {id(node) for node, _ in self._noted}
        steps = {id(node): path for node, path in walk(root) if id(node) in wanted}
        found = [replace(note, steps=steps.get(id(node), ())) for node, note in self._noted]
        found.sort(key=lambda finding: (finding.line, finding.column))
        if self.omitted:
            rest = f"{self.omitted} more problems of this document are not listed"
            found.append(replace(found[-1], message=rest, severity=Severity.WARNING))
        return found


def walk(root: Node) -> Iterator[tuple[Node, FieldSteps]]:
    """Every node, keys too, once, with the steps that lead to it (a key: to its value)."""
    seen: set[int] = set()
    stack: list[tuple[Node, FieldSteps]] = [(root, ())]
    while stack:
        node, steps = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node, steps
        if type(node) is MappingNode:
            for key, value in reversed(node.value):
                below = (*steps, key.value) if type(key) is ScalarNode else steps
                stack += (value, below), (key, below)
        elif type(node) is SequenceNode:
            stack += reversed([(item, (*steps, i)) for i, item in enumerate(node.value)])


def _refuse_bomb(root: Node, value: Any) -> None:
    """Raise ``TooCostly`` if ``value``, walked as a tree, is far larger or deeper than its text."""
    sizes: dict[int, tuple[int, int]] = {}

    def measure(item: Any) -> tuple[int, int]:
        """Values in the tree below and including ``item``, and its height."""
        if not isinstance(item, (dict, list)):
            return 1, 0
        known = sizes.get(id(item))
        if known is None:
            below = [measure(x) for x in (item.values() if isinstance(item, dict) else item)]
            size = 1 + sum(size for size, _ in below)
            known = sizes[id(item)] = size, 1 + max((height for _, height in below), default=0)
        return known

    size, height = measure(value)
    written = sum(1 for _ in walk(root))
    if height > MAX_DEPTH:
        raise TooCostly(
            root, f"aliases nest more than {MAX_DEPTH} levels deep: write the values out"
        )
    if size - written > min(MAX_ALIASED, 10_000 + 100 * written):
        raise TooCostly(
            root, f"aliases expand {written} values to {size}: write out what is really needed"
        )


def _are_same(one: Any, other: Any) -> bool:
    """Whether two values are known to be equal; collections are not compared, which may cost more
    than their text.
    """
    return one is other or (not isinstance(one, dict | list) and one == other)


def _is_spelling(key: Node, text: str) -> bool:
    """Whether a key that has no tag of its own is read as ``text``."""
    value = resolve_plain(key.value) if key.tag == PLAIN else key.value
    return (key_text(value) if isinstance(value, float | int) else value) == text


class TreeBuilder:
    """Builds the value of one document; ``notes`` then holds the findings.

    ``anchored`` tells that the text may hold aliases, ``first_line`` where it begins.
    """

    def __init__(self, scalars: Scalars, *, anchored: bool, first_line: int) -> None:
        self.notes = _Notes(first_line)
        self._scalars = scalars
        self._scalars.not_finite = False
        self._shared: dict[int, Any] | None = {} if anchored else None
        self._merged = 0

    def build_document(self, root: Node) -> Any:
        """Value of the whole tree. Raises ``TooCostly``."""
        try:
            if root.tag == PLAIN:
                value = self._scalars[root.value]
            else:
                value = self._build(root, 0)
            if self._shared is not None:
                _refuse_bomb(root, value)
        except RecursionError:
            raise TooCostly(root, "aliases nest too deeply: write the values out") from None
        if self._scalars.not_finite:
            self._note_not_finite(root)
        return value

    def _build(self, node: Node, depth: int) -> Any:
        """Value of a node that is not a plain scalar."""
        if type(node) is ScalarNode:
            return node.value if node.tag == OTHER else self._tagged(node)
        if depth >= MAX_DEPTH:
            raise TooCostly(
                node, f"nested more than {MAX_DEPTH} levels deep: no Kubernetes object is"
            )
        if node.tag not in _COLLECTION_TAGS:
            self._note_ignored_tag(node)
        if self._shared is None:
            return self._collection(node, depth + 1)
        value = self._shared.get(id(node))
        if value is _UNDER_CONSTRUCTION:
            raise TooCostly(
                node, "an alias refers to a value that contains it: write the value out"
            )
        if value is None:
            self._shared[id(node)] = _UNDER_CONSTRUCTION
            value = self._shared[id(node)] = self._collection(node, depth + 1)
        return value

    def _collection(self, node: Node, depth: int) -> Any:
        if type(node) is MappingNode:
            return self._mapping(node, depth)
        scalars, build = self._scalars, self._build
        return [
            scalars[item.value] if item.tag == PLAIN else build(item, depth) for item in node.value
        ]

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, Any]:
        scalars, build = self._scalars, self._build
        result: dict[str, Any] = {}
        merged: set[str] = set()
        for key_node, value_node in node.value:
            if key_node.tag == PLAIN:
                key = scalars[key_node.value]
                if key == "<<":
                    merged.update(self._merge(value_node, result, depth))
                    continue
                if type(key) is not str:
                    key = self._converted_key(key_node, key)
            else:
                key = self._other_key(key_node)
            if key is None:
                continue
            if key in result and key not in merged:
                self._note_duplicate(node, key_node, key)
            merged.discard(key)
            result[key] = (
                scalars[value_node.value] if value_node.tag == PLAIN else build(value_node, depth)
            )
        return result

    def _merge(self, node: Node, target: dict[str, Any], depth: int) -> dict[str, Any]:
        """Apply ``<<``; what it gives. As for kubectl the later of ``<<`` and a key wins, and of
        several sources of one ``<<`` the first.
        """
        given: dict[str, Any] = {}
        for source in node.value if type(node) is SequenceNode else (node,):
            value = None if source.tag == PLAIN else self._build(source, depth)
            if not isinstance(value, dict):
                self.notes.add(
                    source, "PF101", "<< takes a mapping or a list of mappings", fatal=True
                )
                continue
            self._merged += len(value)
            if self._merged > _MAX_MERGED:
                raise TooCostly(source, "merge keys (<<) add too many keys: write the values out")
            for key, item in value.items():
                given.setdefault(key, item)
        for key, item in given.items():
            if key in target and not _are_same(target[key], item):
                message = f"<< overrides {shown(key)}, for kubectl though not for every tool: "
                where = f"write << before {shown(key)}, or leave one of the two out"
                self.notes.add(node, "PF102", message + where, severity=Severity.WARNING)
        target.update(given)
        return given

    def _tagged(self, node: ScalarNode) -> Any:
        """Value of a scalar with an explicit tag."""
        if node.tag not in CORE_SCALAR_TAGS:
            self._note_ignored_tag(node)
            return node.value
        try:
            return as_json(resolve_tagged(node.tag, node.value))
        except BadScalar as error:
            self.notes.add(node, "PF108", str(error), fatal=True)
            return node.value

    def _other_key(self, node: Node) -> str | None:
        """Key of a quoted, tagged or complex key node."""
        if type(node) is ScalarNode:
            value = node.value if node.tag == OTHER else self._tagged(node)
            return value if isinstance(value, str) else self._converted_key(node, value)
        self.notes.complex_keys = True
        kind = "a mapping" if type(node) is MappingNode else "a list"
        self.notes.add(
            node, "PF103", f"a key is {kind}, not a string: write a plain key", fatal=True
        )
        return None

    def _converted_key(self, node: Node, value: Any) -> str | None:
        """A number or boolean as a key becomes its text, as kubectl does it; null cannot."""
        written = shown(str(node.value))
        if value is None:
            self.notes.add(
                node, "PF103", f"key {written} is null, not a string: quote it", fatal=True
            )
            return None
        text = key_text(resolve_plain(node.value) if node.tag == PLAIN else value)
        read_as = "" if text == node.value else f", kubectl reads it as {shown(text)}"
        message = f"key {node.value} is not a string{read_as}: write {written}"
        self.notes.add(node, "PF103", message, severity=Severity.WARNING)
        return text

    def _note_duplicate(self, mapping: MappingNode, key_node: Node, text: str) -> None:
        if self.notes.full():  # the search below would make many duplicates quadratic
            self.notes.omitted += 1
            return
        first = next((key for key, _ in mapping.value if _is_spelling(key, text)), key_node)
        line, column = self.notes.position(first)
        where = f"it is already set at line {line}, column {column}"
        message = f'duplicate field "{{path}}": {where}; keep one of the two'
        self.notes.add(key_node, "PF102", message)

    def _note_ignored_tag(self, node: Node) -> None:
        message = f"the tag {shown(node.tag)} has no meaning here and is ignored: remove it"
        self.notes.add(node, "PF108", message, severity=Severity.WARNING)

    def _note_not_finite(self, root: Node) -> None:
        nodes = [node for node, _ in walk(root)]
        maps = (node for node in nodes if type(node) is MappingNode)
        keys = {id(key) for node in maps for key, _ in node.value}
        for node in nodes:
            is_number = node.tag == PLAIN and id(node) not in keys  # a key becomes its text
            value = self._scalars[node.value] if is_number else None
            if type(value) is float and not math.isfinite(value):
                message = f"{node.value} is not a number that JSON has: quote it"
                self.notes.add(node, "PF108", message, fatal=True)
