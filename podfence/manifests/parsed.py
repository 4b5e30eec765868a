"""The result of reading one document, in any format.

Rule: a reader of a format never raises for bad text; it returns findings with their positions.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field

from podfence.errors import Severity
from podfence.manifests.fieldpaths import FieldSteps

PROBLEM_CODES: Final[dict[str, str]] = {
    "PF101": "the text is not valid YAML or JSON",
    "PF102": "a mapping has the same key twice",
    "PF103": "a key is not a string",
    "PF104": "the file is a template that was not rendered",
    "PF105": "too many aliases, too deeply nested, or too large",
    "PF106": "a file or directory cannot be read",
    "PF107": "the document is not a Kubernetes object: no mapping, kind or apiVersion",
    "PF108": "a tag or a value that JSON does not have",
}
"""The codes of reading input, each with its meaning in one line."""

MAX_DEPTH: Final = 100
"""The deepest nesting of mappings and lists that is read; no Kubernetes type comes near it."""

MAX_FINDINGS: Final = 100
"""Findings kept of one document: a hostile file must not fill the screen."""


class ParseProblem(Struct, frozen=True):
    """Something wrong in a document. ``line`` and ``column`` count from 1, ``line`` in the file.

    ``steps`` lead from the root of the document to the field.
    """

    code: str
    message: str
    line: int
    column: int
    steps: FieldSteps = ()
    severity: Severity = Severity.ERROR


class Parsed(Struct):
    """A document's value and findings. If ``readable`` is false, ``value`` has no meaning."""

    value: Any = None
    findings: list[ParseProblem] = field(default_factory=list)
    readable: bool = True
    is_plain: bool = False
    """Whether it is YAML that the line reader accepts."""

    @property
    def is_syntax_error(self) -> bool:
        """Whether the text is not of the expected format."""
        return not self.readable and any(each.code == "PF101" for each in self.findings)


def unreadable(code: str, message: str, line: int, column: int) -> Parsed:
    """A document of which only one finding is known."""
    return Parsed(None, [ParseProblem(code, message, line, column)], readable=False)


def surely_shallow(text: str, limit: int = MAX_DEPTH) -> bool:
    """Whether brackets in ``text`` nest at most ``limit`` deep; false may also mean "cannot say".

    Innermost pairs are removed again and again, at the speed of ``bytes.replace``: what is left
    over, as brackets in strings are, is counted as if it nested.
    """
    rest = text.encode("utf-8", "replace").translate(None, _NOT_BRACKETS)
    for level in range(limit):
        peeled = rest.replace(b"[]", b"").replace(b"{}", b"")
        if len(peeled) == len(rest):
            return level + rest.count(b"[") + rest.count(b"{") <= limit
        rest = peeled
    return not rest


_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
