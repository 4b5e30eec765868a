"""Which files of a directory are not to be read: patterns as in ``.gitignore``.

Rule: of all patterns that fit a path the last one decides; a directory that is excluded is never
entered, so nothing below it can be taken back with ``!``. Matching takes time in proportion to the
length of pattern and path, whatever the pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from msgspec import Struct

Pattern = TypeVar("Pattern")
Item = TypeVar("Item")


class _OneOf(Struct, frozen=True):
    """A character of a name: ``a``, ``[a-z]``, or ``[!a-z]`` where ``negated``."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool

    def matches(self, character: str) -> bool:
        found = any(first <= character <= last for first, last in self.ranges)
        return found is not self.negated


_ANY_CHARACTER: Final = _OneOf((), negated=True)
_STAR: Final = None
"""In a segment: any characters, none too. Among segments: any directories, none too (``**``)."""

_Segment = tuple[_OneOf | None, ...]
_ANY_SEGMENT: Final[_Segment] = (_STAR,)


class _Pattern(Struct, frozen=True):
    """One pattern. ``segments``: the path, its parts between slashes."""

    segments: tuple[_Segment | None, ...]
    takes_back: bool
    directories_only: bool


class Exclusion:
    """Patterns in the order in which they were given."""

    def __init__(self, lines: Iterable[str]) -> None:
        parsed = map(_parse, lines)
        self._lines = [line for line in parsed if line is not None]

    def excludes(self, path: str, *, is_directory: bool) -> bool:
        """Whether a path is not to be read. It is relative to the directory that is walked, with
        ``/`` between its parts."""
        parts = path.split("/")
        for line in reversed(self._lines):
            if (is_directory or not line.directories_only) and _matches(
                line.segments, parts, _segment_matches
            ):
                return not line.takes_back
        return False


def _parse(text: str) -> _Pattern | None:
    """None for a comment or a line without a pattern."""
    text = text.rstrip("\r\n")
    while text.endswith((" ", "\t")) and not text.endswith("\\ "):
        text = text[:-1]
    takes_back = text.startswith("!")
    if not text or text.startswith("#"):
        return None
    text = text[takes_back:]
    directories_only = text.endswith("/")
    inner = text.rstrip("/")
    if not inner:
        return None
    words = inner.lstrip("/").split("/")
    segments: list[_Segment | None] = [None if word == "**" else _segment(word) for word in words]
    if segments[-1] is None:  # a/** is everything in a, but not a
        segments.insert(-1, _ANY_SEGMENT)
    if "/" not in inner:
        segments.insert(0, None)
    return _Pattern(tuple(segments), takes_back, directories_only)


def _segment(text: str) -> _Segment:
    found: list[_OneOf | None] = []
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character == "*":
            found.append(_STAR)
        elif character == "?":
            found.append(_ANY_CHARACTER)
        elif character == "[" and (end := _end_of_set(text, at)):
            found.append(_set(text[at:end]))
            at = end + 1
        elif character == "\\" and at < len(text):
            found.append(_only(text[at]))
            at += 1
        else:
            found.append(_only(character))
    return tuple(found)


def _only(character: str) -> _OneOf:
    return _OneOf(((character, character),), negated=False)


def _end_of_set(text: str, start: int) -> int:
    """Offset of the ``]`` that closes a set, 0 for none. A ``]`` that comes first is a member."""
    first = start + (text[start : start + 1] in ("!", "^"))
    return max(text.find("]", first + 1), 0)


def _set(text: str) -> _OneOf:
    negated = text[0] in "!^"
    rest = text[negated:]
    ranges: list[tuple[str, str]] = []
    while rest:
        last = rest[2] if len(rest) > 2 and rest[1] == "-" else rest[0]
        ranges.append((rest[0], last))
        rest = rest[3:] if len(rest) > 2 and rest[1] == "-" else rest[1:]
    return _OneOf(tuple(ranges), negated)


def _segment_matches(segment: _Segment, name: str) -> bool:
    return _matches(segment, name, _OneOf.matches)


def _matches(
    pattern: Sequence[Pattern | None],
    items: Sequence[Item],
    fits: Callable[[Pattern, Item], bool],
) -> bool:
    """Whether the items are those of the pattern, in which None stands for any number of items.

    Only the last None that was passed can have to take more items: whatever follows an earlier one
    was found as early as it can be.
    """
    at = taken = 0
    star, resume = -1, 0
    while taken < len(items):
        if at < len(pattern):
            wanted = pattern[at]
            if wanted is None:
                star, resume = at, taken
                at += 1
                continue
            if fits(wanted, items[taken]):
                at += 1
                taken += 1
                continue
        if star < 0:
            return False
        resume += 1
        at, taken = star + 1, resume
    return all(wanted is None for wanted in pattern[at:])
