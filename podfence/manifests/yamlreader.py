"""One YAML document to plain JSON values, read as kubectl reads it.

Rule: libyaml's tree is walked once; every value follows ``yamlscalars``, every oddity becomes a
finding with its position. The tree is checked before it is built, because libyaml's composer
recurses in C: depth, aliases and merges are bounded, so that the time is proportional to the length
of the text.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml
from yaml.nodes import Node, ScalarNode

from podfence.manifests.parsed import MAX_DEPTH, Parsed, surely_shallow, unreadable
from podfence.manifests.yamlscalars import Scalars
from podfence.manifests.yamltree import OTHER, PLAIN, TooCostly, TreeBuilder

try:
    from yaml import CBaseLoader as _BaseLoader
except ImportError:  # PyYAML built without libyaml: same results, ten times slower
    from yaml import BaseLoader as _BaseLoader  # type: ignore[assignment]  # its twin


_HAS_LIBYAML: Final = _BaseLoader.__name__ == "CBaseLoader"


class _Loader(_BaseLoader):
    """Composes nodes whose tag only tells a plain scalar from the rest."""

    def resolve(self, kind: type[Node], value: Any, implicit: Any) -> str:
        return PLAIN if kind is ScalarNode and implicit[0] else OTHER

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Path resolvers are not used; the empty method saves a third of the composer's time."""

    def ascend_resolver(self) -> None:
        """See ``descend_resolver``."""


def compose(text: str) -> Node | None:
    """Node tree of one document, ``None`` for an empty one.

    Raises ``yaml.YAMLError``, or ``TooDeep`` before the composer could exhaust the stack.
    """
    if not (surely_shallow(text) and not _INDENTED_DEEPLY.search(text)):
        _refuse_deep_nesting(text)
    loader = _Loader(text)
    try:
        node: Node | None = loader.get_single_node()
        return node
    except RecursionError:
        raise TooDeep(0, 0) from None
    finally:
        loader.dispose()


# Block collections take a column a level, on one line or over many.
_INDENTED_DEEPLY = re.compile(rf"^[ \t?:-]{{{MAX_DEPTH}}}", re.MULTILINE)


class TooDeep(Exception):
    """Nesting beyond ``MAX_DEPTH``; ``line`` and ``column`` count from 0."""

    def __init__(self, line: int, column: int) -> None:
        super().__init__(line, column)
        self.line = line
        self.column = column


def _refuse_deep_nesting(text: str) -> None:
    """Follow the parser's events, which need no stack, and raise ``TooDeep`` at the limit."""
    loader = _Loader(text)
    depth = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    mark = event.start_mark
                    raise TooDeep(mark.line, mark.column) if mark else TooDeep(0, 0)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    finally:
        loader.dispose()


def read_yaml(text: str, first_line: int, scalars: Scalars) -> Parsed:
    """Read one document whose text begins on ``first_line`` of its file.

    ``scalars`` may be kept from document to document.
    """
    escape = None if _HAS_LIBYAML else _LONE_SURROGATE.search(text)
    if escape is not None:
        line, column = _position(text, escape.start())
        message = "an escape from \\ud800 to \\udfff is not a character: correct it"
        return unreadable("PF101", message, first_line + line, column + 1)
    try:
        node = compose(text)
        if node is None:
            return Parsed()
        builder = TreeBuilder(scalars, anchored="&" in text, first_line=first_line)
        value = builder.build_document(node)
    except yaml.YAMLError as error:
        return _syntax_problem(error, text, first_line)
    except TooDeep as error:
        message = f"nested more than {MAX_DEPTH} levels deep: no Kubernetes object is"
        return unreadable("PF105", message, first_line + error.line, error.column + 1)
    except TooCostly as refused:
        mark = refused.node.start_mark
        return unreadable("PF105", refused.message, first_line + mark.line, mark.column + 1)
    notes = builder.notes
    template = _template_position(text) if notes.complex_keys else None
    if template is not None:
        return _template_problem(template, first_line)
    return Parsed(value, notes.findings(node), readable=not notes.fatal)


def _syntax_problem(error: yaml.YAMLError, text: str, first_line: int) -> Parsed:
    template = _template_position(text)
    if template is not None:
        return _template_problem(template, first_line)
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        return unreadable("PF101", _explained(error, text), first_line + line, column + 1)
    match = re.search(_UNPRINTABLE, text)
    offset = match.start() if match else 0
    line, column = _position(text, offset)
    what = f"the character U+{ord(match[0]):04X}" if match else "a character"
    message = f"{what} is not allowed in YAML: remove it, or write an escape in double quotes"
    return unreadable("PF101", message, first_line + line, column + 1)


# libyaml refuses these escapes, the pure-Python parser lets them pass.
_LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|\\U0000[dD][89a-fA-F]")
# Compiled when it is used: the wide ranges take longer than reading a small file.
_UNPRINTABLE: Final = (
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def _explained(error: yaml.MarkedYAMLError, text: str) -> str:
    """The parser's message, with the fix for common causes."""
    problem = str(error.problem or "invalid YAML")
    mark = error.problem_mark
    if mark is not None:
        line = text.split("\n", mark.line + 1)[mark.line : mark.line + 1]
        if "\t" in "".join(line)[: mark.column + 1]:
            return f"{problem}: indent with spaces, not tabs"
    context = f" {error.context}" if error.context else ""
    advice = next((right for words, right in _ADVICE if words in problem), "")
    return f"{problem}{context}{advice}"


_ADVICE: Final = (
    ("unexpected end of stream", ": close the quote or bracket"),
    ("found undefined alias", ": define it before with &"),
    ("mapping values are not allowed", ": quote a value that contains ': ', check the indentation"),
    ("did not find expected key", ": check the indentation and the quotes"),
    ("could not find expected ':'", ": write key: value"),
    ("cannot start any token", ": quote the value"),
)


def _position(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, from 0."""
    return text.count("\n", 0, offset), offset - (text.rfind("\n", 0, offset) + 1)


# A line whose value, or which itself, opens a Go template outside quotes.
_TEMPLATE = re.compile(r"^[ \t]*(?:- +)*(?:[\w./-]+:[ \t]+)?(\{\{)", re.MULTILINE)


def _template_position(text: str) -> tuple[int, int] | None:
    match = _TEMPLATE.search(text)
    if match is None:
        return None
    offset = match.start(1)
    return _position(text, offset)


def _template_problem(position: tuple[int, int], first_line: int) -> Parsed:
    message = (
        "unrendered Helm template: name the directory of its chart with -f, or render it, for "
        "example helm template RELEASE CHART | podfence check -f -"
    )
    return unreadable("PF104", message, first_line + position[0], position[1] + 1)


def compose_or_none(text: str) -> Node | None:
    """Node tree of a document, ``None`` if it cannot be composed."""
    try:
        return compose(text)
    except (yaml.YAMLError, TooDeep):
        return None
