"""Tests that turn with a change, as text and as data. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from podfence.errors import Locate
from podfence.questions.phrases.words import count
from podfence.questions.tests.turning import PairedTest, TestChanges
from podfence.render.tests_text import lines_of_test, reasons

_SHOWN: Final = 8
"""Tests in a text, new failures first; wide shows all."""


def render_turning(found: TestChanges, locate: Locate, *, wide: bool = False) -> str:
    """The section of a plan's text. ``locate``: positions of test files, and of NEW."""
    lines = ["", f"tests: {turning_words(found)}"]
    turns = sorted(found.turns, key=lambda turn: turn.after.is_good)
    shown = turns if wide else turns[:_SHOWN]
    for turn in shown:
        lines += lines_of_test(turn.after, locate)
    if len(turns) > len(shown):
        lines.append(f"and {count(len(turns) - len(shown), 'test')} more (-o wide)")
    return "".join(f"{line}\n" for line in lines)


def turning_words(found: TestChanges) -> str:
    """``9 pass on both sides; 1 turns to FAIL``."""
    return "; ".join(_numbers(found)) or "none"


def _numbers(found: TestChanges) -> Iterator[str]:
    if found.good:
        yield f"{found.good} pass on both sides"
    if found.bad:
        yield f"{count(found.bad, 'test')} fail on both" if found.bad > 1 else "1 fails on both"
    for is_good, words in ((False, "no longer passes"), (True, "passes now")):
        number = sum(turn.after.is_good is is_good for turn in found.turns)
        if number:
            yield f"{number} {words if number == 1 else words.replace('passes', 'pass')}"


def turning_data(found: TestChanges, locate: Locate) -> dict[str, object]:
    """The same for ``-o json``."""
    return {
        "passed": found.good,
        "failed": found.bad,
        "turns": [_turn(each, locate) for each in found.turns],
    }


def _turn(turn: PairedTest, locate: Locate) -> dict[str, object]:
    test = turn.after.test
    position = locate(test.source, test.path)
    location = {} if position is None else {"file": position.file, "line": position.line}
    return {
        "name": test.name,
        **location,
        "before": turn.before.status.value,
        "after": turn.after.status.value,
        "because": [*reasons(turn.after, locate)],
    }
