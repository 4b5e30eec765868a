"""A reading that lasts is shown on the terminal of whoever waits, and leaves nothing there."""

from __future__ import annotations

import io
import sys

import pytest

from podfence.cli import progress
from podfence.cli.progress import ReadingProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def shown(
    monkeypatch: pytest.MonkeyPatch,
    stream: io.StringIO,
    *steps: tuple[float, int],
    name: str = "prod",
) -> str:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(sys, "stderr", stream)
    with ReadingProgress(name) as reading:
        for clock.now, objects in steps:
            reading.tell(objects)
    return stream.getvalue()


def test_a_long_reading_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, Terminal(), (0.5, 500), (1.5, 1500), (1.6, 2000), (2.5, 12_500))
    assert text.split("\r\x1b[K") == [
        "", "reading prod: 1,500 objects", "reading prod: 12,500 objects", ""
    ]  # fmt: skip


def test_a_short_one_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, Terminal(), (0.1, 500), (0.9, 900)) == ""


def test_a_file_and_a_pipe_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, io.StringIO(), (5.0, 500)) == ""


def test_the_name_of_a_cluster_is_hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, Terminal(), (5.0, 500), name="a\x1b[31m\nb")
    assert "reading a\\x1b[31m\\x0ab: 500 objects" in text
