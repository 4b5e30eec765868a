"""Columns of text, aligned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]], gap: int = 3) -> str:
    """Left-aligned columns, as kubectl prints them; no trailing blanks; ends with a newline."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(header))]
    return "".join(
        "".join(
            cell if at == len(widths) - 1 else cell.ljust(widths[at] + gap)
            for at, cell in enumerate(line)
        ).rstrip()
        + "\n"
        for line in lines
    )
