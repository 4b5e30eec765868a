"""The lines of files that an answer of ``why`` names, with marks on the lines that decided.

Rule: takes the answer as data, so the marks are those of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

AROUND: Final = 3
"""Lines that are shown on either side of a mark."""


def excerpts(
    answer: Mapping[str, Any], texts: Iterable[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """``{"file", "from", "to", "lines", "marks": [{"line", "kind"}]}``: ``from`` and ``to`` are
    line numbers from 1, both included; ``kind``: ``decided``, or ``near`` for a rule of which only
    the peer or only the port fits. ``texts``: the files by name. Runs of lines that touch are
    joined."""
    marks: dict[str, dict[int, str]] = {}
    for kind, position in (*_near(answer), *_decided(answer)):  # who decided has the last word
        if "file" in position:
            marks.setdefault(position["file"], {})[position["line"]] = kind
    for file, text in texts:
        if file in marks:
            yield from _of_file(file, text.split("\n"), marks[file])


def _of_file(file: str, lines: list[str], marks: Mapping[int, str]) -> Iterator[dict[str, Any]]:
    runs: list[tuple[int, int]] = []
    for line in sorted(marks):
        first, last = max(1, line - AROUND), min(len(lines), line + AROUND)
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], last)
        else:
            runs.append((first, last))
    for first, last in runs:
        yield {
            "file": file,
            "from": first,
            "to": last,
            "lines": lines[first - 1 : last],
            "marks": [
                {"line": line, "kind": kind}
                for line, kind in sorted(marks.items())
                if first <= line <= last
            ],
        }


def _decided(answer: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for direction in ("egress", "ingress"):
        yield from (("decided", each) for each in answer[direction]["policies"])


def _near(answer: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for direction in ("egress", "ingress"):
        for policy in answer["looked"][direction]:
            for rule in policy["rules"]:
                if bool(rule["peers"]) is not rule["portFits"]:
                    yield "near", rule
