"""Problems of the input as lines that editors can jump to, and as data."""

from __future__ import annotations

from podfence.errors import Position, Problem
from podfence.render.jsontext import end_data, position_data
from podfence.text import printable

WITHOUT_LINES = frozenset({"PF106", "PF112", "PF115"})
"""Codes of a file or directory as a whole: there is no line to point at."""


def problem_line(problem: Problem, position: Position | None) -> str:
    """``policies.yaml:14:9: error[PF203]: NetworkPolicy shop/db: spec...: what is wrong``."""
    where = f"{_position(problem, position)}: " if position else ""
    subject = f"{printable(problem.object)}: " if problem.object else ""
    said = message_text(problem.message)
    return f"{where}{problem.severity.value}[{problem.code}]: {subject}{said}"


def message_text(message: str) -> str:
    """A message made harmless. Unlike names, messages quote what they show, so that a backslash
    stays one: the API server's texts hold regular expressions."""
    return "\\".join(map(printable, message.split("\\")))


def _position(problem: Problem, position: Position) -> str:
    return printable(position.file if problem.code in WITHOUT_LINES else str(position))


def problem_data(
    problem: Problem, position: Position | None, end: Position | None = None
) -> dict[str, object]:
    """A problem for ``-o json``. ``end``: behind the last character of its field."""
    data: dict[str, object] = {
        "severity": problem.severity.value,
        "code": problem.code,
        "message": problem.message,
        "object": problem.object,
        "path": problem.path,
    }
    if problem.reason:
        data["reason"] = problem.reason
    return data | position_data(position) | end_data(end)
