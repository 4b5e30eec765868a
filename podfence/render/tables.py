"""Columns of text, aligned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

_NARROWEST = 20
"""A last column that would be narrower than this is not broken into lines."""


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], gap: int = 3, width: int | None = None
) -> str:
    """Left-aligned columns, as kubectl prints them; no trailing blanks; ends with a newline.

    ``width``: the last column is broken behind commas, so that lines are no longer than that.
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
    """The same rows; what does not fit into the last column goes on in a row of its own."""
    left = len(lines[0]) - 1
    room = width - sum(max(len(line[at]) for line in lines) + gap for at in range(left))
    for line in lines:
        first, *others = at_commas(line[-1], room) if room >= _NARROWEST else [line[-1]]
        yield (*line[:-1], first)
        for other in others:
            yield (*[""] * left, other)


def at_commas(text: str, width: int) -> list[str]:
    """A list as lines of at most ``width`` characters, broken behind commas; an item that is longer
    has a line of its own. At least one line."""
    lines = [""]
    for item in text.split(", "):
        joined = f"{lines[-1]}, {item}" if lines[-1] else item
        if len(joined) + 1 > width and lines[-1]:  # one more for the comma that may follow
            lines[-1] += ","
            lines.append(item)
        else:
            lines[-1] = joined
    return lines
