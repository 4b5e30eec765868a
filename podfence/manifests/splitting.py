"""A file's text split into documents, and facts about a document without parsing it.

Rule: a ``---`` or ``...`` at the start of a line is always a marker, whatever surrounds it, so a
broken document does not affect the others. A guess is made only if it cannot be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

_MARKERS = ("---", "...")
_BEHIND_MARKER = frozenset(("", " ", "\t", "\n"))
_LEAD = re.compile(r"(?:---(?=[ \t\n]|\Z))?(?:[ \t]*(?:#[^\n]*)?\n|%[^\n]*\n)*")
_FLOW = re.compile(r"[ \t]*[{[]")
_ONLY_COMMENT = re.compile(r"[ \t]*(?:#[^\n]*)?(?:%[^\n]*)?\Z")
_KIND = re.compile(r"""kind["']?[ \t]*:[ \t]*(.*)""")
_WORD = re.compile(r"([A-Za-z][A-Za-z0-9]*)[ \t]*(?:#.*)?\Z")
_VERSION_LINE = r"(?m)^apiVersion:[ \t]+([A-Za-z0-9./-]+)[ \t]*(?:#.*)?$"
_PLAIN_KEY = re.compile(r"[A-Za-z]+:")
_LOOSE_KIND = r"""(?:^|[{,\s])["']?kind["']?[ \t]*:[ \t]*["']?([A-Za-z][A-Za-z0-9]*)"""
_LOOSE_ADDRESS = (
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}[0-9.]*)"
    r"(?![\w.:])"
)
"""A candidate for an IP address."""
_LOOSE_NAMESPACE = r"""(?:^|[{,\s])["']?namespace["']?[ \t]*:[ \t]*["']?([a-z0-9][a-z0-9.-]*)"""

AFTER_END = (
    'this object stands behind the end "..." of a document, where kubectl reads '
    'nothing: write "---" before it'
)


class Chunk(Struct, frozen=True):
    """Text of one document: where it starts in the file, and where its content does.

    ``is_after_end``: it stands behind ``...`` with no ``---`` between, where kubectl reads nothing.
    """

    text: str
    start: int
    line: int
    lead: int
    is_after_end: bool = False

    @property
    def end(self) -> int:
        """Offset in the file behind the text."""
        return self.start + len(self.text)

    @property
    def is_flow(self) -> bool:
        """Whether the content begins as JSON does."""
        return _FLOW.match(self.text, self.lead) is not None

    @property
    def begins_file(self) -> bool:
        """Whether nothing but blanks stands before the content: there kubectl reads JSON values as
        long as they follow one another, and one of a document anywhere else."""
        return self.start == 0 and not self.text[: self.lead].strip()

    @property
    def content_line(self) -> int:
        """Line, from 1, of the first content: after the marker, blank lines and comments."""
        return self.line + self.text.count("\n", 0, self.lead)


def split(text: str) -> Iterator[Chunk]:
    """Documents with content; comments, blanks and directives alone are none."""
    start, line = 0, 1
    for end in (*_boundaries(text), len(text)):
        if end > start:
            chunk = text[start:end] if end - start < len(text) else text
            dots = 3 if chunk.startswith("...") and _is_marker(chunk, 0) else 0
            lead = _lead(chunk, dots)
            if lead is not None:
                yield Chunk(chunk[dots:], start + dots, line, lead - dots, dots > 0)
            line += chunk.count("\n")
            start = end


def _boundaries(text: str) -> list[int]:
    """Where the markers stand."""
    found: list[int] = []
    for marker in _MARKERS:
        line = f"\n{marker}"  # found by ``str.find`` in a tenth of the time that `re` takes
        if text.startswith(marker):
            found.append(0)
        at = text.find(line)
        while at != -1:
            found.append(at + 1)
            at = text.find(line, at + 1)
    return sorted(at for at in found if _is_marker(text, at))


def _is_marker(text: str, at: int) -> bool:
    return text[at + 3 : at + 4] in _BEHIND_MARKER


def content_offset(document: str) -> int:
    """Where the content of a document begins: behind its marker, blank lines and comments."""
    return _lead(document, 0) or 0


def _lead(chunk: str, start: int) -> int | None:
    """Offset of the first line with content, ``None`` if there is none."""
    match = _LEAD.match(chunk, start)
    lead = match.end() if match else start
    return None if _ONLY_COMMENT.match(chunk, lead) else lead


def sure_kind(chunk: Chunk) -> str:
    """The kind of a document in block style if the text leaves no doubt, otherwise ``""``.

    Sure means: the first content is a plain key at the margin, exactly one line begins with
    ``kind``, its value is one plain word, and no quote before it could still be open.
    """
    text, lead = chunk.text, chunk.lead
    if not _PLAIN_KEY.match(text, lead):
        return ""
    lines = [match for match in _KIND.finditer(text, lead) if _begins_line(text, match.start())]
    if len(lines) != 1:
        return ""
    (match,) = lines
    if '"' in (before := text[lead : match.start()]) or "'" in before:
        return ""
    word = _WORD.match(match[1])
    return word[1] if word else ""


def _begins_line(text: str, at: int) -> bool:
    """Whether a word is the first of its line, but for a quote."""
    if at and text[at - 1] in "\"'":
        at -= 1
    return at == 0 or text[at - 1] == "\n"


def sure_version(chunk: Chunk) -> str:
    """``apiVersion`` of a document of which the kind is sure, ``""`` where there is any doubt."""
    found = re.compile(_VERSION_LINE).findall(chunk.text, chunk.lead)
    return str(found[0]) if len(found) == 1 else ""


def guess_identity(text: str) -> tuple[str, str]:
    """Kind and namespace that broken text seems to have, ``""`` for either that is not found."""
    kind = re.search(_LOOSE_KIND, text)
    namespace = re.search(_LOOSE_NAMESPACE, text)
    return kind[1] if kind else "", namespace[1] if namespace else ""


def addresses_in(text: str) -> tuple[str, ...]:
    """Everything in broken text that looks like an IP address."""
    return tuple(dict.fromkeys(re.findall(_LOOSE_ADDRESS, text)))
