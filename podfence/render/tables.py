"""Columns of text, aligned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

_NARROWEST = 20
"""A last column that would be narrower than this is not broken into lines."""


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], gap: int = 3, width: int | None = None
) -> str:
    """Left-aligned columns, as kubectl prints them; no trailing blanks; ends with a newline.

    ``width``: lists in the first and the last of several columns are broken behind commas, so that
    lines are no longer than that.
    """
    lines = [tuple(header), *(tuple(row) for row in rows)]
    if width is not None:
        lines = list(_broken(lines, gap, width))
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "".join(
        "".join(
            cell if at == len(widths) - 1 else cell.ljust(widths[at] + gap)
            for at, cell in enumerate(line)
        ).rstrip()
        + "\n"
        for line in lines
    )


def _broken(lines: Sequence[tuple[str, ...]], gap: int, width: int) -> Iterator[tuple[str, ...]]:
    """The same rows no wider than ``width``: lists in the last column, and where that has no room
    in the first, go on in rows of their own."""
    last = len(lines[0]) - 1
    between = sum(max(len(line[at]) for line in lines) for at in range(1, last)) + gap * last
    first = max(len(line[0]) for line in lines)
    longest = max(len(line[-1]) for line in lines)
    if width - between - first < min(longest, max(_NARROWEST, width // 3)):
        first = width // 3
    heads = [at_commas(line[0], first) for line in lines]
    room = width - between - max(len(part) for head in heads for part in head)
    for line, head in zip(lines, heads, strict=True):
        tail = at_commas(line[-1], room) if room >= _NARROWEST else [line[-1]]
        yield from zip_longest(head, *([cell] for cell in line[1:-1]), tail, fillvalue="")


def at_commas(text: str, width: int) -> list[str]:
    """A list as lines of at most ``width`` characters, broken behind commas; an item that is longer
    has a line of its own. At least one line."""
    *others, end = text.split(", ")
    lines = [""]
    for item in (*(f"{other}," for other in others), end):
        joined = f"{lines[-1]} {item}" if lines[-1] else item
        if len(joined) > width and lines[-1]:
            lines.append(item)
        else:
            lines[-1] = joined
    return lines
