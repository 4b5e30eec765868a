"""Problems of the input as lines that editors can jump to, and as data."""

from __future__ import annotations

from podfence.errors import Position, Problem
from podfence.render.safe import printable


def problem_line(problem: Problem, position: Position | None) -> str:
    """``policies.yaml:14:9: error[PF203]: NetworkPolicy shop/db: spec...: what is wrong``."""
    where = f"{printable(str(position))}: " if position else ""
    subject = f"{printable(problem.object)}: " if problem.object else ""
    return f"{where}{problem.severity.value}[{problem.code}]: {subject}{printable(problem.message)}"


def problem_data(problem: Problem, position: Position | None) -> dict[str, object]:
    """A problem for ``-o json``."""
    data: dict[str, object] = {
        "severity": problem.severity.value,
        "code": problem.code,
        "message": problem.message,
        "object": problem.object,
        "path": problem.path,
    }
    if problem.reason:
        data["reason"] = problem.reason
    if position is not None:
        data |= {"file": position.file, "line": position.line, "column": position.column}
    return data
